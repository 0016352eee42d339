"""What cannot be generated is refused: by the config where it is known, else after a number of tries."""

import math

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.generation import _chunks
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.generation.jets import JetConfig


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        (GenerationConfig, "minimum_ht_gev", 100_000.0, "less than the collisions' energy, 13600 GeV"),
        (GenerationConfig, "pileup_mean", 100_000.0, "a value up to 1,000"),
        (GenerationConfig, "pileup_mean", math.inf, ">= 0"),
        (JetConfig, "pt_min_gev", 100_000.0, "less than 7000 GeV"),
        (GenerationConfig, "temperature_gev", 0.001, "at least 0.004, a 500th of the meson's mass"),
        (CrossingsConfig, "temperature_gev", 0.0, "a value > 0"),
        (GenerationConfig, "masses_gev", ("h125=20000",), "masses from 50 to below 13600, such as h125=150"),
        (GenerationConfig, "masses_gev", ("h125=100", "h125=120"), "one mass each of signals that are made"),
        (CrossingsConfig, "masses_gev", ("h125=100", "h125=120"), "one mass each of signals that are made"),
        (CrossingsConfig, "masses_gev", ("h125=inf",), "masses from 50 to below 13600"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(kind, key, value, words):
    with pytest.raises(InputError, match=rf"{key} = .*{words}"):
        kind(**{key: value} | ({"pt_max_gev": 200_000.0} if kind is JetConfig else {}))


def test_a_mass_of_a_signal_that_is_not_made_is_refused():
    for kind, processes in ((GenerationConfig, ("qcd", "h200")), (CrossingsConfig, ("w", "h200"))):
        with pytest.raises(InputError, match=r"masses_gev = \('h125=150',\); expected one mass each .*h200\)"):
            kind(masses_gev=("h125=150",), processes=processes)
        assert kind(masses_gev=("h200=250",), processes=processes).masses_gev == ("h200=250",)


def test_a_selection_that_nothing_passes_says_its_acceptance_and_stops(monkeypatch):
    config = GenerationConfig(minimum_ht_gev=9000.0, pileup_mean=0)
    task = _chunks.Task("qcd", "all", 0, 0, 4)

    class Collisions:
        weight = np.ones(32)

    class Readout:
        candidates = [None] * 32

    class Never:
        def __init__(self, pythia):
            pass

        def ht(self, candidates):
            return 700.0

    monkeypatch.setattr(_chunks, "JetFinder", Never)
    monkeypatch.setattr(_chunks, "collisions", lambda pythia, count: Collisions)
    monkeypatch.setattr(_chunks._Maker, "_read_out", lambda self, particles, slots: Readout)
    maker = _chunks._Maker(config, task, None, None, np.random.default_rng(1))

    def make():
        for _ in range(1000):
            maker.make_batch()

    words = r"0 of 5,0\d\d qcd events pass the selection, none of the last 5,0\d\d \(minimum_ht_gev = 9000\); .*lower"
    with pytest.raises(ToolError, match=words):
        make()
