"""Precision of one layer of the trigger network: word types of its weights, bias and output.

QKeras counts bits with the sign, integer bits without it, rounds half to even and saturates: quantized_bits(bits,
integer, alpha=1) is ap_fixed<bits, integer + 1, AP_RND_CONV, AP_SAT>; quantized_relu(bits, integer) is ap_ufixed<bits,
integer, AP_RND_CONV, AP_SAT>. Integer bits may be negative: the word then starts below the binary point.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType

# A float32 significand holds 24 bits (IEEE 754): sums of fewer LSBs than this are exact in any order.
EXACT_LSBS = 1 << 24
# Wider words than this are not what a trigger can pay for; it also keeps TF32 (11 significant bits) exact.
MOST_BITS = 11
# Output words are never multiplied again.
MOST_OUTPUT_BITS = 24
# Integer bits beyond this only come from a mistake.
MOST_INTEGER = 16


@dataclass(frozen=True)
class LayerPrecision:
    """Bits of one layer; widths count the sign, integer bits do not.

    weight_bits, weight_integer: signed words of the kernel.
    bias_bits, bias_integer: signed words of the bias.
    output_bits, output_integer: what leaves the layer: unsigned after a hidden layer's ReLU, signed after the last one.

    A training (distill, in situ) takes weight_bits and output_bits from here; it sets the integer bits and bias_bits
    itself, from the float model on QCD events (quantization/_calibration.py). Their values in a run's config have no
    effect; those that were used stand with the trained model, and in quantize.json of a run.

    >>> str(LayerPrecision(weight_bits=4, weight_integer=-1).weight_word)
    'ap_fixed<4,0,AP_RND_CONV,AP_SAT>'
    """

    weight_bits: int = 5
    weight_integer: int = 0
    bias_bits: int = 8
    bias_integer: int = 2
    output_bits: int = 6
    output_integer: int = 3

    @property
    def weight_word(self) -> WordType:
        """Word type of the kernel."""
        return _signed(self.weight_bits, self.weight_integer)

    @property
    def bias_word(self) -> WordType:
        """Word type of the bias."""
        return _signed(self.bias_bits, self.bias_integer)

    @property
    def relu_word(self) -> WordType:
        """Word type of a hidden layer's output."""
        return WordType(False, self.output_integer, self.output_bits - self.output_integer, "RND_CONV", "SAT")

    @property
    def output_word(self) -> WordType:
        """Word type of the last layer's output."""
        return _signed(self.output_bits, self.output_integer)

    @property
    def square_word(self) -> WordType:
        """Word type of the squares of the last layer's outputs, without rounding."""
        return WordType(False, 2 * self.output_integer + 1, 2 * self.output_word.fraction)

    def weight_words(self, name: str, weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Kernel and bias of the layer `name` as int64 words, keys "<name>.kernel" and "<name>.bias".

        Weights beyond their words saturate, as in QKeras. Raises InputError where some are no finite numbers.
        """
        bad = [int((~np.isfinite(values)).sum()) for values in weights]
        if any(bad):
            raise InputError(
                f"layer {name} with {sum(bad)} of {sum(v.size for v in weights)} weights that are no finite numbers",
                "finite weights",
                "train it again, at a lower learning rate",
            )
        kernel, bias = weights
        return {f"{name}.kernel": self.weight_word.to_words(kernel), f"{name}.bias": self.bias_word.to_words(bias)}

    def weight_types(self, name: str) -> dict[str, WordType]:
        """Word types of kernel and bias of the layer `name`, by the same keys."""
        return {f"{name}.kernel": self.weight_word, f"{name}.bias": self.bias_word}

    def check(self, where: str, last: bool) -> None:
        """Raise InputError, with the dotted path, where a number of bits makes no word."""
        for f in fields(self):
            value, path = getattr(self, f.name), f"{where}.{f.name}"
            if f.name.endswith("_integer"):
                # QKeras raises the integer 2 to quantized_relu's integer bits, which fails below zero.
                low = 0 if f.name.startswith("output") and not last else -MOST_INTEGER
                if not low <= value <= MOST_INTEGER:
                    raise InputError(
                        f"{path} = {value}", f"{low} to {MOST_INTEGER} integer bits", "calibrate it on QCD events"
                    )
                continue
            least = 2 if last or not f.name.startswith("output") else 1
            most = MOST_OUTPUT_BITS if (last and f.name == "output_bits") or f.name == "bias_bits" else MOST_BITS
            if not least <= value <= most:
                raise InputError(f"{path} = {value}", f"{least} to {most} bits", "change the number of bits")


def exact_accumulator(where: str, inputs: int, word: WordType, precision: LayerPrecision) -> WordType:
    """Word type that holds every sum of `inputs` products and the bias; its widest sum must be exact in float32.

    where: dotted path of the layer, for the error. word: type of the layer's inputs.

    >>> exact_accumulator("firmware.precision.conv1", 9, WordType(False, 5, 0), LayerPrecision()).fraction
    5
    """
    weight, bias = precision.weight_word, precision.bias_word
    products = word.fraction + weight.fraction
    fraction = max(products, bias.fraction)
    widest = inputs * max(map(abs, word.bounds)) * max(map(abs, weight.bounds)) << (fraction - products)
    widest += max(map(abs, bias.bounds)) << (fraction - bias.fraction)
    if widest >= EXACT_LSBS:
        raise InputError(
            f"{where}: sums of {inputs} products and a bias reach {widest} LSB",
            f"fewer than {EXACT_LSBS}, what float32 adds exactly",
            f"take fewer weight, bias or input bits, or fewer integer bits in {where}.bias_integer",
        )
    return WordType(True, widest.bit_length() - fraction, fraction)


def _signed(bits: int, integer: int) -> WordType:
    return WordType(True, integer, bits - 1 - integer, "RND_CONV", "SAT")
