"""Words that QKeras does not have (TRN, RND; WRAP): hls4ml = emulator = interpreter = an integer reference.

What QKeras has is tested kind by kind in test_kinds.py.
"""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from layer_base import Drawn, Spec, bits_word, dense, drawn, flatten, relu_word

from codae_l1.data.base.words import WordType
from codae_l1.hls.layers import Activation
from codae_l1.hls.network.mismatch import compare

# Words that QKeras does not have: (rounding, overflow, signed), of which one network takes one per layer.
MODES = [
    ("TRN", "WRAP", True),
    ("RND", "SAT", False),
    ("TRN", "SAT", True),
    ("RND_CONV", "WRAP", False),
    ("RND", "WRAP", True),
    ("TRN", "WRAP", False),
    ("RND", "SAT", True),
    ("RND_CONV", "WRAP", True),
]


class IntegerReference:
    """Dense layers and words of any rule in integers alone, as an executor; it shares no code with the others."""

    name = "reference"

    def __init__(self, network):
        self.network = network

    def predict_words(self, counts):
        low, high = self.network.input_word.bounds
        words, fraction = np.clip(counts.reshape(len(counts), -1), low, high), self.network.input_word.fraction
        self.layers = {}
        for layer in self.network.layers:
            if layer.kind == "dense":
                new = fraction + 4  # all weights and biases have four fraction bits
                words = words @ np.rint(layer.kernel * 16).astype(np.int64)
                words += np.rint(layer.bias * 2.0**new).astype(np.int64)
                fraction = new
            elif layer.kind == "activation":
                words, fraction = self.word(words, fraction, layer.quantizer), layer.quantizer.word.fraction
            self.layers[layer.name] = words * 2.0**-fraction
        return words

    def word(self, words, fraction, quantizer):
        if quantizer.relu:
            words = words * (words > 0)
        word, shift = quantizer.word, fraction - quantizer.word.fraction
        if shift > 0:
            half, rest = 1 << (shift - 1), words & ((1 << shift) - 1)
            words = words >> shift
            if word.rounding != "TRN":
                even = word.rounding == "RND_CONV"
                words += (rest > half) | ((rest == half) & ((words & 1 == 1) | (not even)))
        else:
            words = words << -shift
        turn, sign = 1 << word.width, 1 << (word.width - 1)
        if word.overflow == "WRAP":
            words = words % turn
            return np.where(words >= sign, words - turn, words) if word.keep_negative else words
        return np.clip(words, *((-sign, sign - 1) if word.keep_negative else (0, turn - 1)))

    def predict_layers(self, counts):
        self.predict_words(counts)
        return self.layers


@st.composite
def ruled(draw):
    """A Spec of dense layers and words, and the words that take the place of QKeras's."""
    modes, layers, words = draw(st.permutations(MODES)), [(flatten, {})], []
    for rounding, overflow, signed in modes:
        integer, fraction = draw(st.integers(2, 4)), draw(st.integers(0, 2))
        words.append(WordType(signed, integer, fraction, rounding, overflow))
        layers.append((dense, {"units": 4, "bits": 6}))
        if signed:
            layers.append(
                (bits_word, {"bits": 1 + integer + fraction, "integer": integer, "symmetric": False, "signed": True})
            )
        else:
            layers.append((relu_word, {"bits": integer + fraction, "integer": integer}))
    return Spec(WordType(False, 4, 1, "TRN", "SAT"), 2, 2, tuple(layers), draw(st.integers(0, 99))), words


def test_words_that_qkeras_does_not_have_follow_their_rules_in_every_executor(tmp_path_factory, quick_compiler):
    @drawn(1)
    @given(ruled())
    def agrees(given_):
        spec, words = given_
        case, words = Drawn(spec), iter(words)
        layers = tuple(
            dataclasses.replace(layer, quantizer=dataclasses.replace(layer.quantizer, word=next(words)))
            if isinstance(layer, Activation)
            else layer
            for layer in case.network.layers
        )
        case.network = dataclasses.replace(case.network, layers=layers)
        case.output = layers[-1].word
        reference, folder = IntegerReference(case.network), tmp_path_factory.mktemp("ruled")
        assert len(np.unique(reference.predict_words(case.counts))) > 4
        for name in ("interpreter", "emulator", "hls"):
            mismatch = compare(reference, case.make(name, folder), case.counts)
            assert mismatch.different == 0, f"{mismatch}; {mismatch.samples}; {case.network}"

    agrees()
