"""Integer bits from QCD: the float model's weights and activations decide where the binary point of each word lies.

integer bits = ceil(log2(margin * range)), where the range is a quantile, over the calibration events, of the largest
magnitude per event. Quantile 1, the default, is the largest value of all, and a quantile q lets at most a fraction 1 -
q of the events saturate. The input word may be fitted in the same way (`calibrate_input`), before the float model is
trained on saturated inputs. A saturated output is still monotone, while a wrapped one would not be, so the words
saturate.

The bias gets one fraction bit more than the products and an odd word (`without_ties`): then no sum lies
half-way between two words, and half to even = half up, cheaper in logic.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word
from codae_l1.quantization.f_m.network import BATCH, saturated
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.quantization.f_m.weights import set_weight_words, weight_words

if TYPE_CHECKING:
    import keras

# Largest weight over the edge of its word: the word reaches just below its upper edge, 2^integer.
WEIGHT_MARGIN = 1.02


def calibrate(
    config: FirmwareConfig,
    model: "keras.Model",
    counts: np.ndarray,
    margin: float = 1.5,
    output_margin: float = 6.0,
    quantile: float = 1.0,
) -> FirmwareConfig:
    """The config with integer bits that fit the float model on calibration counts (N, 18, 15, inputs) of QCD.

    margin: head room of the hidden words, for events busier than QCD. output_margin: the same of the output word, whose
    extra bits cost next to nothing. quantile: see `ranges`. Widths stay as they are, the bias's aside.
    """
    _check_margins(margin, output_margin)
    largest = ranges(config, model, counts, quantile)
    precision, word = {}, input_word(config)
    for name in config.layers:
        old, (kernel, bias) = config.layer_precision(name), model.get_layer(name).get_weights()
        head_room = output_margin if name == "output" else margin
        new = dataclasses.replace(
            old,
            weight_integer=integer_bits(np.abs(kernel).max() * WEIGHT_MARGIN),
            output_integer=max(integer_bits(largest[name] * head_room), 0),
        )
        # Odd words of one bit below the products' step: sums never lie on a tie. A small bias gets more integer bits
        # than it needs, not a finer step, which would cost exactness in float32.
        fraction = word.fraction + new.weight_word.fraction + 1
        integer = max(integer_bits(np.abs(bias).max() * head_room), 1 - fraction)
        precision[name] = dataclasses.replace(new, bias_integer=integer, bias_bits=1 + integer + fraction)
        word = dataclasses.replace(config, precision={name: precision[name]}).layer_output(name)
    return dataclasses.replace(config, precision=precision)


def calibrate_input(
    config: FirmwareConfig, counts: np.ndarray, margin: float = 1.5, quantile: float = 1.0
) -> FirmwareConfig:
    """The config with a count_bits whose word holds margin * range of counts (N, 18, 15, inputs), as pooled, of QCD.

    Where tracks alone are read, no cell can hold more than its pixels, and no more bits are taken.

    >>> counts = np.full((4, 18, 15, 1), 3)
    >>> [calibrate_input(FirmwareConfig(), counts, margin).count_bits for margin in (1.5, 9.0)]
    [3, 5]
    """
    _check_margins(margin)
    largest = margin * _quantile(np.asarray(counts).max(axis=(1, 2, 3), initial=0), quantile)
    if config.inputs == ("tracks",):
        largest = min(largest, config.pool**2)
    return dataclasses.replace(config, count_bits=max(int(np.floor(largest)).bit_length(), 1))


def ranges(config: FirmwareConfig, model: "keras.Model", counts: np.ndarray, quantile: float = 1.0) -> dict[str, float]:
    """Range of what leaves each layer (after its ReLU) on counts (N, 18, 15, inputs).

    It is the quantile over the events of an event's largest magnitude; 1: the largest of all.
    """
    import keras

    values = saturated(counts, config)
    outputs = [model.get_layer("output_word" if n == "output" else f"{n}_relu").output for n in config.layers]
    probe = keras.Model(model.inputs, outputs)
    found: dict[str, list[np.ndarray]] = {name: [] for name in config.layers}
    for start in range(0, len(values), BATCH):
        results = probe.predict_on_batch(values[start : start + BATCH])
        results = results if isinstance(results, list) else [results]
        for name, result in zip(config.layers, results, strict=True):
            found[name].append(np.abs(result).reshape(len(result), -1).max(axis=1))
    return {name: _quantile(np.concatenate([[], *parts]), quantile) for name, parts in found.items()}


def _quantile(largest: np.ndarray, quantile: float) -> float:
    """The value that a share `quantile` of the events' largest values (N,) does not exceed."""
    if not 0 < quantile <= 1:
        raise InputError(f"quantile {quantile}", "a number above 0, at most 1", "take 1 for the largest value")
    if not len(largest):
        raise InputError("no calibration event", "at least one QCD event", "take a larger file")
    return float(np.quantile(largest, quantile, method="inverted_cdf"))


def _check_margins(*margins: float) -> None:
    if not all(1 <= margin < np.inf for margin in margins):
        raise InputError(f"margins {', '.join(map(str, margins))}", "finite numbers >= 1", "correct them")


def without_ties(model: "keras.Model", config: FirmwareConfig) -> list[str]:
    """Make bias words odd where they are finer than the products; return the layers where no tie can occur now.

    The change is at most half the step of the products.
    """
    words, free, word = weight_words(model, config), [], input_word(config)
    for name in config.layers:
        precision: LayerPrecision = config.layer_precision(name)
        if precision.bias_word.fraction == word.fraction + precision.weight_word.fraction + 1:
            words[f"{name}.bias"] |= 1
            free.append(name)
        word = config.layer_output(name)
    set_weight_words(model, config, words)
    return free


def integer_bits(largest: float) -> int:
    """Integer bits of a word that holds `largest`; a layer of zeros gets a word around 1.

    >>> integer_bits(0.3), integer_bits(5.0), integer_bits(0.0)
    (-1, 3, 0)
    """
    return int(np.ceil(np.log2(largest))) if largest > 0 else 0
