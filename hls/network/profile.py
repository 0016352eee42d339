"""What events do to every word of the network, including the input: range, used bits, overflows, zeros.

A value that a quantizer receives overflows if, rounded to the word's grid, it lies beyond the word's range: it is then
saturated or wrapped, depending on the word. The sums of a layer have words that no sum of the QKeras model can leave
(hls/network/records.py); their overflows are counted as well, because the sums of the float model are not bounded by
them.

    head room   bits at the top of the word that no value needs, including the sign of a word that is never negative
    tail room   bits at the bottom that are zero in every value; not defined for floats
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Activation, Layer
from codae_l1.hls.network.mismatch import keras_layers
from codae_l1.hls.network.records import Network, read_network

# Range of the histogram of exponents, floor(log2(|value|)); values outside count in its ends.
EXPONENTS = (-12, 20)


@dataclass
class _WordCount:
    """The values of one layer, counted batch by batch.

    above, below: values beyond the word's range. bits: all bits that are set in any magnitude. fractions: whether
    values lie between words. exponents: values with 2^e <= |value| < 2^(e + 1), e from EXPONENTS[0].
    """

    layer: str
    kind: str
    word: WordType
    values: int = 0
    zeros: int = 0
    above: int = 0
    below: int = 0
    low: float = np.inf
    high: float = -np.inf
    bits: int = 0
    fractions: bool = False
    exponents: np.ndarray = field(default_factory=lambda: np.zeros(EXPONENTS[1] - EXPONENTS[0] + 1, np.int64))

    def add(self, values: np.ndarray, asked: np.ndarray, low: float, high: float) -> None:
        """Values (any shape) that leave the layer; asked: what was to be represented; low, high: the word's range."""
        self.values += values.size
        self.zeros += int(np.count_nonzero(values == 0))
        self.above += int(np.count_nonzero(asked > high))
        self.below += int(np.count_nonzero(asked < low))
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        scaled = values / self.word.lsb
        self.fractions |= bool((scaled != np.rint(scaled)).any())
        whole = np.abs(np.floor(scaled)).astype(np.int64)
        self.bits |= int(np.bitwise_or.reduce(whole.ravel()))
        exponent = np.floor(np.log2(np.abs(values[values != 0]))).astype(np.int64)
        self.exponents += np.bincount(np.clip(exponent, *EXPONENTS) - EXPONENTS[0], minlength=len(self.exponents))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        word, counted = self.word, self.above + self.below
        # In two's complement -2^n takes the bits of 2^n - 1.
        top = max(np.floor(self.high / word.lsb), -np.floor(self.low / word.lsb) - 1, 0)
        head = word.width - word.keep_negative - int(top).bit_length() + int(word.keep_negative and self.low >= 0)
        tail = None
        if not self.fractions:
            tail = min((self.bits & -self.bits).bit_length() - 1, word.width) if self.bits else word.width
        saturates = word.overflow == "SAT"
        return {
            "layer": self.layer,
            "kind": self.kind,
            "word": str(word),
            "width": word.width,
            "integer": word.integer,
            "fraction": word.fraction,
            "values": self.values,
            "low": self.low,
            "high": self.high,
            "head_room": head,
            "tail_room": tail,
            "used_bits": max(word.width - head - (tail or 0), 0),
            "zeros": self.zeros / self.values,
            "above": self.above,
            "below": self.below,
            "saturated": counted if saturates else 0,
            "wrapped": 0 if saturates else counted,
            "exponents": self.exponents.tolist(),
        }


def _profile(network: Network, batches: Iterable[tuple[np.ndarray, Mapping[str, np.ndarray]]]) -> list[dict[str, Any]]:
    """Batches of (counts (N, ...) integers as pooled, {layer: values (N, ...)}) -> one record per layer, input first.

    The layers' values may be those of QKeras (`hls.mismatch.keras_layers`), of any executor that shows all layers, or
    of the float model of the same topology. Records: see _WordCount and the head of this module.
    """
    counts = {network.input_name: _WordCount(network.input_name, "input", network.input_word)}
    counts |= {layer.name: _WordCount(layer.name, layer.kind, layer.word) for layer in network.layers}
    for raw, layers in batches:
        missing = [layer.name for layer in network.layers if layer.name not in layers]
        if missing:
            raise InputError(
                f"no values of layer {missing[0]}", f"all {len(network.layers)} layers", "take an executor with all"
            )
        if not len(raw):
            continue
        word = network.input_word
        bounds = [edge * word.lsb for edge in word.bounds]
        value = word.from_words(np.clip(raw, *word.bounds))
        counts[network.input_name].add(value, word.from_words(raw), *bounds)
        for layer in network.layers:
            before, value = value, np.asarray(layers[layer.name], np.float64)
            counts[layer.name].add(value, *_asked(layer, before, value))
    if not counts[network.input_name].values:
        raise InputError("no event", "at least one event to profile", "take another file")
    return [count.as_dict() for count in counts.values()]


def profile_firmware(firmware: Any, float_model: Any, counts: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """FirmwareModel, its FloatModel, counts (N, 18, 15, inputs) -> records of both: {"qkeras": ..., "float": ...}.

    The float model's values are compared with the QKeras model's words: this shows what they would have lost.
    """
    from codae_l1.quantization.f_m.config import input_word
    from codae_l1.quantization.f_m.network import BATCH, saturated

    network = read_network(firmware.model, input_word(firmware.config))

    def batches(model: Any) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for start in range(0, len(counts), BATCH):
            raw = counts[start : start + BATCH]
            yield raw, keras_layers(model, saturated(raw, firmware.config))

    models = {"qkeras": firmware.model, "float": float_model.model}
    return {name: _profile(network, batches(model)) for name, model in models.items()}


def _asked(layer: Layer, before: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, float, float]:
    """What a layer's word was to hold, and the range that it has."""
    word = layer.word
    low, high = (edge * word.lsb for edge in word.bounds)
    if layer.passing:
        return value, -np.inf, np.inf
    if not isinstance(layer, Activation):
        return value, low, high
    quantizer = layer.quantizer
    if quantizer.relu:
        before = np.where(before < 0, before * quantizer.negative_slope, before)
    if word.overflow == "SAT":
        low, high = quantizer.bounds
    return quantizer.rounded(before), low, high


def table(records: list[dict[str, Any]]) -> str:
    """Records of `_profile` as aligned text, one line per layer."""
    head = ("layer", "word", "lowest", "highest", "used bits", "head, tail", "zeros %", "saturated", "wrapped")
    rows: list[tuple[str, ...]] = [head]
    for row in records:
        tail = "-" if row["tail_room"] is None else row["tail_room"]
        rows.append(
            (
                row["layer"],
                row["word"],
                f"{row['low']:g}",
                f"{row['high']:g}",
                f"{row['used_bits']} of {row['width']}",
                f"{row['head_room']}, {tail}",
                f"{100 * row['zeros']:.1f}",
                f"{row['saturated']:,}",
                f"{row['wrapped']:,}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = (
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
