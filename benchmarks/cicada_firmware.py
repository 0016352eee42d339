"""CICADA's network through this project's firmware chain: the same words in every executor, LUT, FF, latency.

    python benchmarks/cicada_firmware.py --cicada CICADA --out cicada-firmware
    python benchmarks/cicada_firmware.py --student cicada-trained/student.npz --out student-firmware

The published weights of a checkout (scripts/studies/_cicada.py), or those that cicada_training.py learned, make a
QKeras model. Its records go to da4ml's interpreter, the C++ emulator, hls4ml's emulation and the Verilog pipeline,
clocked by Verilator; Yosys maps that pipeline. The reference is the network in integers, which gives the words of the
published library.
Where CICADA's C++ names an accumulator (ap_fixed<30,22>, ap_fixed<26,14>) there is none here: sums are exact, as its
own are, since none of them rounds or overflows.
Prints one JSON object and ends with status 1 where a word differs.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import DAMAGED
from codae_l1.data.base.words import WordType
from codae_l1.scripts.studies._cicada import KNOWN, LARGEST_REGION, REGIONS, VERSION, Cicada, read_cicada

# Regions as the network takes them: 10 bits; the score in steps of 1 / 256.
INPUT_WORD = WordType(False, 10, 0, "TRN", "SAT")
SCORE_WORD = WordType(False, 8, 8, "RND_CONV", "SAT")
# Layer with weights -> fraction bits of its weights, as scripts/studies/_cicada.py counts them.
FRACTIONS = {"conv": 8, "dense": 6, "bias": 4, "last": 8}
# Of one outside tool; the pipeline is six times that of the demo.
TIMEOUT_S = 3600.0
# Random images of each of these largest words.
_TOPS = (2, 4, 8, 16, 32, 64, 256, 1024)


def build_qkeras() -> Any:
    """A QKeras model of CICADA's shape, regions (N, 18, 14, 1) -> score (N, 1), with the quantizers of its training.

    quantized_bits(12, 3) for the convolution and the last sum, (8, 1) and a bias of (8, 3) for the sixteen sums,
    quantized_relu(10, 6) twice and quantized_relu(16, 8).
    """
    import keras
    import qkeras

    def bits(width: int, integer: int) -> Any:
        return qkeras.quantized_bits(width, integer, alpha=1)

    def relu(x: Any, name: str, width: int, integer: int) -> Any:
        return qkeras.QActivation(qkeras.quantized_relu(width, integer), name=name)(x)

    inputs = keras.Input((*REGIONS, 1), name="regions")
    x = qkeras.QConv2D(4, (2, 2), (2, 2), use_bias=False, kernel_quantizer=bits(12, 3), name="conv")(inputs)
    x = keras.layers.Flatten(name="flatten")(relu(x, "conv_relu", 10, 6))
    x = qkeras.QDense(16, kernel_quantizer=bits(8, 1), bias_quantizer=bits(8, 3), name="dense")(x)
    x = qkeras.QDense(1, use_bias=False, kernel_quantizer=bits(12, 3), name="last")(relu(x, "dense_relu", 10, 6))
    return keras.Model(inputs, relu(x, "score", 16, 8), name="cicada")


def qkeras_model(network: Cicada) -> Any:
    """The QKeras model of a network."""
    model = build_qkeras()
    # Filters come last in Keras.
    weights = {
        "conv": [network.filters.transpose(1, 2, 0)[:, :, None]],
        "dense": [network.dense, network.bias],
        "last": [network.last[:, None]],
    }
    for name, arrays in weights.items():
        fractions = (FRACTIONS[name], FRACTIONS["bias"])
        model.get_layer(name).set_weights([a / 2.0**f for a, f in zip(arrays, fractions, strict=False)])
    return model


def network_of(model: Any) -> Cicada:
    """The network in integers of a QKeras model that was trained: the opposite of `qkeras_model`."""

    def steps(layer: str, part: str, fraction: int) -> np.ndarray:
        of = model.get_layer(layer)
        values = np.asarray(getattr(of, f"{part}_quantizer_internal")(getattr(of, part)), np.float64) * 2.0**fraction
        return np.rint(values).astype(np.int64)

    filters = steps("conv", "kernel", FRACTIONS["conv"])[:, :, 0].transpose(2, 0, 1)
    bias = steps("dense", "bias", FRACTIONS["bias"])
    return Cicada(filters, steps("dense", "kernel", FRACTIONS["dense"]), bias, steps("last", "kernel", 8)[:, 0])


def read_student(path: Path) -> Cicada:
    """The network in integers that cicada_training.py left."""
    try:
        with path.open("rb") as handle, np.load(handle) as content:
            return Cicada(**{name: content[name] for name in content.files})
    except DAMAGED as error:
        raise InputError(f"{path} cannot be read ({error})", "student.npz of cicada_training.py", "name it") from None


def executors(network: Cicada, folder: Path) -> dict[str, Any]:
    """Every executor of a network by name, made in a folder; "qkeras" first."""
    return model_executors(qkeras_model(network), INPUT_WORD, SCORE_WORD, folder)


def model_executors(model: Any, given: WordType, score: WordType, folder: Path) -> dict[str, Any]:
    """The same of any QKeras model whose input and output have these words."""
    from codae_l1.hls.hls4ml.project import convert_network
    from codae_l1.hls.network.mismatch import QKerasNetwork
    from codae_l1.hls.network.records import read_network
    from codae_l1.hls.rtl.build import Interpreter, RtlSimulation, build_rtl
    from codae_l1.hls.target.config import HlsConfig
    from codae_l1.hls.trigger.emulator import Emulator, build_emulator

    config, records = HlsConfig(tool_timeout_s=TIMEOUT_S), read_network(model, given)
    build_rtl(records, score, config, folder / "rtl")
    build_emulator(records, score, config, folder / "emulator")
    found = [
        QKerasNetwork(model, records, score),
        Interpreter(folder / "rtl"),
        Emulator(folder / "emulator"),
        RtlSimulation(folder / "rtl"),
        convert_network(model, records, score, config, folder / "hls4ml"),
    ]
    return {executor.name: executor for executor in found}


def images(number: int, seed: int) -> np.ndarray:
    """Regions (n, 18, 14, 1): constants, one region at a time, and `number` random images of every density."""
    rng = np.random.default_rng(seed)
    cells = np.zeros((252, 252), np.int64)
    cells[np.diag_indices(252)] = np.tile([100, 200, LARGEST_REGION], 84)
    constants = np.tile(np.array([0, 1, 2, 4, 8, 16, 32, 64, LARGEST_REGION])[:, None], 252)
    tops = np.resize(_TOPS, number)[:, None]
    random = (rng.random((number, 252)) * tops).astype(np.int64) * (rng.random((number, 252)) < rng.random((number, 1)))
    return np.concatenate([constants, cells, random]).reshape(-1, *REGIONS, 1)


def unlike(network: Cicada, made: dict[str, Any], regions: np.ndarray) -> dict[str, int]:
    """Executor -> of how many images (n, 18, 14, 1) its word is not that of the network in integers."""
    words = network.words(regions[..., 0])
    return {name: int((of.predict_words(regions)[:, 0] != words).sum()) for name, of in made.items()}


def main() -> None:
    """Make the executors, compare them, map the pipeline, print."""
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.rtl.clocks import count_clocks
    from codae_l1.hls.target.config import HlsConfig

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--cicada", type=Path, help="checkout of github.com/cms-hls4ml/CICADA")
    which.add_argument("--student", type=Path, help="student.npz of cicada_training.py")
    parser.add_argument("--version", choices=list(KNOWN), default=VERSION, help="of the checkout's networks")
    parser.add_argument("--out", type=Path, default=Path("cicada-firmware"), help="folder of what is built")
    parser.add_argument("--images", type=int, default=20_000, help="random images, beside 261 that are made by a rule")
    parser.add_argument("--seed", type=int, default=1, help="of the random images")
    options = parser.parse_args()
    network = read_cicada(options.cicada, options.version) if options.cicada else read_student(options.student)
    options.out.mkdir(parents=True, exist_ok=True)
    made, regions = executors(network, options.out), images(options.images, options.seed)
    found = unlike(network, made, regions)
    config = HlsConfig(tool_timeout_s=TIMEOUT_S)
    report = synthesize(options.out / "rtl", config, clocks=count_clocks(options.out / "rtl"))
    keys = ("latency_cycles", "latency_ns", "interval_cycles", "clock_period_ns", "part", "da4ml_cost", "latency_how")
    shown = {
        "network": str(options.student or options.version),
        "images": len(regions),
        "unlike": found,
        "resources": report["resources"],
    }
    print(json.dumps(shown | {key: report[key] for key in keys} | {"estimates": report["estimates"]}, indent=1))
    sys.exit(int(any(found.values())))


if __name__ == "__main__":
    from codae_l1.scripts.run import cli

    cli.run(main, resumes=False)
