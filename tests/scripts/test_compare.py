"""The comparison: working points by brute force, rows, a tiny run resumed."""

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cicada_headers import random_weights, write_weights

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import write_events
from codae_l1.models.codae.config import TINY
from codae_l1.models.evaluation.roc import auc, fpr_at_tpr, tpr_at_fpr
from codae_l1.models.systems.pca import PrincipalComponents
from codae_l1.models.systems.registry import BoostedTreesConfig, SystemsConfig, create_system
from codae_l1.models.training.config import TrainingConfig
from codae_l1.scripts import compare, make_data, train
from codae_l1.scripts.reports import comparison_report
from codae_l1.scripts.run import events as dataset
from codae_l1.scripts.run import stage
from codae_l1.scripts.run.config import DataConfig, EvaluationConfig, RunConfig
from codae_l1.scripts.studies import _cicada
from codae_l1.scripts.studies.comparison import (
    BIAS_EVENTS,
    Part,
    _ComparedEvents,
    _measure,
    _rate_at_fpr,
    checks,
    complexity_bias,
    file_events,
    rows_of,
)

# Keras 3.15 converts TensorFlow variables by np.array(x), which NumPy 2 tells off.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RNG = np.random.default_rng(0)
SIGNAL = np.repeat(["qcd", "h125", "svj3100"], [1000, 200, 150])
SCORES = [RNG.normal(size=1350) + (SIGNAL != "qcd") + 0.01 * i for i in range(3)]
COMPARED = _ComparedEvents(
    np.zeros((1350, 1, 1, 3)), SIGNAL, np.arange(1350), RNG.random(1350), 1e5, None, "key", "handmade events"
)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """QCD in every split, two signals in validation and test."""
    rng, n = np.random.default_rng(0), 360
    signal = np.repeat(["qcd", "h125", "svj3100"], [280, 40, 40])
    blocks = np.repeat([0, 13, 15, 16, 13, 16, 13, 16], [100, 60, 60, 60, 25, 15, 25, 15]).astype(np.int32)
    share = np.where(signal == "qcd", 0.01, 0.02)[:, None, None, None]
    images = (rng.random((n, *IMAGE_SHAPE)) < share) * rng.exponential(2, (n, *IMAGE_SHAPE))
    columns = signal, (images[..., 0] > 0).sum((1, 2)).astype(np.int32), np.ones(n), blocks
    path = tmp_path_factory.mktemp("events") / "events.h5"
    write_events(path, EventImages(images.astype(np.float32), *columns))
    return path


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["scripts/compare.py", *map(str, arguments)])
    compare.command()


def test_working_points_by_brute_force():
    rng = np.random.default_rng(1)
    for _ in range(20):
        qcd, signal = rng.integers(0, 30, 300).astype(float), rng.integers(5, 35, 40).astype(float)
        cuts = np.unique(np.concatenate([qcd, signal]))
        kept = [cut for cut in cuts if np.mean(signal >= cut) >= 0.4]
        expected = np.mean(qcd >= max(kept))
        assert fpr_at_tpr(qcd, signal, 0.4)[0] == expected
        allowed = [cut for cut in (*cuts, np.inf) if np.mean(qcd >= cut) <= 0.1]
        point = tpr_at_fpr(qcd, signal, 0.1, minimum_background=1)
        assert point.value == np.mean(signal >= min(allowed))
    with pytest.raises(InputError, match="true-positive rate 0; expected a number above 0, at most 1"):
        fpr_at_tpr(qcd, signal, 0)


def test_a_row_is_the_mean_over_seeds_its_error_and_spread():
    row = _measure(SCORES, COMPARED, bootstrap=20, luminosity=2e34)
    qcd = SIGNAL == "qcd"
    each = [auc(s[qcd], s[SIGNAL == "h125"]) for s in SCORES]
    found = row["auc"]["h125"]
    assert found["values"] == each
    assert found["value"] == np.mean(each)
    assert found["spread"] == np.std(each, ddof=1)
    assert 0.005 < found["error"] < 0.05
    shares = [fpr_at_tpr(s[qcd], s[SIGNAL == "svj3100"], 0.4)[0] for s in SCORES]
    assert row["fpr_at_tpr"]["svj3100"]["values"] == shares
    # Ten of 1000 pass: any cut above the eleventh.
    tpr = [np.mean(s[SIGNAL == "h125"] > np.sort(s[qcd])[-11]) for s in SCORES]
    assert row["tpr_at_fpr"]["h125"]["values"] == tpr
    assert row["roc"]["h125"][-1] == 1.0
    easy = _measure([(SIGNAL != "qcd") * 1.0], COMPARED, 5, 2e34)["fpr_at_tpr"]["h125"]
    assert easy["value"] == 0
    assert (1 - easy["limit"]) ** 1000 == pytest.approx(0.1)


def test_the_rate_of_one_percent_is_the_weighted_one():
    rng = np.random.default_rng(2)
    qcd, weight, signal = rng.normal(size=3000), rng.uniform(0.5, 1, 3001), np.repeat(["qcd", "h125"], [3000, 1])
    many = _ComparedEvents(signal, signal, signal, weight, 1e5, None, "", "")
    found = _rate_at_fpr([qcd], many, 2e34)
    # sigma L = 1e5 pb x 2e34 / cm2 / s = 1e5 x 1e-36 x 2e34 / s = 2 kHz.
    share = weight[np.argsort(-qcd)[:30]].sum() / weight[:3000].sum()
    assert found["value"] == pytest.approx(2.0 * share)
    assert found["error"] > 0
    assert found["spread"] is None
    heavy = np.where(np.arange(3001) == np.argmax(qcd), 1e4, weight)
    passing = heavy[np.argsort(-qcd)[:30]]
    few = _rate_at_fpr([qcd], replace(many, weight=heavy), 2e34)
    assert few["value"] is None
    assert few["effective"] == pytest.approx(passing.sum() ** 2 / np.square(passing).sum())
    assert few["reason"] == f"{few['effective']:.3g} effective background events pass, fewer than 10"
    # One event below the threshold stands for more than all that pass: another reason, and no number in brackets.
    light = np.where(np.arange(3001) == np.argmin(qcd), 1e4, weight)
    refused = _rate_at_fpr([qcd], replace(many, weight=light), 2e34)
    assert "is less than one event of the largest weight stands for" in refused.pop("reason")
    assert refused == {"value": None}
    unknown = _ComparedEvents(signal, signal, signal, weight, None, "no sigma", "", "")
    assert _rate_at_fpr([qcd], unknown, 2e34) == {"value": None, "reason": "no sigma"}


def test_too_few_events_give_a_reason():
    chosen = np.r_[0:200, 1000:1350]
    few = _ComparedEvents(
        *(a[chosen] for a in (COMPARED.images, SIGNAL, COMPARED.n_tracks)), np.ones(550), 1.0, None, "", ""
    )
    row = _measure([SCORES[0][chosen]], few, 5, 2e34)
    reason = "2 of 200 effective background events would pass, fewer than 10"
    assert row["tpr_at_fpr"]["h125"] == {"value": None, "reason": reason}
    assert row["rate"] == {"value": None, "reason": reason}
    with pytest.raises(
        InputError, match=r"events of qcd alone; expected one background \(QCD or zero bias\) and a signal"
    ):
        _ComparedEvents(COMPARED.images[:9], SIGNAL[:9], SIGNAL[:9], SIGNAL[:9], None, None, "", "")


def test_a_part_is_kept_for_what_it_was_made_from(tmp_path):
    part = Part({"mse": np.arange(3.0)}, {"key": "a", "main_score": "mse", "learning": "background"})
    part.save(tmp_path / "part.npz")
    assert np.array_equal(Part.load(tmp_path / "part.npz", "a").scores["mse"], np.arange(3.0))
    assert Part.load(tmp_path / "part.npz", "b") is None
    assert Part.load(tmp_path / "other.npz", "a") is None
    whole = (tmp_path / "part.npz").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", whole.replace(b"record", b"recxrd")):
        (tmp_path / "broken.npz").write_bytes(broken)
        assert Part.load(tmp_path / "broken.npz", "a") is None
    rows = rows_of("codae", {1: Part({"mse": SCORES[0]}, part.record)}, COMPARED, bootstrap=5, luminosity=2e34)
    assert (rows[0]["model"], rows[0]["main"], rows[0]["seeds"], "key" in rows[0]) == ("codae", True, [1], False)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match=r"--models nonsense; expected some of codae, .*bdt.*; choose among them"):
        compare.check(SimpleNamespace(models=["codae", "nonsense"], seeds=[1]))
    with pytest.raises(InputError, match="--seeds 1 1; expected different numbers"):
        compare.check(SimpleNamespace(models=None, seeds=[1, 1]))
    assert "observables" in compare.check(SimpleNamespace(models=None, seeds=[1]))


def test_a_comparison_is_resumed_and_redone_where_its_config_changed(events, tmp_path, monkeypatch, capsys):
    config, run, trained = tmp_path / "tiny.json", tmp_path / "run", []
    tiny = {"data": DataConfig(str(events)), "model": TINY, "training": TrainingConfig(epochs=1, batch_size=32)}
    trees = SystemsConfig(bdt=BoostedTreesConfig(trees=5))
    write_json(config, dump(RunConfig(**tiny, evaluation=EvaluationConfig(bootstrap=10), systems=trees)))
    train_system = train.train_system

    def killed_at_the_second(run, name, seed):
        trained.append((name, seed))
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train_system(run, name, seed)

    monkeypatch.setattr(train, "train_system", killed_at_the_second)
    arguments = ("--run", run, "--config", config, "--seeds", 1)
    arguments += ("--models", "observables", "bdt", "mahalanobis", "--page", tmp_path / "page.md")
    with pytest.raises(KeyboardInterrupt):
        command(monkeypatch, *arguments)
    command(monkeypatch, *arguments)
    # The encoder of the last one is asked for by its own training.
    asked = [("observables", 1), ("bdt", 1), ("bdt", 1), ("mahalanobis", 1), ("codae", 1)]
    assert trained == asked
    content = read_json(run / "comparison" / "comparison.json")
    rows = {(row["model"], row["score"]): row for row in content["rows"]}
    assert {score for model, score in rows if model == "observables"} >= {"n_tracks", "active_pixels", "block_power"}
    assert rows["bdt", "log_odds"]["seeds"] == [1]
    assert rows["bdt", "log_odds"]["learning"] == "signals"
    assert rows["mahalanobis", "z_m"]["how"] == "TF-Lite float16, f_m only"
    assert 0 < rows["mahalanobis", "z_m"]["largest_difference"] < 0.1
    assert rows["observables", "active_pixels"]["auc"]["h125"]["value"] > 0.99
    assert content["events"] == {
        "what": "the run's test events",
        "background": 60,
        "signals": {"h125": 15, "svj3100": 15},
    }
    bias = content["complexity_bias"]["svj3100"]
    assert bias["from_background"]["value"] > 0.9  # the signals here have twice the pixels of QCD
    assert bias["from_signal"]["value"] < 0.1
    assert "firmware: " in capsys.readouterr().out
    assert (tmp_path / "page-auc.svg").exists()
    page_path = tmp_path / "page.md"
    stored = read_json(compare._record_of(page_path))
    assert compare._page_of(stored, page_path) == page_path.read_text()
    assert [row["auc"] for row in stored["rows"]] == [row["auc"] for row in content["rows"]]
    assert (run / "comparison" / "roc.svg").exists()
    trained.clear()
    changed = tmp_path / "changed.json"
    changed.write_text(config.read_text().replace('"trees": 5', '"trees": 6'))
    command(monkeypatch, "--run", run, "--config", changed, "--update", *arguments[4:])
    assert trained == [("bdt", 1)]


def test_a_check_holds_above_what_is_expected():
    def found(value):
        return checks([{"model": "cct_three_class", "main": True, "seeds": [1, 2, 3], "classification": value}])

    (check,) = found({"auc": {"value": 0.951}})
    assert check["holds"]
    assert check["what"].endswith("mean over 3 seeds")
    assert not found({"auc": {"value": 0.95}})[0]["holds"]
    assert checks([{"model": "cct", "main": True}]) == []


def test_a_part_s_classification_and_untrained_scores_are_means_over_the_seeds():
    record = {"key": "a", "main_score": "signal", "learning": "signals"}
    parts = {
        seed: Part({"signal": SCORES[seed]}, {**record, "classification": {"auc": 0.9 + 0.02 * seed}}, {"signal": s})
        for seed, s in ((0, SCORES[2]), (1, -SCORES[1]))
    }
    (row,) = rows_of("cct_three_class", parts, COMPARED, bootstrap=5, luminosity=2e34)
    assert row["classification"]["auc"]["value"] == pytest.approx(0.91)
    assert checks([row])[0] == {
        "what": "cct_three_class, AUC of its classes, mean over 2 seeds",
        "value": row["classification"]["auc"]["value"],
        "least": 0.95,
        "holds": False,
    }
    first, second = row["untrained"]["h125"]["values"]
    qcd, h125 = SIGNAL == "qcd", SIGNAL == "h125"
    assert (first, second) == (auc(SCORES[2][qcd], SCORES[2][h125]), auc(-SCORES[1][qcd], -SCORES[1][h125]))


def test_untrained_scores_are_those_of_the_first_weights(events, tmp_path):
    config = tmp_path / "tiny.json"
    write_json(config, dump(RunConfig(data=DataConfig(str(events)), model=TINY)))
    run = stage.open_run(tmp_path / "run", config)
    stage.do(run, "make_data", make_data.work)
    system = create_system("raw_ae", SystemsConfig().raw_ae, seed=4)
    learnt, validation = train._system_events(run, type(system))
    before = create_system("raw_ae", SystemsConfig().raw_ae, seed=4)
    before.prepare(learnt)
    images = validation.images[:5]
    expected = before.raw_scores(images)["mse"]
    for variable in system.model.trainable_variables:  # as if it were trained
        variable.assign(np.zeros(variable.shape))
    found = train.untrained_scores(run, system, images)
    assert np.array_equal(found["mse"], expected)
    assert train.untrained_scores(run, create_system("bdt", None), images) == {}


def test_complexity_bias_fits_as_many_of_both_and_says_whom_it_leaves_out(events, tmp_path, capsys, monkeypatch):
    rng, signal = np.random.default_rng(3), np.repeat(["qcd", "h125", "svj3100"], [22, 30, BIAS_EVENTS - 1])
    images = (rng.random((len(signal), *IMAGE_SHAPE)) < 0.01).astype(np.float32)
    columns = np.zeros(len(signal), np.int32), np.ones(len(signal)), np.zeros(len(signal), np.int32)
    learned, fitted, fit = EventImages(images, signal, *columns), [], PrincipalComponents.fit
    monkeypatch.setattr(dataset, "read_split", lambda *_, **__: learned)
    monkeypatch.setattr(PrincipalComponents, "fit", lambda x, k: fitted.append(len(x)) or fit(x, k))
    found = complexity_bias(None, _ComparedEvents(images, signal, signal, signal, None, None, "", ""))
    assert fitted == [22, 22]
    assert 0 <= found["h125"]["from_background"]["value"] <= 1
    reason = "19 validation events of svj3100 or of background, fewer than 20"
    assert found["svj3100"] == {"reason": reason}
    assert f"complexity bias, svj3100: left out, {reason}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["comparison", "comparison_zero_bias"])
def test_documented_pages_are_made_of_their_numbers(name):
    """docs/comparison.md is what docs/results/comparison.json says: `compare.py --page` writes both."""
    page_path = Path(__file__).parents[2] / "docs" / f"{name}.md"
    record = compare._record_of(page_path)
    assert page_path.exists() == record.exists()
    if record.exists():
        assert compare._page_of(read_json(record), page_path) == page_path.read_text()


def test_random_systems_are_trained_with_each_seed(monkeypatch):
    asked = []

    def part_of(run, name, seed, *rest):
        asked.append((name, seed))
        return Part({"z_m": SCORES[seed]}, {"key": "", "main_score": "z_m", "learning": "background"})

    monkeypatch.setattr(compare, "_part_of", part_of)
    monkeypatch.setattr(compare, "_firmware_part", lambda *_: None)
    run = SimpleNamespace(config=RunConfig(evaluation=EvaluationConfig(bootstrap=5)))
    published = replace(COMPARED, published={"mse": SCORES[0]})
    rows = compare._compare(run, ["bdt", "mahalanobis"], [2, 0], published, None, published.published_parts())
    assert asked == [("bdt", 2), ("mahalanobis", 2), ("mahalanobis", 0)]
    seeds = {"bdt": [2], "mahalanobis": [2, 0], "published CoDAE": [0]}
    assert [(row["model"], row["seeds"]) for row in rows] == list(seeds.items())
    assert rows[1]["auc"]["h125"]["values"] == [row["auc"]["h125"]["value"] for row in (rows[0], rows[2])]


def test_the_networks_of_a_checkout_are_rows(monkeypatch, tmp_path):
    rng = np.random.default_rng(5)
    images = np.zeros((len(SIGNAL), 72, 58, 3), np.float32)
    images[..., 1] = rng.exponential(0.4, images.shape[:3])
    events = replace(COMPARED, images=images)
    for version in _cicada.KNOWN:
        write_weights(tmp_path / f"CICADA_{version}" / "weights", **random_weights(rng))
    with pytest.raises(InputError, match=r"gives the scores .*; take the weights of v2p2p0"):
        Part.of_cicada(tmp_path)
    with pytest.raises(InputError, match=r"no weights in .*; expected a checkout of github\.com/cms-hls4ml/CICADA"):
        Part.of_cicada(tmp_path / "none")
    n = np.arange(252)
    shown = np.stack([n % 8, 37 * n % 11, np.full(252, 4)]).reshape(-1, 18, 14)
    networks = {v: _cicada.read_weights(tmp_path / f"CICADA_{v}" / "weights") for v in _cicada.KNOWN}
    monkeypatch.setattr(_cicada, "KNOWN", {v: tuple(of.words(shown).tolist()) for v, of in networks.items()})
    with pytest.raises(
        InputError, match=r"CICADA_v2p2p0/weights holds other weights; expected the checksum 1789b51861"
    ):
        Part.of_cicada(tmp_path)
    monkeypatch.setattr(_cicada, "CHECKSUMS", {v: of.checksum for v, of in networks.items()})
    assert len(set(_cicada.CHECKSUMS.values())) == 2
    monkeypatch.setattr(compare, "_firmware_part", lambda *_: None)
    run = SimpleNamespace(config=RunConfig(evaluation=EvaluationConfig(bootstrap=5)))
    part = Part.of_cicada(tmp_path)(images)
    words = np.floor(images[:, :, 1:-1, 1] / 0.5).reshape(-1, 18, 4, 14, 4).sum(axis=(2, 4))
    for version, network in networks.items():
        assert np.array_equal(256 * part.scores[version], network.words(words))
    # CICADA's own: 16 weights of filters, 252 x 16 and 16 of sums, 16 of the last.
    assert part.record["parameters"] == 4080
    rows = compare._compare(run, [], [1], events, None, {"published CICADA": part})
    assert [(row["model"], row["score"], row["main"]) for row in rows] == [
        ("published CICADA", "v2p2p0", True),
        ("published CICADA", "v2p1p2", False),
    ]
    value = rows[0]["auc"]["h125"]["value"]
    assert value == pytest.approx(auc(part.scores["v2p2p0"][SIGNAL == "qcd"], part.scores["v2p2p0"][SIGNAL == "h125"]))
    assert comparison_report.title(rows[0]) == "published CICADA: v2p2p0"
    header = tmp_path / "CICADA_v2p2p0" / "weights" / "w10.h"
    text = header.read_text()
    for damaged in (
        b"",
        b"\xff",
        *(text.replace("}", end).encode() for end in (",}", "f}", ", nan}", "1e400}", ", {}}")),
    ):
        header.write_bytes(damaged)
        with pytest.raises(InputError, match=r"w10\.h with other content; expected 16 multiples of 2\^-8 between"):
            Part.of_cicada(tmp_path)
    assert all(comparison_report.is_shown(row) for row in rows)


@pytest.mark.sample
def test_public_events_come_with_the_published_score(codae_sample):
    files = sorted((codae_sample / "test").glob("*h200*.npz")) + sorted((codae_sample / "test").glob("qcd*.npz"))
    events = file_events(files)
    assert (events.cross_section_pb, len(events.published["mse"])) == (None, len(events.signal))
    # reference/reference-models.md: 96.3 % on all its events of 200 GeV; these are 33 of them.
    assert auc(events.published["mse"][events.signal == "qcd"], events.published["mse"][events.signal == "h200"]) > 0.93
