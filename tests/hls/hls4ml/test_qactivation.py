"""The word that clips the input of a leaky QActivation for hls4ml changes nothing that QKeras gives."""

import numpy as np
import pytest

from codae_l1.data.base.words import WordType
from codae_l1.hls.hls4ml._qactivation import leaky_word
from codae_l1.hls.layers import Quantizer


@pytest.mark.parametrize("fraction", [0, 1, 4])
@pytest.mark.parametrize(("integer", "own"), [(1, 5), (2, 2), (4, -1)])
def test_clipped_inputs_give_what_the_inputs_give(integer, own, fraction):
    quantizer = Quantizer(True, WordType(True, integer, own, "RND_CONV", "SAT"), 0.25)
    values = np.arange(-(2**9), 2**9) * 2.0**-fraction
    clipped = leaky_word(quantizer.word, fraction).quantize(values)
    # hls4ml's own LeakyReLU: the slope, then the word.
    given = quantizer.word.quantize(np.where(clipped < 0, clipped * 0.25, clipped))
    np.testing.assert_array_equal(given, quantizer.quantize(values))
    assert len(np.unique(given)) > 4
