"""The architecture of CICADA, trained on this project's zero bias: teacher, student with made-up outliers, firmware.

    python benchmarks/peers.py --cicada CICADA --out peers
    python benchmarks/cicada_training.py data/sample/crossings.work --peers peers --out cicada-trained

As CICADA is trained (Princeton-AD/cicada), in the deterministic mode. The teacher, an auto-encoder of the 18 x 14
regions (convolutions of 20 and 30 filters, 80 latents, 323,731 parameters), learns natural zero bias. The student, the
network of cicada_firmware.py, learns the word that says how badly the teacher does:

    32 ln(mean squared error over the regions, in words^2), from 0 to 255.996

on zero bias and on outliers that are made up: several crossings added, or regions of up to 1023 words put in. It
differs from CICADA's in that there is no dropout and no normalization of batches. The first argument is the work folder
that `make_data.py --layout crossings` leaves next to its file; its train split is learned. --peers: the folder of
peers.py, whose crossings of other collisions are scored. Prints the table of peers.py with the rows of the teacher and
of the student, and saves the student's weights to student.npz.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cicada_firmware import build_qkeras, network_of
from crossing_samples import read_config
from peers import POINTS, read_samples, results, table

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.generation._crossing_chunks import crossing_tasks, crossings
from codae_l1.scripts.run import cli
from codae_l1.scripts.studies._cicada import LARGEST_REGION, SCORE_STEPS, region_words

LARGEST_TARGET = 65_535 / SCORE_STEPS


@dataclass(frozen=True)
class Training:
    """epochs of the teacher and of the student, batch sizes, and the steps of Adam."""

    teacher_epochs: int = 8
    student_epochs: int = 40
    teacher_batch: int = 512
    student_batch: int = 1024
    teacher_step: float = 1e-3
    student_step: float = 2e-3


def split_regions(work: Path, split: str = "train") -> np.ndarray:
    """Regions (n, 18, 14) uint16 of the zero bias of a sample's train or calibration split, each of weight 1."""
    config, parts = read_config(work), []
    for task in crossing_tasks(config):
        if task.split == split and task.process == ZERO_BIAS:
            parts += [region_words(images).astype(np.uint16) for _, images in crossings(config, task, work)]
    if not parts:
        raise InputError(f"no crossings of the {split} split in {work}", "some to learn", "take another sample")
    return np.concatenate(parts)


def build_teacher() -> Any:
    """The auto-encoder: regions (N, 18, 14, 1) -> the same, both in words."""
    import keras

    def conv(filters: int, name: str) -> Any:
        return keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=name)

    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((18, 14, 1)),
            conv(20, "encoder1"),
            layers.AveragePooling2D(2),
            conv(30, "encoder2"),
            layers.Flatten(),
            layers.Dense(80, activation="relu", name="latent"),
            layers.Dense(9 * 7 * 30, name="decoder1"),
            layers.Reshape((9, 7, 30)),
            layers.Activation("relu"),
            conv(30, "decoder2"),
            layers.UpSampling2D(2),
            conv(20, "decoder3"),
            conv(1, "regions"),
        ]
    )


def targets(teacher: Any, regions: np.ndarray) -> np.ndarray:
    """What the student is to say of regions (n, 18, 14): (n,) from 0 to 255.996."""
    values = regions[..., None].astype(np.float32)
    error = np.square(teacher.predict(values, batch_size=2048, verbose=0) - values).mean(axis=(1, 2, 3))
    return np.clip(32 * np.log(np.maximum(error, 1e-9)), 0, LARGEST_TARGET)


def outliers(regions: np.ndarray, seed: int) -> np.ndarray:
    """As many regions (n, 18, 14) that no zero bias has: two to eight crossings added; one to 40 hot regions put in."""
    rng, n = np.random.default_rng(seed), len(regions)
    added = np.zeros((n, 18, 14), np.int64)
    number = rng.integers(2, 9, n)
    for k in range(8):
        added += regions[rng.permutation(n)] * (number > k)[:, None, None]
    hot = np.exp(rng.uniform(0, np.log(LARGEST_REGION), (n, 18, 14)))
    where = rng.random((n, 18, 14)) < np.exp(rng.uniform(0, np.log(40), n))[:, None, None] / 252
    put = regions + (hot * where).astype(np.int64)
    return np.minimum(np.where((np.arange(n) % 2)[:, None, None], put, added), LARGEST_REGION)


def train(regions: np.ndarray, how: Training, seed: int) -> tuple[Any, Any]:
    """Teacher and student of regions (n, 18, 14)."""
    import keras

    keras.utils.set_random_seed(seed)
    teacher, values = build_teacher(), regions[..., None].astype(np.float32)
    teacher.compile(keras.optimizers.Adam(how.teacher_step), "mse")
    teacher.fit(values, values, batch_size=how.teacher_batch, epochs=how.teacher_epochs, verbose=2)
    student, shown = build_qkeras(), np.concatenate([regions, outliers(regions, seed)])
    # Above zero at the start, where a ReLU learns.
    student.get_layer("last").set_weights([np.full((16, 1), 0.125)])
    student.compile(keras.optimizers.Adam(how.student_step), "mae")
    inputs, wanted = shown[..., None].astype(np.float32), targets(teacher, shown)
    student.fit(inputs, wanted, batch_size=how.student_batch, epochs=how.student_epochs, verbose=2)
    return teacher, student


def main() -> None:
    """Train, score the crossings of peers.py, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="work folder of a sample of crossings, whose train split is learned")
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder of peers.py")
    parser.add_argument("--out", type=Path, default=Path("cicada-trained"), help="folder of the student's weights")
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="as those of peers.py")
    parser.add_argument("--seed", type=int, default=1, help="of the weights and of the outliers")
    options = parser.parse_args()
    # The seed is the seed: the same weights on every processor.
    cli.import_tensorflow(deterministic=True)
    regions = split_regions(options.work)
    teacher, student = train(regions, Training(), options.seed)
    network = network_of(student)
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez(options.out / "student.npz", **vars(network))
    scores = {
        "CICADA trained here": network.words,
        "its teacher": lambda found: np.rint(targets(teacher, found) * SCORE_STEPS).astype(np.int64),
    }
    print(f"{len(regions):,} crossings learned")
    print(table(results(read_samples(options.peers, scores), options.points)))


if __name__ == "__main__":
    cli.run(main, resumes=False)
