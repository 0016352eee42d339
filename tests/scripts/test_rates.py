"""The command rates on a pool of invented collisions: resumed, with more workers, against pile-up, and refused."""

import dataclasses
import importlib.metadata
import importlib.util
import shutil
import sys

import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.generation._collisions import Collisions, save_collisions
from codae_l1.data.generation._pool import SECTIONS, pool_chunks
from codae_l1.data.menu import MenuConfig
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import build_emulator
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.scripts import rates
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import RunConfig, TriggerConfig
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.studies.streamed import check_menu, predicted_reach, study_configs

# Without Pythia nothing is generated, not even from collisions that are there.
generated = pytest.mark.skipif(
    importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed: pip install -e '.[generate]'"
)
FIRMWARE = FirmwareConfig(conv=(ConvConfig(2, (6, 5), (6, 5)),))
TRIGGER = TriggerConfig(points=("2e-1", "1e-6"), menu=MenuConfig(3000.0, {"MET": 1.0, "track_HT": 1.0}))
TABLE = {"n_soft": 120, "n_hard": 200, "cuts_gev": [20.0, 60.0], "chunk_crossings": 100, "processes": ["h400"]}
TOML = "[generation]\n" + "".join(f"{key} = {value!r}\n".replace("'", '"') for key, value in TABLE.items())
OPTIONS = ("--crossings", "450", "--signals", "60", "--pileup", "2", "5", "--name", "tiny")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose stage convert is done, with an untrained network."""
    folder, rng = tmp_path_factory.mktemp("run") / "run", np.random.default_rng(4)
    model = build_qkeras(FIRMWARE, seed=4)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    firmware = FirmwareModel.rounded(model, FIRMWARE)
    run = RunFolder(folder, RunConfig(firmware=FIRMWARE, trigger=TRIGGER))
    firmware.save(run.path("quantize", "f_m.npz"))
    network, word = firmware_network(firmware)
    build_emulator(network, word, HlsConfig(), run.path("convert", "emulator"), FIRMWARE.pooling)
    for stage in ("make_data", "train", "quantize", "convert"):
        run.do(stage, lambda run: {"summary": "made"})
    (folder / "pool.toml").write_text(TOML)
    pool(folder / "rates" / "tiny" / "pileup-2")
    return folder


def pool(folder):
    """Invented collisions in a work folder: what Pythia would make there is then not made."""
    config = study_configs(TABLE, 450, 60, (2.0,))[2.0]
    for chunk in pool_chunks(config):
        hard = 3 if chunk.source == "h400" else chunk.source
        rng = np.random.default_rng([hard, chunk.chunk])
        save_collisions(folder / chunk.file, invented(rng, chunk.count, hard))
    write_json(folder / SECTIONS, {"inelastic_mb": 80.0, "slices_mb": [4.0, 1.0], "processes_mb": {"h400": 1e-9}})


def invented(rng, n, hard):
    """n collisions, the more active the harder."""
    counts = [rng.poisson(mean * (1 + hard), n).astype(np.int32) for mean in (8, 6, 5)]
    of = [int(count.sum()) for count in counts]
    energy = [rng.exponential(1.0 + 2 * hard, k).astype(np.float32) for k in of]
    place = [rng.integers(0, size, k) for size, k in zip((360 * 290, 72 * 58, 72 * 58), of, strict=True)]
    facts = (np.full(n, 30.0 * hard), rng.normal(0, 40, n), np.ones(n), rng.exponential(1 + 9 * hard, n))
    generated = rng.exponential(50.0 * hard + 5, (2, n))
    return Collisions(
        *(values.astype(np.float32) for values in (*facts, *generated)),
        *counts,
        place[0].astype(np.int32),
        energy[0],
        place[1].astype(np.int16),
        energy[1],
        place[2].astype(np.int16),
        energy[2],
    )


def started(monkeypatch, folder, *arguments):
    """The command on a run folder."""
    words = ["rates.py", "--run", folder, "--config", folder / "pool.toml", *arguments]
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    cli.run(rates._command)


@pytest.fixture(scope="module")
def study(run):
    """The study's folder, made by one worker without an interrupt."""
    with pytest.MonkeyPatch.context() as patch:
        started(patch, run, *OPTIONS, "--workers", "1")
    return run / "rates" / "tiny"


@generated
def test_interrupted_resumed_and_with_two_workers_it_is_the_same(study, run, tmp_path, monkeypatch, capsys):
    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("rates", "rates.json", "report.json"))
    pool(other / "rates" / "tiny" / "pileup-2")

    def stop(self, done, total, text=""):
        if done >= 200:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cli.Progress, "__call__", stop)
        with pytest.raises(SystemExit) as ended:
            started(patch, other, *OPTIONS, "--workers", "1")
    assert ended.value.code == 130
    assert "run the same command again" in capsys.readouterr().err
    kept = sorted((other / "rates" / "tiny").rglob("crossings-*.npz"))
    assert 2 <= len(kept) < 12
    times = [path.stat().st_mtime_ns for path in kept]
    assert not (other / "rates.json").exists()
    started(monkeypatch, other, *OPTIONS, "--workers", "2")
    assert [path.stat().st_mtime_ns for path in kept] == times
    names = sorted(path.relative_to(study).as_posix() for path in study.rglob("*") if path.is_file())
    again = other / "rates" / "tiny"
    assert names == sorted(path.relative_to(again).as_posix() for path in again.rglob("*") if path.is_file())
    assert [name for name in names if (study / name).read_bytes() != (again / name).read_bytes()] == []


@generated
def test_results(study, run):
    content = read_json(study / "rates.json")
    section = content["trigger"]
    # 50 is not among the pile-ups.
    assert (section["pileup"], section["crossings"]) == (2, 450)
    assert set(section["reach_khz"]) == {"rtl", "block_power", "active_pixels"}
    carried, refused = section["points"]["2e-1"]["rtl"], section["points"]["1e-6"]["rtl"]
    assert 0 < carried["rate_khz"] <= 0.2 * TRIGGER.crossing_khz
    assert carried["efficiency"]["h400"]["value"] > 0.5
    assert refused["threshold"] is None
    assert refused["reason"]
    assert set(section["vertex_lost"]) == {ZERO_BIAS, "h400"}
    against = content["against_pileup"]
    assert (against["fixed_at"], against["pileup"]) == ("2", ["2", "5"])
    rows = {way: against[way]["5"]["2e-1"]["block_power"] for way in ("fixed", "solved")}
    assert rows["fixed"]["threshold"] < rows["solved"]["threshold"]
    assert rows["fixed"]["rate_khz"] > rows["solved"]["rate_khz"]
    assert "<svg" in (study / "pileup.svg").read_text()
    assert "| 2e-1 | rtl |" in (study / "rates.md").read_text()
    assert RunFolder(run).rows()[0]["figures"].startswith("450 crossings at pile-up 2; reach rtl")


@generated
def test_the_page_says_why_a_row_is_missing_and_where_the_menu_is(study):
    content, page = read_json(study / "rates.json")["trigger"], (study / "rates.md").read_text()
    menu = content["menu"]
    assert f"The menu: MET >= {menu['paths']['MET']['threshold']} (" in page
    assert f"{menu['rate_khz']:.3g} kHz together. {menu['effective']:.0f} effective crossings." in page
    assert f"- 1e-6, rtl: {content['points']['1e-6']['rtl']['reason']}\n" in page
    assert "- 2e-1, rtl" not in page


@generated
def test_a_menu_that_few_collisions_have_set_is_said_in_print_page_and_row(run, tmp_path, monkeypatch, capsys):
    """One of the 120 soft collisions has 2,000 GeV: it is in two of a hundred crossings, and sets the menu."""
    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("rates", "rates.json", "report.json"))
    folder = other / "rates" / "tiny" / "pileup-2"
    pool(folder)
    with np.load(folder / "collisions-test-0-0000.npz") as soft:
        columns = dict(soft)
    columns["hcal_energy"][: columns["n_hcal"][0]] = 400.0
    columns["track_pt"][: columns["n_tracks"][0]] = 400.0
    save_collisions(folder / "collisions-test-0-0000.npz", Collisions(**columns))
    write_json(folder / "collisions-test-0-0000.json", {"redrawn": 3})
    config = RunFolder(other).config
    trigger = dataclasses.replace(config.trigger, menu=MenuConfig(700.0, {"track_HT": 1.0}))
    rarer = dataclasses.replace(config, trigger=trigger)
    write_json(other / "config.json", dump(rarer))
    started(monkeypatch, other, "--crossings", "2000", "--signals", "0", "--pileup", "2", "--name", "tiny")
    menu = read_json(other / "rates" / "tiny" / "rates.json")["trigger"]["menu"]
    assert menu["effective"] < 10
    said = capsys.readouterr().out
    assert f"the menu is not carried: {menu['reason']}\n" in said
    assert f"what lies beyond it is no better known: {menu['reason']}.\n" in said
    assert "Soft collisions drawn again, with hadrons that no parton explains: 3.\n" in said
    assert RunFolder(other).rows()[0]["figures"].endswith(f"; the menu is not carried: {menu['reason']}")


@generated
def test_more_crossings_are_made_beside_those_that_are_there(study, run, tmp_path, monkeypatch):
    """The chunks that are whole stay, and everything is as if all had been made at once."""
    grown, whole = tmp_path / "grown", tmp_path / "whole"
    shutil.copytree(run, grown)
    shutil.copytree(run, whole, ignore=shutil.ignore_patterns("rates", "rates.json", "report.json"))
    pool(whole / "rates" / "tiny" / "pileup-2")
    kept = grown / "rates" / "tiny" / "pileup-5" / "crossings-zero_bias-test-00003.npz"
    last = kept.with_name("crossings-zero_bias-test-00004.npz")
    times = kept.stat().st_mtime_ns, last.stat().st_mtime_ns
    more = [word if word != "450" else "620" for word in OPTIONS]
    started(monkeypatch, grown, *more)
    started(monkeypatch, whole, *more)
    assert (kept.stat().st_mtime_ns == times[0], last.stat().st_mtime_ns == times[1]) == (True, False)
    names = sorted(p.relative_to(whole).as_posix() for p in (whole / "rates").rglob("*") if p.is_file())
    assert sum("zero_bias" in name for name in names) == 14
    assert names == sorted(
        path.relative_to(grown).as_posix() for path in (grown / "rates").rglob("*") if path.is_file()
    )
    assert [name for name in names if (whole / name).read_bytes() != (grown / name).read_bytes()] == []


@generated
def test_the_highest_crossings_are_those_of_the_whole_sample(study):
    folder, found = study / "pileup-2", read_json(study / "rates.json")["highest"]
    words, places = [], []
    for path in sorted(folder.glob("crossings-zero_bias-*.npz")):
        chunk = np.load(path)
        assert "images" not in chunk.files
        words.append(chunk["words/rtl"])
        places += [(path.name, i) for i in range(len(words[-1]))]
    order = np.argsort(-np.concatenate(words), kind="stable")[:100]
    assert [(row["file"], row["index"]) for row in found] == [places[i] for i in order]
    assert [row["words"]["rtl"] for row in found] == np.concatenate(words)[order].tolist()


@generated
def test_crossings_of_another_config_or_network_are_refused(study, run, tmp_path, monkeypatch, capsys):
    before = sorted(study.rglob("*"))
    other = [word if word != "450" else "400" for word in OPTIONS]
    assert "pileup-2 with crossings of another n_crossings; expected" in refused(monkeypatch, capsys, run, *other)
    copy = RunFolder(shutil.copytree(run, tmp_path / "run"))
    network = copy.path("quantize", "f_m.npz")
    changed = {**dict(np.load(network)), "more": np.zeros(1)}
    np.savez(network, **changed)
    assert "f_m.npz was altered since stage quantize" in refused(monkeypatch, capsys, copy.folder, *OPTIONS)
    (copy.folder / "quantize.json").unlink()
    for stage in ("quantize", "convert"):
        copy.do(stage, lambda run: {"summary": "made with this network"})
    assert "crossings of another trigger network" in refused(monkeypatch, capsys, copy.folder, *OPTIONS)
    assert sorted(study.rglob("*")) == before


def refused(monkeypatch, capsys, folder, *arguments):
    """What the command says before it makes anything."""
    with pytest.raises(SystemExit) as stop:
        started(monkeypatch, folder, *arguments)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--crossings", "0"], "--crossings 0, --signals 600; expected at least one crossing, signals >= 0"),
        (["--signals", "-1"], "--signals -1; expected at least one crossing, signals >= 0"),
        (["--pileup", "2", "2.0"], "--pileup 2 2; expected different values"),
        (["--pileup", "2", "2.0000001"], "--pileup 2 2; expected different values, in six digits"),
        (["--pileup", "2", "-3"], "generation.pileup = (-3.0,); expected mean numbers of collisions from 0 to 250"),
        (["--pileup", "2", "200"], "generation.n_soft = 120; expected at least 4000: pile-up 200 needs it"),
        (["--pileup", "2", "--workers", "0"], "--workers 0; expected a number >= 1"),
        (["--pileup", "2", "--workers", "2", "--scheduler", "tcp://x:1"], "--workers with --scheduler"),
        (["--pileup", "2", "--name", "a/b"], "--name 'a/b'; expected the name of a folder"),
        (["--crossings", "many"], "argument --crossings: invalid int value: 'many'"),
    ],
)
def test_what_cannot_be_is_refused_at_once(tmp_path, monkeypatch, capsys, arguments, says):
    (tmp_path / "pool.toml").write_text(TOML)
    assert says in refused(monkeypatch, capsys, tmp_path, *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["pool.toml"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("n_images = 5", "generation.n_images in the config of a study"),
        ("pileup = [30.0]", "generation.pileup in the config of a study; expected --pileup"),
        ("bais = 0.5", "generation.bais"),
    ],
)
def test_keys_that_a_study_does_not_have_are_refused(tmp_path, monkeypatch, capsys, line, says):
    (tmp_path / "pool.toml").write_text(f"[generation]\n{line}\n")
    assert says in refused(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize("text", ["generation = 3", "[[generation]]"])
def test_a_file_whose_generation_is_no_table_is_refused(tmp_path, monkeypatch, capsys, text):
    (tmp_path / "pool.toml").write_text(text)
    assert "generation is no table; expected the table [generation]" in refused(monkeypatch, capsys, tmp_path)


def test_without_pythia_nothing_is_written(run, tmp_path, monkeypatch, capsys):
    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("rates", "rates.json", "report.json"))
    found = importlib.metadata.version

    def version(package):
        if package == "pythia8mc":
            raise importlib.metadata.PackageNotFoundError
        return found(package)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "error: pythia8mc is not installed" in refused(monkeypatch, capsys, other, *OPTIONS)
    assert not (other / "rates").exists()


def test_a_run_whose_emulator_is_not_its_own_is_refused_before_anything_is_generated(
    run, tmp_path, monkeypatch, capsys
):
    """The library is that of the run, with a byte more."""
    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("rates", "rates.json", "report.json"))
    library = next((other / "convert" / "emulator").glob("*.so"))
    library.write_bytes(library.read_bytes() + b"\0")
    said = refused(monkeypatch, capsys, other, *OPTIONS)
    assert library.name in said
    assert said.rstrip().endswith("or add --trust")
    assert not (other / "rates").exists()


def test_too_few_crossings_for_the_menu_are_refused_before_anything_is_made_and_the_remedy_is_enough(
    run, tmp_path, monkeypatch, capsys
):
    other = tmp_path / "run"
    shutil.copytree(run, other, ignore=shutil.ignore_patterns("rates", "rates.json", "report.json"))
    said = refused(monkeypatch, capsys, other, "--crossings", "60", "--pileup", "2", "--signals", "0")
    assert said.startswith("error: --crossings 60 for a menu of 3000 kHz: at most ")
    assert not (other / "rates").exists()
    enough = int(said.partition("give --crossings ")[2].partition(",")[0])
    config, menu, khz = study_configs(TABLE, enough, 0, (2.0,))[2.0], TRIGGER.menu, TRIGGER.crossing_khz
    assert check_menu(config, menu, khz) == ""
    fewer = dataclasses.replace(config, n_crossings=(0, 0, 0, enough - 1))
    assert check_menu(fewer, menu, khz).startswith(f"fewer than {enough:,} crossings may leave a path")
    # The softest crossings are the heaviest: with these alone a path at its share of the rate has ten.
    assert enough * 0.5 * 3000.0 / khz >= 10


def test_the_predicted_reach_falls_with_crossings_until_the_pool_ends():
    few, more = (study_configs({}, n, 0, (50.0,))[50.0] for n in (1000, 100_000_000))
    pairs = [[row["reach_khz"] for row in predicted_reach(config, 30_000.0)] for config in (few, more)]
    assert all(a >= b for a, b in zip(*pairs, strict=True))
    assert pairs[0][0] > pairs[1][0]
    # 0.99 of 50 collisions, of a pool of 200,000: ten of them.
    assert pairs[1][0] == pytest.approx(10 * 30_000 * 50 * 0.99 / 200_000, rel=1e-3)
