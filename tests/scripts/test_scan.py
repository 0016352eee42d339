"""The co-design search: a tiny one on Dask, killed and resumed, cached; designs refused before training; the report."""

import json
import sys
import tomllib
from collections import Counter

import numpy as np
import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import write_events
from codae_l1.data.pooling import PoolingConfig, input_counts, track_mask
from codae_l1.hls.cost.lut_model import (
    CALIBRATION,
    METHODS,
    _Estimate,
    effective_bits,
    estimate_lut,
    fit_lut,
    row_features,
)
from codae_l1.quantization.config import DistillConfig, ScanConfig, SpaceConfig
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.quantization.search import design, suggest
from codae_l1.scripts import scan
from codae_l1.scripts.reports import scan_report
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import RunConfig, load_config
from codae_l1.scripts.studies import _scan_trial, scan_workers
from codae_l1.scripts.studies.scan_data import ScanData

# Keras 3.15 converts TensorFlow variables by np.array(x), which NumPy 2 tells off.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONFIG = """
seed = 3
[data]
events = "{events}"
[model]
f_m_filters = [4, 4, 4, 4]
f_m_groups = [1, 1, 1, 1]
f_r_filters = [4, 4, 4, 4]
f_r_groups = [1, 1, 1, 1]
f_r_residuals = [0, 0, 0, 0]
decoder_filters = [4, 4, 4, 4]
decoder_groups = [1, 1, 1, 1]
decoder_residuals = [0, 0, 0, 0]
residual_groups = 1
latent_channels = 4
[training]
epochs = 1
batch_size = 32
[distill]
copies = 1
steps = 30
qat_steps = 20
[scan]
trials = 3
batch = 2
steps = 30
qat_steps = 20
max_lut = 4000
lut_budgets = [4000]
max_loss = 0.9
front_seeds = 0
[scan.space]
inputs = [["tracks"], ["tracks", "ecal"]]
filters = [1, 40]
kernels = [3]
weight_bits = [4, 5]
word_bits = [4]
tied = [false]
sparsity = [0.0, 0.5]
"""


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """QCD of sparse tracks in every split, two signals with more of them for validation and test."""
    rng, n = np.random.default_rng(0), 420
    signal = np.repeat(["qcd", "h125", "svj3100"], [340, 40, 40])
    # Pile-up blocks of the splits train, validation, calibration, test.
    blocks = np.repeat([0, 13, 15, 16, 13, 16, 13, 16], [160, 60, 60, 60, 30, 10, 30, 10]).astype(np.int32)
    share = np.where(signal == "qcd", 0.01, 0.02) * rng.lognormal(0, 0.4, n)
    images = (rng.random((n, *IMAGE_SHAPE)) < share[:, None, None, None]) * rng.exponential(2, (n, *IMAGE_SHAPE))
    columns = signal, (images[..., 0] > 0).sum((1, 2)).astype(np.int32), np.ones(n), blocks
    path = tmp_path_factory.mktemp("events") / "events.h5"
    write_events(path, EventImages(images.astype(np.float32), *columns))
    return path


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["scan.py", *map(str, arguments)])
    scan.command()


def test_a_scan_is_resumed_cached_and_reported(events, scheduler, tmp_path, monkeypatch, capsys):
    config, run = tmp_path / "scan.toml", tmp_path / "run"
    config.write_text(CONFIG.format(events=events))
    write_json, kept = scan_workers.write_json, []

    def keep(path, content):
        """Every training ends here; the first start is killed after one."""
        write_json(path, content)
        kept.append(path.name)
        if len(kept) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(scan_workers, "write_json", keep)
    with pytest.raises(KeyboardInterrupt):
        command(monkeypatch, "--config", config, "--run", run, "--scheduler", scheduler)
    assert len(kept) == 1
    command(monkeypatch, "--run", run, "--scheduler", scheduler)
    content = read_json(run / "scan" / "scan.json")
    states = Counter(t["state"] for t in content["trials"])
    assert states["trained"] == 3
    asked = {t["key"] for t in content["trials"] if "key" in t}
    assert len(kept) == len(set(kept)) == len(asked)
    # Forty filters never fit: refused before training, in words.
    refused = [t for t in content["trials"] if t["choices"]["conv1.filters"] == 40]
    assert refused
    assert all(t["state"] == "rejected" and "more than 4,000" in t["reason"] for t in refused)
    check_results(run, content)
    # Again: nothing is trained, the same is said.
    command(monkeypatch, "--run", run, "--scheduler", scheduler)
    assert len(kept) == len(asked)
    again = read_json(run / "scan" / "scan.json")
    assert [again[k] for k in ("trials", "front", "winners")] == [content[k] for k in ("trials", "front", "winners")]
    assert "best_4000.toml" in capsys.readouterr().out


def check_results(run, content):
    """AUC of a kept firmware as recorded; the winner's config is one that a run reads."""
    trial = next(t for t in content["trials"] if t["state"] == "trained")
    firmware = FirmwareModel.load(run / "scan" / "trials" / f"{trial['key']}.npz")
    data = ScanData(next((run / "scan" / "data").iterdir()))
    counts = data.counts("validation", firmware.config.pooling)
    scores = firmware.firmware_score(firmware.predict_words(counts))
    assert _scan_trial.auc_table(scores, data.validation["signal"]) == trial["merit"]
    assert set(trial["merit"]) == {"h125", "svj3100"}
    assert trial["latency_ns"] == 5.0 * trial["trained"]["stages"]
    assert trial["trained"]["lut"]["low"] < trial["lut"] < trial["trained"]["lut"]["high"]
    best = load_config(run / "scan" / "best_4000.toml")
    row = next(r for r in content["front"] if r["number"] == content["winners"]["4000"])
    assert (best.firmware, best.distill) == design(row["choices"], parse(DistillConfig, content["config"]["distill"]))
    assert best.scan == ScanConfig()
    assert "<svg" in (run / "scan" / "pareto.svg").read_text()
    table = (run / "scan" / "scan.md").read_text()
    assert f"**#{row['number']}** best of 4,000" in table
    assert "active_pixels" in table


def test_the_stored_counts_are_those_of_the_events(events, tmp_path):
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.splits import split_of
    from codae_l1.models.codae.model import CoDAE, save_codae
    from codae_l1.scripts.run.folder import RunFolder
    from codae_l1.scripts.studies.scan_data import prepare

    (tmp_path / "c.toml").write_text(CONFIG.format(events=events))
    run = RunFolder(tmp_path / "run", load_config(tmp_path / "c.toml"))
    run.do("make_data", lambda run: {})
    run.do("train", lambda run: {"orientation": {"mse": 1}})
    save_codae(CoDAE(run.config.model, 0), run.path("train", "codae.keras"))
    folder = prepare(run)
    assert prepare(run) == folder
    data = ScanData(folder)
    with EventFile(events) as file:
        chosen = split_of(file.pileup_block) == "validation"
        images = file.read_where(chosen).images
        pooling = PoolingConfig(4, ("ecal", "tracks"))
        expected = input_counts(images, FirmwareConfig(inputs=pooling.inputs).pooling)
        assert np.array_equal(data.counts("validation", pooling), expected)
        assert data.validation["signal"].tolist() == file.signal[chosen].tolist()
        n_train = np.sum((split_of(file.pileup_block) == "train") & (file.signal == "qcd"))
    train = data.counts("train", PoolingConfig(4, ("tracks",)))
    assert len(train) == n_train == len(data.scores("train")["mse"])
    assert data.validation["active_pixels"].tolist() == track_mask(images).sum(axis=(1, 2, 3)).tolist()


@pytest.mark.parametrize(("text", "missing"), [("[]", "a table"), ('{"x": 1}', "signs")])
def test_a_record_of_what_was_prepared_that_is_none_is_named(tmp_path, text, missing):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(InputError, match=rf"data.json without {missing}; .*remove the folder and scan again"):
        ScanData(tmp_path)


def test_a_space_of_designs_that_never_fit_ends(tmp_path, monkeypatch):
    from codae_l1.scripts.run.folder import RunFolder

    space = SpaceConfig(filters=(64, 65, 66), kernels=(2,), tied=(False,), sparsity=(0.0,))
    monkeypatch.setattr(scan, "_ATTEMPTS", 3)
    config = RunConfig(scan=ScanConfig(trials=2, max_lut=2000, space=space))
    evaluated = []
    trials = scan._search(RunFolder(tmp_path / "run", config), lambda requests: evaluated.extend(requests) or [])
    assert not evaluated
    assert {t["state"] for t in trials} == {"rejected"}
    assert 0 < len(trials) <= 3 * 3 * 2


def test_same_seed_same_designs_whatever_the_batch_takes(tmp_path):
    from codae_l1.scripts.run.folder import RunFolder

    run = RunFolder(tmp_path / "run", RunConfig(scan=ScanConfig(trials=8, batch=3)))

    def evaluate(requests):
        bits = [sum(effective_bits(parse(FirmwareConfig, r["firmware"]), r["distill"]["sparsity"])) for r in requests]
        keys = (json.dumps([r["firmware"], r["distill"]]) for r in requests)
        values = {"state": "trained", "latency_ns": 20.0}
        return [{**values, "key": k, "lut": b / 9, "merit_mean": b % 97 / 97} for k, b in zip(keys, bits, strict=True)]

    first, second = scan._search(run, evaluate), scan._search(run, evaluate)
    assert first == second
    assert [t["number"] for t in first] == list(range(len(first)))
    front = scan._front_of(run, first)
    assert [t["lut"] for t in front] == sorted(t["lut"] for t in front)
    for t in (t for t in first if t["state"] == "trained"):
        assert any(f["lut"] <= t["lut"] and f["merit_mean"] >= t["merit_mean"] for f in front)


def test_designs_of_every_kind_can_be_asked_for():
    import optuna

    space = SpaceConfig(
        convs=(0, 1, 2), dense=(0, 4), training=("distilled", "in situ"), given_energies=(False, True),
        inputs=(("tracks",), ("tracks", "hcal")), scores=({"mse": 1.0}, {"invented": 1.0, "bce": 0.5}), kernels=(1,),
        weight_bits=(3, 4), word_bits=(3, 4),
    )  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = [design(suggest(study.ask(), space), DistillConfig()) for _ in range(40)]
    assert {len(f.conv) for f, _ in seen} == {0, 1, 2}
    assert {f.inputs for f, d in seen if d.given_energies} == {("tracks", "hcal")}
    assert {f.inputs for f, _ in seen if f.outputs == 2} == {("tracks",)}
    assert {tuple(d.scores) for f, d in seen if f.outputs == 1} == {("mse",), ("invented", "bce")}


def test_a_design_that_leaves_cells_out_is_none():
    from codae_l1.quantization.search import design, suggest

    space = SpaceConfig(filters=(2,), kernels=(4,), tied=(True,), weight_bits=(4,), word_bits=(4,), sparsity=(0.0,))
    with pytest.raises(InputError, match="conv1 of 4 x 4 by 4 x 4 never reads 78 of 270 cells"):
        design(suggest(None, space), DistillConfig())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"trials": 0}, "scan.trials = 0; expected a number >= 1"),
        ({"max_latency_ns": 0}, "scan.max_latency_ns = 0"),
        ({"space": {"filters": []}}, "scan.space.filters = []; expected at least one value"),
        ({"space": {"pools": [5]}}, "pool = 5"),
        ({"space": {"inputs": [["muons"]]}}, "inputs = ['muons']"),
        ({"space": {"training": ["by hand"]}}, "scan.space.training[0] = 'by hand'"),
        ({"space": {"sparsity": [1.0]}}, "distill.sparsity = 1.0; expected a share from 0 to below 1"),
        ({"space": {"scores": [{"beauty": 1.0}]}}, "distill.scores.beauty = 1.0"),
    ],
)
def test_a_wrong_scan_names_its_path(table, words):
    with pytest.raises(InputError) as error:
        parse(ScanConfig, table, "scan")
    assert words in str(error.value)


def test_no_scheduler_and_no_jobs_are_one_line(monkeypatch, capsys):
    with pytest.raises(InputError, match=r"--jobs 0; expected a number >= 1"):
        command(monkeypatch, "--jobs", 0)
    with pytest.raises(InputError, match=r"no Dask scheduler at nowhere://x"), scan_workers.connect(1, "nowhere://x"):
        pass
    monkeypatch.setattr(sys, "argv", ["scan.py", "--jobs", "0"])
    with pytest.raises(SystemExit) as stop:
        cli.run(scan.command)
    assert stop.value.code == 2
    assert "error: --jobs 0" in capsys.readouterr().err


def test_configs_survive_being_written_as_toml():
    config = RunConfig(firmware=FirmwareConfig(), distill=DistillConfig(scores={"mse": 1.0, "bce": -0.5}))
    assert parse(RunConfig, tomllib.loads(scan_report._to_toml(dump(config)))) == config


@pytest.mark.parametrize("method", METHODS)
def test_held_out_designs_lie_within_the_stated_band(method):
    rows = read_json(CALIBRATION)["designs"]
    held_out = [row for row in rows if row["held_out"]]
    assert len(held_out) >= 5
    for row in held_out:
        found = estimate_lut(method, row_features(row, method))
        assert found.low <= row["lut"] <= found.high, (row["firmware"], found)
    # The band says something: not wider than a factor of two, the last one within 20 %.
    a, _, sigma = fit_lut([row for row in rows if not row["held_out"]], method)
    assert a > 0
    assert np.exp(2.5 * sigma) < (1.2 if method == "trained" else 2.0)


def test_cost_by_configuration_grows_with_what_costs():
    small = FirmwareConfig()
    assert effective_bits(small, 0.5)[0] == effective_bits(small)[0] / 2
    assert effective_bits(FirmwareConfig(tied=False))[0] > effective_bits(small)[0]
    assert effective_bits(FirmwareConfig(dense=(8,)))[1] > effective_bits(small)[1]
    low = estimate_lut("trained", (1000.0, 100.0))
    assert isinstance(low, _Estimate)
    assert low.low < low.lut < low.high < estimate_lut("trained", (3000.0, 300.0)).low
