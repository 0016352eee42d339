"""The thresholds of a menu on toys: the union keeps to the total, paths to their shares, and chunks change nothing."""

import json

import numpy as np
import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.menu import QUANTITIES, MenuConfig, solve_menu

CROSSING_KHZ = 40_000.0


def toy(n: int = 60_000, seed: int = 5) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two words that overlap, one of its own, and weights of a stratified sample."""
    rng = np.random.default_rng(seed)
    hard = rng.exponential(40, n)
    words = {
        "HT": (hard * rng.uniform(0.8, 1.2, n)).astype(np.int64),
        "jet1": (hard * rng.uniform(0.3, 0.7, n)).astype(np.int64),
        "MET": rng.rayleigh(60, n).astype(np.int32),
    }
    return words, np.where(rng.random(n) < 0.5, 0.3, 1.7)


def rate(fires: np.ndarray, weight: np.ndarray) -> float:
    return CROSSING_KHZ * float(weight[fires].sum() / weight.sum())


SHARES = {"HT": 1.0, "MET": 2.0, "jet1": 1.5}


@pytest.mark.parametrize("total", [100.0, 750.0, 12_000.0])
def test_the_union_keeps_to_the_total_and_paths_to_their_shares(total):
    words, weight = toy()
    menu = solve_menu(words, weight, MenuConfig(total, SHARES), CROSSING_KHZ)
    union = rate(menu.fires(words), weight)
    assert menu.rate_khz == pytest.approx(union, rel=1e-9)
    assert 0.9 * total < union <= total * (1 + 1e-9)
    for path, threshold in menu.thresholds.items():
        assert isinstance(threshold, int)
        assert menu.rates_khz[path] == pytest.approx(rate(words[path] >= threshold, weight), rel=1e-9)
    # One scale lies between each path's rate and its rate one word lower, both in units of its share.
    reached = [menu.rates_khz[p] / SHARES[p] for p in SHARES]
    lower = [rate(words[p] >= menu.thresholds[p] - 1, weight) / SHARES[p] for p in SHARES]
    assert max(reached) <= min(lower)


def test_no_threshold_can_be_lowered_with_the_scale():
    words, weight = toy()
    menu = solve_menu(words, weight, MenuConfig(500.0, SHARES), CROSSING_KHZ)
    lower = {p: rate(words[p] >= menu.thresholds[p] - 1, weight) / SHARES[p] for p in SHARES}
    first = min(lower, key=lambda path: lower[path])
    looser = menu.thresholds | {first: menu.thresholds[first] - 1}
    fires = np.logical_or.reduce([words[path] >= least for path, least in looser.items()])
    assert rate(fires, weight) > 500.0


@pytest.mark.parametrize("size", [1_000, 7_777, 59_999])
def test_chunks_are_the_whole_to_the_last_bit(size):
    words, weight = toy()
    starts = range(0, len(weight), size)
    parts = [{name: values[i : i + size] for name, values in words.items()} for i in starts]
    config = MenuConfig(300.0, SHARES)
    chunked = solve_menu(parts, [weight[i : i + size] for i in starts], config, CROSSING_KHZ)
    assert chunked == solve_menu(words, weight, config, CROSSING_KHZ)


def test_two_paths_that_fire_together_may_each_have_the_total():
    words = {"HT": np.arange(10_000), "MET": np.arange(10_000)}
    menu = solve_menu(words, np.ones(10_000), MenuConfig(400.0, {"HT": 1, "MET": 1}), CROSSING_KHZ)
    assert menu.as_dict() == {
        "rate_khz": 400.0,
        "paths": {p: {"threshold": 9_900, "rate_khz": 400.0} for p in ("HT", "MET")},
    }
    assert json.loads(json.dumps(menu.as_dict())) == menu.as_dict()


def test_presets_use_the_words_of_the_menu():
    for name, total, paths in (("phase1", 100.0, 4), ("phase2", 750.0, 5)):
        config = parse(MenuConfig, {"preset": name})
        assert (config.total_khz, len(config.shares)) == (total, paths)
        assert set(config.shares) <= set(QUANTITIES)
        assert parse(MenuConfig, dump(config)) == config


ASKED = MenuConfig(100.0, SHARES)


def refusal(words, weight, config=ASKED, crossing_khz=CROSSING_KHZ) -> str:
    with pytest.raises(InputError) as error:
        solve_menu(words, weight, config, crossing_khz)
    return str(error.value)


def test_a_menu_that_asks_for_every_crossing_is_refused():
    assert refusal(*toy(), ASKED, 100.0) == (
        "a menu of 100 kHz for crossings at 100 kHz; expected a total below the rate of crossings; "
        "lower total_khz or correct the rate of crossings"
    )


def test_a_sample_that_is_too_small_is_refused():
    assert refusal({"HT": np.arange(10_000)}, np.ones(10_000), MenuConfig(20.0, {"HT": 1})) == (
        "path HT at 20 kHz: 5 effective crossings fire; expected at least 10; "
        "give more zero-bias crossings, or raise total_khz or the path's share"
    )


def test_a_path_that_cannot_be_so_rare_is_refused():
    words, weight = toy()
    words["MET"] = np.minimum(words["MET"], 40)
    text = refusal(words, weight)
    assert text.startswith("path MET fires at 3")
    assert text.endswith("raise the total or the path's share, or leave the path out")
    assert refusal({"HT": np.full(50, 3)}, np.ones(50), MenuConfig(100.0, {"HT": 1})) == (
        "4e+04 kHz where only the largest word of HT fires; expected at most 100 kHz; "
        "raise total_khz, or leave the path out"
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"HT": np.zeros(3)}, "words HT: float64 (3,) for weights (3,)"),
        ({"HT": np.zeros(2, int)}, "words HT: int64 (2,) for weights (3,)"),
        ({"HT": np.array([0, -1, 5])}, "words HT from -1 to 5"),
        ({"HT": np.array([0, 1 << 24, 5])}, "words HT from 0 to 16777216"),
        ({"HTT": np.arange(3)}, "no words of 'HT'"),
    ],
)
def test_words_that_cannot_be_are_refused(change, text):
    assert refusal(change, np.ones(3), MenuConfig(100.0, {"HT": 1})).startswith(text)


@pytest.mark.parametrize("weight", [np.array([1.0, -1.0, 1.0]), np.array([1.0, np.nan, 1.0]), np.ones((3, 1))])
def test_weights_that_cannot_be_are_refused(weight):
    assert refusal({"HT": np.arange(3)}, weight, MenuConfig(100.0, {"HT": 1})).startswith("weights below 0")


def test_chunks_that_can_be_read_once_or_do_not_match_are_refused():
    words, weight = toy(100)
    assert refusal(iter([words]), [weight]).startswith("chunks that can be read once")
    assert refusal([words, words], [weight]).startswith("unequal numbers of chunks")
    assert refusal({"HT": np.arange(3)}, np.zeros(3), MenuConfig(1.0, {"HT": 1})).startswith("crossings whose weights")


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"total_khz": 0.0}, "total_khz = 0.0"),
        ({"shares": {}}, "shares = {}"),
        ({"shares": {"HT": 0.0}}, "shares = {'HT': 0.0}"),
    ],
)
def test_configs_that_cannot_be_are_refused(table, text):
    with pytest.raises(InputError) as error:
        parse(MenuConfig, table)
    assert str(error.value).startswith(text)
