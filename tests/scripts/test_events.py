"""Commands on events: validate, show, convert, each by its documented example on small files."""

import importlib
import pickle
import resource
import signal
import sys
from dataclasses import replace
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, sha256
from codae_l1.data.calorimeter import CHANNELS
from codae_l1.data.events import CLASSES, unweighted
from codae_l1.data.formats import read_events
from codae_l1.data.formats._top_tagging import FINE, jet_images, relative
from codae_l1.data.formats.adc2021 import ROW_CLASS
from codae_l1.data.formats.arrays import _array_slices, write_arrays
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import PoolingConfig, input_counts
from codae_l1.data.sample import CROSSING_IMAGES
from codae_l1.models.evaluation.roc import auc
from codae_l1.scripts import events as events_command
from codae_l1.scripts.run import cli


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a command in process; gives what it prints, raises what it refuses."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        events_command.command()
        return capsys.readouterr().out

    return call


def make_events(classes, seed=0, energy=1.0):
    """Events with about 60 active pixels per channel; a class's number adds tracks."""
    rng = np.random.default_rng(seed)
    signal = np.repeat(list(classes), list(classes.values()))
    images = np.where(
        rng.random((len(signal), 72, 58, 3)) < 0.015, rng.exponential(energy, (len(signal), 72, 58, 3)), 0
    )
    tracks = rng.poisson(90, len(signal)) + 30 * np.unique(signal, return_inverse=True)[1]
    return unweighted(images.astype(np.float16).astype(np.float32), signal, tracks, {"made": "in a test"})


def texts(path):
    """Words that an SVG shows, as matplotlib comments them beside their glyphs."""
    ElementTree.parse(path)
    return [line.strip()[5:-4] for line in path.read_text().split("\n") if line.strip().startswith("<!-- ")]


def test_validate_compares_two_samples(command, tmp_path):
    # "a_qcd" is first by name, so that QCD has the fewest tracks.
    first, second = make_events({"h125": 60, "qcd": 80}), make_events({"qcd": 70, "h125": 55, "svj2100": 5}, 1, 3.0)
    a, b = tmp_path / "a" / "events.h5", tmp_path / "b.h5"
    write_events(a, first)
    write_events(b, second)
    out, plots = tmp_path / "validation.json", tmp_path / "validation.svg"
    printed = command("validate", tmp_path / "a", b, "--out", out, "--plots", plots)
    content = read_json(out)
    assert content["sha256"] == {str(path): sha256(path) for path in (a, b)}
    a, qcd = content["a"]["qcd"], first.signal == "qcd"
    assert a["events"] == 80
    assert a["n_tracks"]["value"] == first.n_tracks[qcd].mean()
    assert a["n_tracks"]["quantiles"] == np.quantile(first.n_tracks[qcd], [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
    assert a["active_hcal"]["value"] == pytest.approx((first.images[qcd, ..., 2] > 0).mean())
    assert a["sum_ecal_gev"]["quantiles"][2] == pytest.approx(np.median(first.images[qcd, ..., 1].sum(axis=(1, 2))))
    expected = auc(first.n_tracks[qcd], first.n_tracks[~qcd])
    assert content["a"]["h125"]["auc_n_tracks"]["value"] == pytest.approx(expected)
    for profile, axis in (("energy_by_eta_gev", 1), ("energy_by_phi_gev", 2)):
        for i, channel in enumerate(CHANNELS):
            columns = first.images[qcd, ..., i].sum(axis=axis)
            found = content["profiles"]["a"]["qcd"][profile][channel]
            assert found["value"] == pytest.approx(columns.mean(axis=0), rel=1e-5)
            assert found["error"] == pytest.approx(columns.std(axis=0) / np.sqrt(80), rel=1e-3)
    # Three times the energy is told at once; a class that only one has is not tested.
    assert content["two_sample"]["qcd"]["auc"] > 0.95
    assert content["two_sample"]["h125"]["events"] == [60, 55]
    assert set(content["two_sample"]) == {"qcd", "h125"}
    assert "two-sample test, qcd: AUC 1.000" in printed
    assert "| svj2100 | - / 5 |" in printed
    assert {"QCD: tracks by eta", "two-sample test: AUC of telling A from B", "h125"} <= set(texts(plots))


def test_validate_says_where_a_test_has_too_few_events(command, tmp_path):
    for seed, name in enumerate(("a.h5", "b.h5")):
        write_events(tmp_path / name, make_events({"qcd": 20}, seed))
    printed = command("validate", tmp_path / "a.h5", tmp_path / "b.h5", "--out", tmp_path / "v.json")
    assert "two-sample test, qcd: 20 and 20 events, fewer than 50" in printed
    assert read_json(tmp_path / "v.json")["two_sample"]["qcd"]["auc"] is None
    write_events(tmp_path / "c.h5", make_events({"h125": 20}))
    with pytest.raises(InputError, match="classes qcd and h125; expected a class that both have"):
        command("validate", tmp_path / "a.h5", tmp_path / "c.h5")


def test_validate_refuses_a_seed_that_no_generator_takes(command):
    with pytest.raises(InputError, match="--seed -1; expected numbers, 0 to 2,147,483,647"):
        command("validate", "a.h5", "b.h5", "--seed", -1)


@pytest.mark.parametrize("a", ["here.h5,", ",here.h5", "here.h5,none.h5"])
def test_validate_refuses_a_name_that_is_none_before_it_reads(command, tmp_path, monkeypatch, a):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.h5").touch()
    with pytest.raises(InputError, match=r"(an empty path|none.h5) does not exist; expected a file or folder"):
        command("validate", a, "here.h5")


def test_files_named_twice_are_said_and_names_that_no_reader_takes_are_refused(command, tmp_path, monkeypatch):
    """Events that count twice make errors too small; what is HDF5 is known by its suffix."""
    monkeypatch.chdir(tmp_path)
    write_events("here.h5", make_events({"qcd": 20}))
    for words in (
        ("convert", "here.h5", "./here.h5", "--out", "out.h5"),
        ("validate", "here.h5", f"here.h5,{tmp_path}/here.h5"),
        ("show", "here.h5", "here.h5", "--out", "out"),
    ):
        assert "here.h5: named 2 times, so each of its events counts 2 times" in command(*words)
    with EventFile("out.h5") as file:
        assert len(file) == 40
        assert file.provenance["reading"] == ["here.h5: named 2 times, so each of its events counts 2 times"]
    assert command("validate", "here.h5", "here.h5").startswith("here.h5 of A and here.h5 of B are the same file\n|")
    with pytest.raises(InputError, match=r"--out out.npz; expected a name that ends with .h5 or .hdf5; correct it"):
        command("convert", "here.h5", "--out", "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_masses_that_are_not_those_of_the_names_are_said(command, tmp_path):
    made = {"config": {"masses_gev": ["h125=150", "svj2100=1500"]}}
    write_events(tmp_path / "a.h5", replace(make_events({"h125": 3}), provenance=made))
    said = command("convert", tmp_path / "a.h5", "--out", tmp_path / "b.h5")
    assert "a.h5: signals keep their names at other masses in GeV: h125=150, svj2100=1500" in said
    assert "other masses" not in command("convert", CROSSING_IMAGES, "--out", tmp_path / "c.h5")


def test_show_draws_displays_and_averages(command, tmp_path):
    write_events(tmp_path / "events.h5", make_events({"h125": 3, "qcd": 4, "svj3100": 2}))
    arguments = ("--process", "qcd", "h125", "--inputs", "tracks", "ecal", "--out", tmp_path / "out")
    printed = command("show", tmp_path / "events.h5", *arguments)
    assert "4 qcd, 3 h125" in printed
    displays, averages = (texts(tmp_path / "out" / name) for name in ("displays.svg", "averages.svg"))
    assert sum(text == "QCD" for text in displays) == sum(text == "SUEP 125 GeV" for text in displays) == 1
    assert {"track pT [GeV]", "ECAL ET [GeV]", "HCAL ET [GeV]", "track mask", "ecal"} <= set(displays)
    assert {"QCD (4)", "SUEP 125 GeV (3)", "mean HCAL ET [GeV]"} <= set(averages)
    assert not any("SVJ" in text for text in displays + averages)


def test_show_collects_the_first_events_and_the_mean(tmp_path):
    events = make_events({"h125": 3, "qcd": 4})
    write_events(tmp_path / "events.h5", events)
    pooling = PoolingConfig(inputs=("tracks", "hcal"))
    rows = events_command._collect([tmp_path / "events.h5"] * 2, ("qcd",), 5, pooling)
    qcd = events.images[events.signal == "qcd"]
    assert list(rows) == ["qcd"]
    assert rows["qcd"]["events"] == 8
    assert rows["qcd"]["sum"] == pytest.approx(2 * qcd.sum(axis=0, dtype=np.float64))
    assert len(rows["qcd"]["displays"]) == 5
    last = rows["qcd"]["displays"][4]
    assert np.array_equal(last["image"], qcd[0])
    assert np.array_equal(last["mask"], qcd[0, ..., 0] > 0)
    assert np.array_equal(last["words"]["hcal"], input_counts(qcd[:1], pooling)[0, ..., 1])
    with pytest.raises(InputError, match="no events of svj2100; expected at least one"):
        events_command._collect([tmp_path / "events.h5"], ("svj2100",), 1, pooling)


def test_zero_bias_is_shown_and_validated_like_qcd(command, tmp_path):
    events = make_events({"h125": 60, "zero_bias": 60})
    write_events(tmp_path / "z.h5", events)
    rows = events_command._collect([tmp_path / "z.h5"], CLASSES, 1, PoolingConfig())
    assert {name: row["events"] for name, row in rows.items()} == {"zero_bias": 60, "h125": 60}
    command(
        "validate", tmp_path / "z.h5", tmp_path / "z.h5", "--out", tmp_path / "v.json", "--plots", tmp_path / "v.svg"
    )
    found = read_json(tmp_path / "v.json")["a"]
    background, signal = (events.n_tracks[events.signal == name] for name in ("zero_bias", "h125"))
    assert found["zero_bias"]["n_tracks"]["value"] == pytest.approx(background.mean())
    assert found["h125"]["auc_n_tracks"]["value"] == pytest.approx(auc(background, signal))


def raw_file(path, n=3):
    with h5py.File(path, "w") as file:
        for i, name in enumerate(("ImageTrk_PUcorr", "ImageECAL", "ImageHCAL")):
            image = np.zeros((n, 286, 360), np.float16)
            image[:, 100, 50 + i] = 2.5
            file[name] = image
        file["NTrk_PUcorr"] = np.full(n, 40)
    return path


def test_convert_makes_an_events_file(command, tmp_path):
    files = [raw_file(tmp_path / "one.h5"), raw_file(tmp_path / "two.h5", 2)]
    printed = command("convert", *files, "--label", "h200", "--out", tmp_path / "h200.h5")
    events = read_events(tmp_path / "h200.h5")
    assert "h200.h5: 5 events (codae-raw)" in printed
    assert (events.provenance["label"], events.signal.tolist()) == ("h200", ["h200"] * 5)
    assert events.images[:, 10, 20, :].tolist() == [[2.5] * 3] * 5
    assert events.provenance["sha256"] == {file.name: sha256(file) for file in files}


def test_joined_files_have_no_cross_section_of_one_of_them(command, tmp_path):
    record = {"processes": {"qcd": {"cross_section_pb": 50.0, "sum_weight": 8.0}}}
    write_events(tmp_path / "a.h5", replace(make_events({"qcd": 2}), provenance=record))
    command("convert", tmp_path / "a.h5", "--out", tmp_path / "one.h5")
    assert read_events(tmp_path / "one.h5").provenance["processes"] == record["processes"]
    command("convert", tmp_path / "a.h5", tmp_path / "a.h5", "--out", tmp_path / "two.h5")
    joined = read_events(tmp_path / "two.h5")
    assert len(joined) == 4
    assert "processes" not in joined.provenance


def test_convert_reads_delphes_with_other_tracks(command, tmp_path):
    uproot = pytest.importorskip("uproot")
    names = ("EFlowTrack.PT", "EFlowTrack.EtaOuter", "EFlowTrack.PhiOuter")
    names += ("Tower.Eta", "Tower.Phi", "Tower.Eem", "Tower.Ehad")
    with uproot.recreate(tmp_path / "d.root") as file:
        file.mktree("Delphes", {name: "var * float32" for name in names})
        file["Delphes"].extend({name: pytest.importorskip("awkward").Array([[0.5, 0.5], [1.5]]) for name in names})
    arguments = ("--label", "svj2100", "--tracks", "EFlowTrack", "--out", tmp_path / "svj2100.h5")
    assert "2 events (delphes)" in command("convert", tmp_path / "d.root", *arguments)
    events = read_events(tmp_path / "svj2100.h5")
    assert events.n_tracks.tolist() == [2, 1]
    assert events.images[..., 0].sum(axis=(1, 2)).tolist() == [1.0, 1.5]


def test_convert_says_and_stores_what_was_done(command, tmp_path):
    uproot = pytest.importorskip("uproot")
    names = ("Track.PT", "Track.EtaOuter", "Track.PhiOuter", "Track.DZ", "Vertex.Z")
    names += ("Tower.Eta", "Tower.Phi", "Tower.Eem", "Tower.Ehad")
    with uproot.recreate(tmp_path / "d.root") as file:
        file.mktree("Delphes", {name: "var * float32" for name in names})
        columns = {name: [[0.5, 0.5], [1.5, 1.5], []] for name in names} | {"Track.DZ": [[0.5, 0.7], [9.5, 9.5], []]}
        file["Delphes"].extend({name: pytest.importorskip("awkward").Array(v) for name, v in columns.items()})
    printed = command("convert", tmp_path / "d.root", "--label", "qcd", "--out", tmp_path / "one.h5")
    lines = [
        f"{tmp_path / 'd.root'}: 3 of 4 tracks were dropped as pile-up: DZ further than 0.1 mm from the first vertex; "
        "1 of 3 events have no vertex and keep all tracks. The first has 0.5 tracks, fewer than the 1.0 of an average "
        "vertex: is it that of the hard collision, and z in mm?",
        f"{tmp_path / 'd.root'}: 1 of 3 events are empty, without a track or a tower",
    ]
    assert printed.split("\n")[:2] == lines == read_events(tmp_path / "one.h5").provenance["reading"][:2]
    printed = command("convert", tmp_path / "one.h5", "--label", "h125", "--out", tmp_path / "two.h5")
    unused = f"{tmp_path / 'one.h5'}: says itself what its events are, so the label h125 was not used"
    assert unused in printed
    printed = command("convert", tmp_path / "one.h5", "--keep-pileup", "--out", tmp_path / "three.h5")
    assert f"{tmp_path / 'one.h5'}: is of the format codae-l1, so --keep-pileup had no effect on it\n" in printed
    with EventFile(tmp_path / "two.h5") as file:
        assert file.provenance["reading"][:2] == lines
        assert file.provenance["reading"][-1] == unused
        assert file.provenance["label"] == "qcd"
        assert file.signal.tolist() == ["qcd"] * 3
    with pytest.raises(InputError, match="unknown signal name 'nonsense'"):
        command("show", tmp_path / "two.h5", "--label", "nonsense", "--out", tmp_path / "shown")


def test_scores_are_asked_for_with_a_label(tmp_path):
    from codae_l1.quantization.f_m.config import FirmwareConfig
    from codae_l1.scripts.score import read_counts

    raw_file(tmp_path / "raw.h5")
    [part] = read_counts([tmp_path / "raw.h5"], FirmwareConfig(), label="h200")
    counts, signal = part.counts, part.signal
    assert signal.tolist() == ["h200"] * 3
    assert counts.sum(axis=(1, 2, 3)).tolist() == [1] * 3
    with pytest.raises(InputError, match=r"raw.h5 does not say what its events are; .*; give --label NAME"):
        list(read_counts([tmp_path / "raw.h5"], FirmwareConfig()))


def test_convert_makes_jet_images(command, tmp_path):
    momenta = np.random.default_rng(0).normal(size=(6, 200, 3))
    order = np.argsort(-np.hypot(momenta[..., 0], momenta[..., 1]), axis=1)
    momenta = np.take_along_axis(momenta, order[..., None], axis=1)
    constituents = np.concatenate([np.linalg.norm(momenta, axis=-1, keepdims=True), momenta], axis=-1)
    constituents = constituents.astype(np.float32)
    types = [("index", "i8"), ("values_block_0", "f4", (804,)), ("values_block_1", "i8", (2,))]
    table = np.zeros(6, types)
    table["values_block_0"][:, :800] = constituents.reshape(6, 800)
    table["values_block_1"][:, 1] = [0, 1, 1, 0, 0, 1]
    with h5py.File(tmp_path / "top.h5", "w") as file:
        file["table/table"] = table
    printed = command("convert", tmp_path / "top.h5", "--jet-images", 40, "--out", tmp_path / "jets.h5")
    assert "6 events (top-tagging)" in printed
    assert "top.h5: columns without names were taken as E, px, py, pz of each constituent" in printed
    assert "3 of 6 jets are signal; with no top quark in it, ttv and is_signal_new could be exchanged" in printed
    [jets] = _array_slices(tmp_path / "jets.h5")
    assert np.array_equal(jets["relative"], relative(constituents))
    assert np.array_equal(jets["image"], jet_images(relative(constituents), FINE))
    assert jets["is_signal"].tolist() == [False, True, True, False, False, True]


def test_jets_of_two_lengths_are_not_joined(command, tmp_path):
    write_arrays(tmp_path / "one.h5", [{"x": np.zeros((2, 5))}], {})
    with pytest.raises(InputError, match=r"x of shape \(n, 3\) float64 after \(n, 5\) float64; expected parts alike"):
        write_arrays(tmp_path / "two.h5", [{"x": np.zeros((2, 5))}, {"x": np.zeros((2, 3))}], {})
    types = {k: [("values_block_0", "f4", (4 * k + 4,)), ("values_block_1", "i8", (1,))] for k in (2, 3)}
    files = []
    for k, dtype in types.items():
        table = np.zeros(3, dtype)
        table["values_block_0"][:, :4] = 5, 3, 4, 0
        names = [[f"{c}_{i}" for i in range(k) for c in ("E", "PX", "PY", "PZ")] + [*"abcd"], ["is_signal_new"]]
        files.append(tmp_path / f"{k}.h5")
        with h5py.File(files[-1], "w") as file:
            file["table/table"] = table
            for number, words in enumerate(names):
                file["table/table"].attrs[f"values_block_{number}_kind"] = np.bytes_(pickle.dumps(words, 0))
    with pytest.raises(InputError, match=r"3.h5: relative of 3 x 3 per event, .*2.h5: 2 x 3; expected files alike"):
        command("convert", *files, "--out", tmp_path / "jets.h5")
    assert not (tmp_path / "jets.h5").exists()
    command("convert", files[0], "--out", tmp_path / "jets.h5")
    [jets] = _array_slices(tmp_path / "jets.h5")
    assert jets["relative"][:, :, 2].tolist() == [[1.0, 0.0]] * 3


def test_convert_keeps_objects(command, tmp_path):
    objects = np.ones((7, 19, 4))
    objects[..., 3] = ROW_CLASS
    with h5py.File(tmp_path / "adc.h5", "w") as file:
        file["Particles"] = objects
    command("convert", tmp_path / "adc.h5", "--label", "background", "--out", tmp_path / "objects.h5")
    parts = list(_array_slices(tmp_path / "objects.h5", 5))
    assert [len(part["label"]) for part in parts] == [5, 2]
    assert np.array_equal(np.concatenate([part["particles"] for part in parts]), objects)
    assert set(parts[0]["label"]) == {b"background"}
    with pytest.raises(InputError, match=r"adc.h5 does not say what its events are; expected a label; give --label"):
        command("convert", tmp_path / "adc.h5", "--out", tmp_path / "objects.h5")


def test_convert_refuses_a_mixture(command, tmp_path):
    write_events(tmp_path / "ours.h5", make_events({"qcd": 2}))
    files = [raw_file(tmp_path / "raw.h5"), tmp_path / "ours.h5"]
    with pytest.raises(InputError, match="files of codae-l1, codae-raw; expected one format; convert each by itself"):
        command("convert", *files, "--out", tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_arrays_are_whole_or_refused(tmp_path):
    with pytest.raises(InputError, match=r"columns of \[2, 3\] rows; expected as many rows in each"):
        write_arrays(tmp_path / "a.h5", [{"x": np.zeros(2), "y": np.zeros(3)}], {})
    with pytest.raises(InputError, match=r"no rows for .*a.h5; expected at least one"):
        write_arrays(tmp_path / "a.h5", [], {})
    assert list(tmp_path.iterdir()) == []
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match=r"other.h5 is HDF5 of another kind; expected arrays of codae-l1"):
        list(_array_slices(tmp_path / "other.h5"))
    write_arrays(tmp_path / "a.h5", [{"x": np.zeros(2), "y": np.zeros(2)}], {})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["x"].resize(1, axis=0)
    with pytest.raises(InputError, match=r"a.h5 with columns of \[1, 2\] rows"):
        list(_array_slices(tmp_path / "a.h5"))


def test_a_full_disk_is_named(tmp_path):
    rows, limits = np.random.default_rng(0).random((200, 1000)), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"a.h5 could not be written .*; expected a writable folder"):
            write_arrays(tmp_path / "a.h5", ({"x": rows} for _ in range(5)), {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), events_command.__doc__),
        (("convert",), events_command.CONVERT),
        (("validate",), events_command.VALIDATE),
        (("show",), events_command.SHOW),
    ],
)
def test_help_says_what_it_does(words, text, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["command", *words, "--help"])
    with pytest.raises(SystemExit):
        cli.run(events_command.command)
    assert text.split("\n")[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("module", ["score", "numerics", "events show", "events validate", "events convert"])
def test_commands_that_read_events_take_the_options_of_the_formats(module, monkeypatch, capsys):
    name, *words = module.split()
    monkeypatch.setattr(sys, "argv", ["command", *words, "--help"])
    with pytest.raises(SystemExit):
        cli.run(importlib.import_module(f"codae_l1.scripts.{name}").command)
    printed = capsys.readouterr().out
    assert all(
        option in printed
        for option in ("--label", "--tracks", "--towers", "--vertices", "--vertex-window-mm", "--keep-pileup")
    )
    assert ("--jet-images" in printed) == (module == "events convert")
