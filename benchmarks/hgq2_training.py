"""The part of hgq2.py that runs in an environment of HGQ2: one dense layer whose widths are learned, weight by weight.

    KERAS_BACKEND=jax PYTHON benchmarks/hgq2_training.py GIVEN MADE

GIVEN holds what enters the layer, the score that the network shall give, the float weights of the layer, all words, and
the layers behind it, which stay as they are. MADE holds, for each beta, the integer words of kernel and bias, the bits
that HGQ2 gave each weight, and its own prediction for further events. It imports nothing of the project.
"""

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
from hgq.config import QuantizerConfig
from hgq.constraints import MinMax
from hgq.layers import QDense
from hgq.quantizer import Quantizer

# Fewest fraction bits of a weight, relative to the most: nothing is left of it then.
_FEWEST = 16


def fixed(signed: bool, integer: int, fraction: int, place: str = "datalane") -> Any:
    """A word that is the same for all values and is not learned: rounded half to even, saturated."""
    modes = {"round_mode": "RND_CONV", "overflow_mode": "SAT", "trainable": False}
    axes = {"homogeneous_axis": None, "heterogeneous_axis": ()}
    return QuantizerConfig("kif", place, k0=signed, i0=int(integer), f0=int(fraction), **modes, **axes)


def build(given: dict[str, np.ndarray], beta: float) -> tuple[Any, Any]:
    """The network from the layer to the score, and the layer."""
    fraction, input_word = int(given["fraction"]), given["input_word"]
    kernel = QuantizerConfig(
        "kif", "weight", k0=True, i0=0, f0=fraction, fc=MinMax(fraction - _FEWEST, fraction), overflow_mode="WRAP"
    )
    layer = QDense(
        given["kernel"].shape[1],
        kq_conf=kernel,
        iq_conf=fixed(False, *input_word),
        bq_conf=fixed(True, given["bias_integer"], int(input_word[1]) + fraction + 1, "bias"),
        beta0=beta,
    )
    inputs = keras.Input(given["kernel"].shape[:1])
    x = Quantizer(fixed(True, *given["word"]))(layer(inputs))
    x = keras.layers.Lambda(keras.ops.square)(x)
    for i in range(int(given["behind"])):
        dense = keras.layers.Dense(given[f"kernel{i}"].shape[1], trainable=False)
        x = Quantizer(fixed(*given[f"word{i}"]))(dense(x))
        dense.set_weights([given[f"kernel{i}"], given[f"bias{i}"]])
    layer.kernel.assign(given["kernel"])
    layer.bias.assign(given["bias"])
    return keras.Model(inputs, x), layer


def grid(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Values on a binary grid as integers of the coarsest one that holds them all, and its fraction bits."""
    fraction = next(f for f in range(-40, 41) if (values * 2.0**f == np.rint(values * 2.0**f)).all())
    return np.rint(values * 2.0**fraction).astype(np.int64), fraction


def learned(given: dict[str, np.ndarray], beta: float) -> dict[str, np.ndarray]:
    """Train with one beta: words, bits of each weight, effective bit operations, loss, prediction."""
    keras.utils.set_random_seed(int(given["seed"]))
    model, layer = build(given, beta)
    steps, batch, inputs = int(given["steps"]), int(given["batch"]), given["inputs"]
    rate = keras.optimizers.schedules.CosineDecay(float(given["rate"]), steps)
    model.compile(keras.optimizers.Adam(rate), "mse")
    model.fit(inputs, given["targets"], batch_size=batch, epochs=-(-steps * batch // len(inputs)), verbose=0)
    values = np.asarray(layer.qkernel, np.float64)
    if not values.any():
        sys.exit(f"beta {beta:g} leaves no weight: take a smaller one")
    kernel, fraction = grid(values)
    # One bit below the products' step, and odd: no sum lies on a tie.
    bias_fraction = int(given["input_word"][1]) + fraction + 1
    bias = np.rint(np.asarray(layer.bias, np.float64) * 2.0**bias_fraction).astype(np.int64) | 1
    layer.kernel.assign(values.astype(np.float32))
    layer.bias.assign((bias * 2.0**-bias_fraction).astype(np.float32))
    predicted = model.predict(given["asked"], batch_size=4096, verbose=0)[:, 0]
    loss = float(np.mean(np.square(model.predict(inputs, batch_size=4096, verbose=0) - given["targets"])))
    return {
        "kernel": kernel,
        "fraction": np.array(fraction),
        "bias": bias,
        "bias_fraction": np.array(bias_fraction),
        "bits": np.asarray(layer.kq.bits).astype(np.int64),
        "ebops": np.asarray(layer.ebops).astype(np.int64),
        "loss": np.array(loss),
        "predicted": predicted,
    }


def main() -> None:
    """Read, learn with every beta, write."""
    with np.load(Path(sys.argv[1])) as content:
        given = {name: content[name] for name in content.files}
    made = {}
    for i, beta in enumerate(given["betas"].tolist()):
        made |= {f"{name}{i}": value for name, value in learned(given, beta).items()}
    np.savez(Path(sys.argv[2]), **made)


if __name__ == "__main__":
    main()
