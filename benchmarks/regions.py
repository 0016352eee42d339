"""The project's trigger network on the regions that CICADA reads, beside it on the same crossings, and as firmware.

    python benchmarks/peers.py --cicada CICADA --out peers
    python benchmarks/regions.py fine.work --cicada CICADA --peers peers --out regions

Learned from natural zero bias alone, as a run's network is (codae_l1.quantization.distance), in the deterministic mode.
It reads what CICADA does, 18 x 14 regions in words of 0.5 GeV, 10 bits each, and bends them first:

    word = region                           up to the knee, 16 words (8 GeV)
           knee + (region - knee) / 8       above it, rounded, at most 127

so that a jet does not drown the windows without one. Designs:

    errors      auto-encoder of windows of 6 x 2 regions and of the rings; its reconstruction error
    distance    Mahalanobis distance of the same windows
    unbent      errors of regions that saturate at 63 words instead

Every design is learned with every seed, which fixes the order of quantization-aware training alone. Prints the table of
peers.py. Then all executors of the first seed are made (cicada_firmware.py), compared on images of every density and on
the crossings of the calibration split, and mapped by Yosys; ends with status 1 where a word differs. The first argument
is that of cicada_training.py.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from axol1tl import prove
from cicada_firmware import INPUT_WORD, images
from cicada_training import split_regions
from crossing_samples import read_config
from distances import check
from peers import POINTS, Score, read_samples, results, table

from codae_l1.data.base.errors import InputError
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distance import learn_distance
from codae_l1.quantization.distill import Student
from codae_l1.quantization.f_m.config import AUTOENCODER, DISTANCE, ConvConfig, FirmwareConfig, output_word
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import load_config
from codae_l1.scripts.studies._cicada import LARGEST_REGION, REGIONS, SCORE_STEPS, read_published

# A region above the knee counts for 2^-_SLOPE.
_SLOPE = 3
# Bits of a window's sum, of what passes to the rows that are squared, and of these; more than a run's network has, as
# there are more windows and larger words.
_WINDOW = LayerPrecision(weight_bits=2, output_bits=8)
_ERRORS = AUTOENCODER.precision | {"conv1": _WINDOW, "dense1": LayerPrecision(weight_bits=8, output_bits=10)}
_DISTANCE = DISTANCE.precision | {
    "conv1": _WINDOW,
    "dense1": LayerPrecision(weight_bits=8, output_bits=8),
    "dense2": LayerPrecision(weight_bits=4, output_bits=11),
}
# A run's steps, which are for coarser rows, lead away from the unrounded score here.
_QAT = DistillConfig(batch_size=512, qat_learning_rate=5e-4)


class RegionConfig(FirmwareConfig):
    """A trigger network of bent regions (18, 14, 1) in the place of pooled towers."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of one crossing's regions."""
        return (*REGIONS, 1)


@dataclass(frozen=True)
class Design:
    """windows: sides (phi, eta) [regions]. dense: (1,) for the errors, () for the distance. knee, bits: of a word."""

    windows: tuple[int, int] = (6, 2)
    dense: tuple[int, ...] = (1,)
    knee: int = 16
    bits: int = 7

    @property
    def firmware(self) -> RegionConfig:
        """The network behind the bend."""
        return RegionConfig(
            # A config knows pooled inputs alone; a region adds up both calorimeters.
            inputs=("ecal",),
            distance=(("ecal",),),
            count_bits=self.bits,
            conv=(ConvConfig(1, self.windows, self.windows),),
            dense=self.dense,
            precision=_ERRORS if self.dense else _DISTANCE,
        )

    def bent(self, regions: np.ndarray) -> np.ndarray:
        """Regions (n, 18, 14) -> words (n, 18, 14, 1) int64.

        >>> Design().bent(np.array([[0, 16, 24, 28, 36, 1023]]))[0, :, 0].tolist()
        [0, 16, 17, 18, 18, 127]
        """
        values = np.minimum(regions, LARGEST_REGION).astype(np.int64)
        above = np.maximum(values - self.knee, 0)
        words = np.rint(values - above * (1 - 2.0**-_SLOPE)).astype(np.int64)
        return np.minimum(words, (1 << self.bits) - 1)[..., None]


DESIGNS = {"errors": Design(), "distance": Design(dense=()), "unbent": Design(knee=LARGEST_REGION, bits=6)}


def learned(design: Design, train: np.ndarray, calibration: np.ndarray, seeds: list[int]) -> dict[int, Student]:
    """Seed -> float network and firmware of a design, from regions (n, 18, 14)."""
    given, other = design.bent(train), design.bent(calibration)
    how = (Training(_QAT, seed=seed) for seed in seeds)
    return {of.seed: learn_distance(given, np.ones(len(given)), other, design.firmware, of) for of in how}


def whole_model(student: Student, design: Design) -> Any:
    """The QKeras model of bend and network, regions (N, 18, 14, 1) -> score (N, 1)."""
    import keras
    import qkeras

    def conv(filters: int, kernel: Any, bias: Any, name: str) -> Any:
        return qkeras.QConv2D(filters, 1, kernel_quantizer=kernel, bias_quantizer=bias, name=name)

    def bits(width: int, integer: int) -> Any:
        return qkeras.quantized_bits(width, integer, alpha=1)

    x = inputs = keras.Input((*REGIONS, 1), name="regions")
    # The region, and what of it is above the knee.
    x = conv(2, bits(2, 1), bits(11, 10), "above")(x)
    x = qkeras.QActivation(qkeras.quantized_relu(INPUT_WORD.width, INPUT_WORD.width), name="above_relu")(x)
    x = conv(1, bits(_SLOPE + 2, 1), bits(2, 1), "bend")(x)
    x = qkeras.QActivation(qkeras.quantized_relu(design.bits, design.bits), name="bend_relu")(x)
    for layer in student.firmware.model.layers[1:]:
        # A layer of its own: one in two models has two inputs.
        x = type(layer).from_config(layer.get_config())(x)
    model = keras.Model(inputs, x)
    for layer in student.firmware.model.layers[1:]:
        model.get_layer(layer.name).set_weights(layer.get_weights())
    model.get_layer("above").set_weights([np.ones((1, 1, 1, 2)), np.array([0.0, -design.knee])])
    model.get_layer("bend").set_weights([np.array([1, 2.0**-_SLOPE - 1]).reshape(1, 1, 2, 1), np.zeros(1)])
    return model


def scores(name: str, design: Design, students: dict[int, Student]) -> dict[str, Score]:
    """Name -> score of regions in steps of 1 / 256: of the float network, and of the words of each seed."""

    def words(student: Student) -> Score:
        step = round(SCORE_STEPS * output_word(student.firmware.config).lsb)
        return lambda regions: step * student.firmware.predict_words(design.bent(regions))[:, 0]

    # All seeds have the same float network.
    of_float: Callable[[np.ndarray], np.ndarray] = next(iter(students.values())).float_model.predict_scores
    found: dict[str, Score] = {
        f"{name}, float": lambda regions: np.rint(of_float(design.bent(regions)) * SCORE_STEPS).astype(np.int64)
    }
    return found | {f"{name}, seed {seed}": words(student) for seed, student in students.items()}


def checked(student: Student, design: Design, crossings: np.ndarray, number: int, folder: Path) -> tuple[str, int]:
    """What the first seed's network costs, and how many words of all executors differ from the network behind the bend.

    crossings: regions (n, 18, 14) beside `number` random images.
    """
    regions = np.concatenate([images(number, 1), crossings[..., None].astype(np.int64)])
    expected = student.firmware.predict_words(design.bent(regions[..., 0]))[:, 0]
    word = output_word(student.firmware.config)
    return prove(whole_model(student, design), expected, regions, folder, INPUT_WORD, word)


def main() -> None:
    """Learn, prove, score the crossings of peers.py, print."""
    options = _parser().parse_args()
    if unknown := [name for name in options.designs if name not in DESIGNS]:
        raise InputError(f"design {unknown[0]}", f"some of {', '.join(DESIGNS)}", "correct the designs")
    if options.images < 0:
        raise InputError(f"--images {options.images}", "a number >= 0", "take 0 to build no firmware")
    check(options, load_config("demo"))
    read_config(options.peers)
    shown: dict[str, Score] = {}
    if options.cicada:
        shown = {f"CICADA {version}": of.words for version, of in read_published(options.cicada).items()}
    # The seed is the seed: the same weights on every processor.
    cli.import_tensorflow(deterministic=True)
    train, calibration = (split_regions(options.work, split) for split in ("train", "calibration"))
    print(f"{len(train):,} crossings learned", flush=True)
    students = {name: learned(DESIGNS[name], train, calibration, options.seeds) for name in options.designs}
    for name, of in students.items():
        shown |= scores(name, DESIGNS[name], of)
    print(table(results(read_samples(options.peers, shown), options.points)), flush=True)
    differ = 0
    for name, of in students.items() if options.images else ():
        said, unlike = checked(of[options.seeds[0]], DESIGNS[name], calibration, options.images, options.out / name)
        print(f"{name}, seed {options.seeds[0]}: {said}", flush=True)
        differ += unlike
    sys.exit(int(differ > 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="work folder of a sample of crossings, whose train split is learned")
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), help="some of these")
    parser.add_argument("--cicada", type=Path, help="checkout of github.com/cms-hls4ml/CICADA, for its rows")
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder of peers.py")
    parser.add_argument("--out", type=Path, default=Path("regions"), help="folder of what is built, new or empty")
    parser.add_argument("--images", type=int, default=4000, help="random images of the proof, 0: build no firmware")
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="as those of peers.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    return parser


if __name__ == "__main__":
    cli.run(main, resumes=False)
