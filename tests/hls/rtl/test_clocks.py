"""Counting clocks: a pipeline of known latency and interval is counted right, one that is irregular is refused."""

import numpy as np
import pytest

from codae_l1.data.base.errors import ToolError
from codae_l1.hls.rtl.clocks import _count_interval, _count_latency

COUNTS = np.random.default_rng(1).integers(0, 100, (40, 3))
WORDS = COUNTS.sum(1, keepdims=True)


class Delay:
    """The sum of an event's counts, `latency` clocks later; takes an event every `interval` clocks only."""

    def __init__(self, latency, interval=1, glitch=0):
        self.latency, self.interval, self.glitch = latency, interval, glitch

    def predict_clocks(self, counts):
        taken = np.arange(len(counts)) // self.interval * self.interval
        words = counts.sum(1, keepdims=True)[taken]
        out = np.concatenate([np.zeros((self.latency, 1), np.int64), words])[: len(counts)]
        change = np.flatnonzero((out[1:] != out[:-1])[:, 0]) + 1
        out[change[1:] if self.glitch else []] += self.glitch
        return out


def steps(*pairs):
    return [(COUNTS[a], COUNTS[b], WORDS[a], WORDS[b]) for a, b in pairs]


@pytest.mark.parametrize("latency", [0, 1, 4, 11])
def test_the_latency_of_a_pipeline_is_counted(latency):
    assert _count_latency(Delay(latency), steps((0, 1), (1, 2), (2, 3)), stages=4) == latency


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_the_interval_of_a_pipeline_is_counted(interval):
    assert _count_interval(Delay(3, interval), COUNTS, WORDS, latency=3) == interval


def test_a_wrong_word_on_the_way_is_found():
    with pytest.raises(ToolError, match=r"no single latency: \[None\] clocks on 1 steps; expected each step"):
        _count_latency(Delay(3, glitch=1), steps((0, 1)), stages=3)


def test_a_word_that_never_comes_is_found():
    with pytest.raises(ToolError, match="no single latency"):
        _count_latency(Delay(60), steps((0, 1)), stages=3)


def test_steps_of_different_latency_are_found():
    class Uneven:
        def predict_clocks(self, counts):
            return Delay(int(counts[0, 0] == COUNTS[1, 0]) + 2).predict_clocks(counts)

    with pytest.raises(ToolError, match=r"no single latency: \[2, 3\] clocks on 2 steps"):
        _count_latency(Uneven(), steps((0, 2), (1, 2)), stages=3)


def test_words_that_are_wrong_at_any_interval_are_refused():
    with pytest.raises(ToolError, match="wrong words even with an event every 16 clocks"):
        _count_interval(Delay(3), COUNTS, WORDS + 1, latency=3)
