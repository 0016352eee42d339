import json

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.evaluation.float_vs_fixed import CURVE_POINTS, SCATTER_EVENTS, compare_scores
from codae_l1.models.evaluation.roc import auc


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Float score, its value in steps of 1/2, names: QCD around 0, two signals above."""
    rng = np.random.default_rng(0)
    names = np.repeat(["qcd", "h125", "svj2100"], [900, 200, 100])
    score = rng.normal(np.repeat([0.0, 1.0, 2.0], [900, 200, 100]), 1)
    return score, np.round(2 * score) / 2, names


def test_comparison_by_signal(events):
    score, words, names = events
    result = compare_scores(score, words, names, n_bootstrap=50, seed=1)
    assert list(result["auc"]) == list(result["roc"]) == list(result["difference"]) == ["h125", "svj2100"]
    for process in result["auc"]:
        values = {n: auc(s[names == "qcd"], s[names == process]) for n, s in (("float", score), ("qkeras", words))}
        assert {n: v["value"] for n, v in result["auc"][process].items()} == values
        difference = result["difference"][process]
        assert difference["value"] == values["float"] - values["qkeras"]
        assert 0 < difference["error"] < result["auc"][process]["float"]["error"]
        curve = result["roc"][process]["qkeras"]
        assert (curve["fpr"][0], curve["tpr"][0], curve["fpr"][-1], curve["tpr"][-1]) == (0, 0, 1, 1)
        assert len(curve["fpr"]) <= CURVE_POINTS + 1
    assert 0.95 < result["correlation"] < 1


def test_scatter_is_a_seeded_share_of_the_same_events(events):
    score, words, names = events
    result = compare_scores(score, words, names, n_bootstrap=2, seed=1)
    sizes = {process: len(points["float"]) for process, points in result["scatter"].items()}
    assert sizes == {"qcd": SCATTER_EVENTS, "h125": 200, "svj2100": 100}
    for points in result["scatter"].values():
        assert (np.round(2 * np.array(points["float"])) / 2 == points["qkeras"]).mean() > 0.99
    json.dumps(result, allow_nan=False)
    assert result == compare_scores(score, words, names, n_bootstrap=2, seed=1)


def test_equal_scores_differ_by_nothing(events):
    score, _, names = events
    result = compare_scores(score, score, names, n_bootstrap=10)
    assert result["difference"]["h125"] == {"value": 0.0, "error": 0.0}


def test_unfit_input_is_refused(events):
    score, words, names = events
    with pytest.raises(InputError, match=r"1200 float scores, 1199 QKeras scores, 1200 names"):
        compare_scores(score, words[1:], names)
    with pytest.raises(InputError, match=r'"qcd" or "zero_bias" among the names'):
        compare_scores(score[names != "qcd"], words[names != "qcd"], names[names != "qcd"])
