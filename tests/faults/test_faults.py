"""Whatever is wrong with an input at random, it is read right or refused by name.

Hypothesis draws the changes, always the same ones: a few of each kind, and more with CODAE_FAULT_EXAMPLES=2000 in the
environment. tests/faults/fuzz.py does the same in processes of its own, which may die.
"""

import dataclasses
import logging
import os
import shutil

import pytest
from fault_engine import GOOD
from fault_kinds import KINDS, SLOW
from fault_run import OfRun
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")
EXAMPLES = int(os.environ.get("CODAE_FAULT_EXAMPLES", "20"))


def prepared(name, tmp_path, request):
    """A kind in a folder of its own; the run is the one that other tests have made."""
    kind = KINDS[name](tmp_path / name)
    if isinstance(kind, OfRun):
        shutil.copytree(request.getfixturevalue("scoring_run"), kind.folder / "good")
    kind.prepare()
    return kind


@pytest.mark.parametrize("name", [name for name in KINDS if name not in SLOW])
def test_one_thing_wrong_is_read_right_or_refused(name, tmp_path, monkeypatch, request):
    # Lines about what was done to the events go to nobody.
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    kind = prepared(name, tmp_path, request)
    seen, bad = [], []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(list(kind.changes)), st.integers(0, 2**32 - 1))
    def judged(change, seed):
        outcome = kind.judge(change, seed)
        seen.append(outcome.outcome)
        if outcome.outcome not in GOOD:
            bad.append(dataclasses.astuple(outcome))

    judged()
    assert bad == []
    assert len(seen) >= EXAMPLES


# Of many thousand cases, those that went wrong once: a process that died, another stage's JSON, texts for numbers.
ONCE = (
    ("arrays_file", "blank", 1888484829),
    ("run", "swapped", 2585336727),
    ("weights", "meta", 2660015838),
    ("weights_float", "meta", 2760418305),
    ("delphes", "blank", 778677121),
    ("crossings", "summed", 4148663645),
)


@pytest.mark.parametrize(("name", "change", "seed"), ONCE)
def test_what_went_wrong_once_is_refused(name, change, seed, tmp_path, monkeypatch, request):
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)
    kind = prepared(name, tmp_path, request)
    assert kind.judge(change, seed).outcome == "refused"
