"""Jets for the jet systems, and the command on toy jets: what it writes, what it keeps, what it refuses in words."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json
from codae_l1.data.formats._top_tagging import FINE, jet_images, relative
from codae_l1.data.formats.jet_images import OBSERVABLES, _observe, generated_from, read_jets, split_jets
from codae_l1.data.formats.tables import write_jets
from codae_l1.data.generation.jets import JetConfig
from codae_l1.models.training import loop as training
from codae_l1.scripts import jets
from codae_l1.scripts.reports import jet_report
from codae_l1.scripts.run import cli, stages

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")
CONFIG = """
[systems.jet_ae]
model = { filters = 3 }
training = { epochs = 2 }
"""
PAGE = Path(__file__).parents[2] / "docs" / "jets.md"
ASKED = ("--models", "jet_ae", "pca", "--seeds", 1, 2, "--components", 2, 6)


def make_jets(n, seed=0, prongs=3, radius=0.25):
    """Constituents (n, 200, 4): 30 massless ones around `prongs` axes, the others zero."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(0, radius, (2, n, prongs))
    of = rng.integers(0, prongs, (n, 30))
    eta, phi = (np.take_along_axis(a, of, 1) + rng.normal(0, 0.03, (n, 30)) for a in axes)
    eta, phi = eta + rng.uniform(-1, 1, (n, 1)), phi + rng.uniform(-np.pi, np.pi, (n, 1))
    pt = np.sort(rng.exponential(20, (n, 30)), axis=1)[:, ::-1]
    constituents = np.zeros((n, 200, 4), np.float32)
    constituents[:, :30] = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    return constituents


def write(path, constituents, is_top, provenance=None):
    parts = [(constituents, np.zeros((len(is_top), 4), np.float32), np.array(is_top))] if len(is_top) else []
    write_jets(path, parts, provenance or {})
    return path


def test_images_of_a_file_have_sum_one(tmp_path):
    constituents = make_jets(50)
    sample = read_jets(write(tmp_path / "jets.h5", constituents, np.arange(50) % 3 == 0), (16, 40))
    assert {side: images.shape for side, images in sample.images.items()} == {16: (50, 16, 16, 1), 40: (50, 40, 40, 1)}
    for images in sample.images.values():
        assert images.dtype == np.float32
        assert images.min() == 0
        assert images.sum(axis=(1, 2, 3), dtype=np.float64) == pytest.approx(np.ones(50), abs=1e-6)
    assert np.array_equal(sample.images[40][..., 0], jet_images(relative(constituents), FINE))
    assert np.array_equal(sample.kind == "top", np.arange(50) % 3 == 0)


def test_an_image_of_a_mirrored_jet_is_mirrored():
    jets = make_jets(20)
    mirrored = jets * np.array([1, 1, 1, -1], np.float32)  # eta -> -eta
    assert np.array_equal(jet_images(relative(mirrored)), jet_images(relative(jets))[:, ::-1])
    # Aligned images of both are one and the same.
    aligned, other = (jet_images(relative(x), FINE) for x in (jets, mirrored))
    assert np.abs(aligned - other).max() < 1e-6


def test_observables_of_a_jet_counted_by_hand():
    jet = np.zeros((1, 200, 4))
    # Two of 50 GeV at eta = 0, a quarter turn apart: mass^2 = 2 x 50 x 50, half of the turn from the axis each.
    jet[0, :2] = [[50, 50, 0, 0], [50, 0, 50, 0]]
    found = _observe(jet, relative(jet))
    assert tuple(found) == OBSERVABLES
    assert found["mass"] == pytest.approx([np.sqrt(5000)])
    assert found["multiplicity"].tolist() == [2.0]
    assert found["width"] == pytest.approx([np.pi / 4])


def test_the_first_jets_of_each_kind_are_read(tmp_path):
    is_top = np.arange(60) >= 40
    path = write(tmp_path / "jets.h5", make_jets(60), is_top)
    whole, part = read_jets(path, (16,)), read_jets(path, (16,), most=7)
    assert [int(np.sum(part.kind == k)) for k in ("qcd", "top")] == [7, 7]
    chosen = np.r_[0:7, 40:47]
    assert np.array_equal(part.images[16], whole.images[16][chosen])
    assert all(np.array_equal(part.observables[name], whole.observables[name][chosen]) for name in OBSERVABLES)


def test_the_split_is_of_each_kind_and_of_the_seed():
    kind = np.repeat(["qcd", "top"], (200, 100))
    parts = split_jets(kind)
    for k, number in (("qcd", 200), ("top", 100)):
        counts = [int(np.sum(parts[kind == k] == name)) for name in ("train", "validation", "test")]
        assert counts == [0.72 * number, 0.08 * number, 0.2 * number]
    assert np.array_equal(parts, split_jets(kind, 42))
    assert not np.array_equal(parts, split_jets(kind, 43))


def test_constituents_are_the_hardest_in_gev(tmp_path):
    """A foreign file need not have them in order; those beyond the fiftieth are left out."""
    rng, constituents = np.random.default_rng(0), make_jets(4)
    many = np.repeat(constituents[:, :30], 4, axis=1)
    constituents[1:, :120] = many[1:] * rng.uniform(0.5, 1.5, (3, 120, 1))
    sample = read_jets(write(tmp_path / "jets.h5", constituents[:, ::-1], np.arange(4) % 2), ("constituents",))
    found = sample.images["constituents"]
    assert (found.shape, found.dtype) == ((4, 50, 3), np.float32)
    pt = np.hypot(constituents[..., 1], constituents[..., 2])
    np.testing.assert_array_equal(found[..., 0], -np.sort(-pt, axis=1)[:, :50])
    assert np.array_equal(found[0, 30:], np.zeros((20, 3)))
    together = relative(constituents)[2]
    np.testing.assert_array_equal(found[2, 0, 1:], together[np.argmax(together[:, 2]), :2])


def test_the_provenance_names_the_signal(tmp_path):
    is_signal = np.arange(6) % 2
    sample = read_jets(write(tmp_path / "jets.h5", make_jets(6), is_signal, {"signal": "dark"}), (16,))
    assert (sample.kinds, sample.kind.tolist()) == (("qcd", "dark"), ["qcd", "dark"] * 3)
    for name in ("qcd", "not a name", "x" * 31, 3):
        with pytest.raises(InputError, match="whose provenance names the signal"):
            read_jets(write(tmp_path / "jets.h5", make_jets(6), is_signal, {"signal": name}), (16,))


def test_a_generated_file_tells_its_config(tmp_path):
    assert generated_from(write(tmp_path / "told.h5", make_jets(2), [0, 1], {"config": {"seed": 3}})) == {"seed": 3}
    assert generated_from(write(tmp_path / "untold.h5", make_jets(2), [0, 1])) == {}


def test_files_without_jets_or_with_empty_ones_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none.h5 without jets; expected the top-tagging reference's HDF5"):
        read_jets(write(tmp_path / "none.h5", None, []))
    constituents = make_jets(9)
    constituents[5] = 0
    with pytest.raises(InputError, match=r"empty.h5: jet 5 without a constituent of pT > 0; expected jets with"):
        read_jets(write(tmp_path / "empty.h5", constituents, np.zeros(9, bool)))


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """150 narrow jets of one prong, called QCD, and 60 wide ones of three, called tops; a config of tiny networks."""
    folder = tmp_path_factory.mktemp("toys")
    constituents = np.concatenate([make_jets(150, 1, prongs=1), make_jets(60, 2)])
    is_top = np.arange(210) >= 150
    order = np.random.default_rng(0).permutation(210)
    (folder / "tiny.toml").write_text(CONFIG)
    write(folder / "jets.h5", constituents[order], is_top[order])
    write(folder / "qcd.h5", constituents[:150], is_top[:150])
    write(folder / "again.h5", constituents[130:], is_top[130:])
    constituents[150:] = make_jets(60, 3)
    write(folder / "more.h5", constituents[130:], is_top[130:], {"config": {"seed": 5}})
    return folder


def call(*arguments):
    """The command with arguments -> its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scripts/jets.py", *map(str, arguments)])
        try:
            return cli.run(jets.command) or 0
        except SystemExit as stop:
            return stop.code


@pytest.fixture(scope="module")
def made(toys, tmp_path_factory):
    """The command done on the toys: its folder."""
    out = tmp_path_factory.mktemp("made")
    scored = ("--score", toys / "more.h5")
    assert call("--jets", toys / "jets.h5", "--config", toys / "tiny.toml", "--out", out, *ASKED, *scored) == 0
    return out


def test_the_command_compares_systems(made):
    content = read_json(made / "jets.json")
    assert content["jets"] == {
        "train": {"qcd": 108, "top": 43},
        "validation": {"qcd": 12, "top": 5},
        "test": {"qcd": 30, "top": 12},
    }
    assert list(content["models"]) == ["jet_ae", "pca-2", "pca-6"]
    for row in content["models"].values():
        assert list(row["seeds"]) == (["1", "2"] if row["system"] != "pca" else ["1"])
        for trial in row["seeds"].values():
            assert all(0 <= measured["auc"] <= 1 for measured in trial["scores"].values())
            assert (trial["untrained"].keys() == trial["scores"].keys()) == (row["system"] != "pca")
            # Timed as TF-Lite where there is a network: a pixel's share is nearly as in Keras.
            assert bool(trial["tflite"]) == (row["system"] != "pca")
            if trial["tflite"]:
                assert trial["tflite"]["cpu_ms"] > 0
                assert trial["tflite"]["largest_difference"] < 1e-3
    values = [trial["scores"]["mse"]["auc"] for trial in content["models"]["jet_ae"]["seeds"].values()]
    summary = content["models"]["jet_ae"]["summary"]["mse"]["auc"]
    assert summary == {"mean": pytest.approx(np.mean(values)), "spread": pytest.approx(np.std(values, ddof=1))}
    # Jets of three prongs are wider and heavier.
    assert content["baselines"]["width"]["auc"] > 0.95
    assert content["baselines"]["mass"]["auc"] > 0.9
    assert [check["what"] for check in content["checks"]] == ["jet_ae, mse"]
    # The tops of another file, 60 of the same, against the same QCD jets.
    assert content["tests"]["further"] == {"more": {"jets": 60, "config": {"seed": 5}}}
    tested = content["tests"]["baselines"]["width"]
    assert tested["further"]["more"][0] == pytest.approx(tested["auc"][0], abs=0.05)
    trial = content["models"]["jet_ae"]["seeds"]["2"]
    assert trial["tests"]["mse"]["auc"][0] == trial["scores"]["mse"]["auc"]
    assert trial["tests"]["mse"]["passing"]["0.3"][0] == trial["scores"]["mse"]["fpr"]
    assert trial["tests"]["mse, untrained"]["auc"][0] == trial["untrained"]["mse"]["auc"]


def test_the_table_and_the_pictures(made):
    table = (made / "jets.md").read_text()
    content = read_json(made / "jets.json")
    width = content["baselines"]["width"]
    share = f"{100 * width['fpr']:.2f} ({100 * width['fpr_error']:.2f})"
    assert (
        f"| width, no learning | | | | | {100 * width['auc']:.1f} ({100 * width['auc_error']:.1f}) | | {share} |"
        in table
    )
    assert "(108 train, 12 validation, 42 test; " in table
    numbers = r"[\d,]+ \| [\d,]+ \| [\d.]+ \| \d+\.\d{3}", r"[\d.]+ ± [\d.]+ \([\d.]+\)"
    assert re.search(rf"\| jet_ae, mse \| {numbers[0]} \| {numbers[1]} \| [\d.]+ ± [\d.]+ \| {numbers[1]} \|", table)
    assert re.search(
        r"\| pca-2, mse \| [\d,]+ \| [\d,]+ \| [\d.]+ \|  \| [\d.]+ \([\d.]+\) \|  \| [\d.]+ \([\d.]+\) \|", table
    )
    assert "Mean ± standard deviation of 2 seeds. The brackets" in table
    assert "| system, score | AUC in % | rejection at 20 % of top | rejection at 30 % of top |" in table
    assert "| AUC in %, trained once | more (60) |" in table
    assert re.search(r"\| jet_ae, mse, untrained \| [\d.]+ ± [\d.]+ \([\d.]+\) \|", table)
    assert "WARNING: fewer than 3 seeds" in table
    for name in ("reconstructions", "scores", "roc", "latents"):
        picture = (made / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 400_000


def test_the_same_command_trains_nothing_again(toys, made, monkeypatch, capsys):
    before = read_json(made / "jets.json")
    monkeypatch.setattr(training, "_create_steps", lambda *a: pytest.fail("trained again"))
    monkeypatch.setattr(jet_report, "write_pictures", lambda *a: None)
    scored = ("--score", toys / "more.h5")
    assert call("--jets", toys / "jets.h5", "--config", toys / "tiny.toml", "--out", made, *ASKED, *scored) == 0
    again = read_json(made / "jets.json")
    assert {**again, "stamp": before["stamp"]} == before
    assert "pca-6, mse" in capsys.readouterr().out


def test_what_another_code_trained_is_trained_anew(toys, tmp_path, monkeypatch):
    asked = ("--jets", toys / "jets.h5", "--out", tmp_path, "--models", "pca", "--components", 2)
    folder = tmp_path / "models" / "pca-2" / "seed-1"
    monkeypatch.setattr(jet_report, "write_pictures", lambda *a: None)
    stamps = []
    for code in ("of now", "of now", "of later"):
        monkeypatch.setattr(stages, "code_of", lambda module, code=code: code)
        assert call(*asked) == 0
        stamps.append(
            (
                read_json(folder / "trial.json")["stamp"] | {"inputs": (folder / ".inputs").read_text()},
                (folder / "model.npz").stat().st_mtime_ns,
            )
        )
    assert stamps[0] == stamps[1]
    assert stamps[2][0]["inputs"] != stamps[1][0]["inputs"]
    assert stamps[2][1] > stamps[1][1]
    assert stamps[0][0].keys() >= {"commit", "versions", "seed", "time"}


def test_generated_jets_are_kept_with_their_config_alone(tmp_path, monkeypatch, capsys):
    config = JetConfig(n_top=150, n_qcd=150, seed=20260)
    constituents = np.concatenate([make_jets(150, 1, prongs=1), make_jets(150, 2)])
    (tmp_path / "jets.work").mkdir()  # killed after the generation: settings.json is not there yet
    write(tmp_path / "jets.h5", constituents, np.arange(300) >= 150, {"config": dump(config)})
    monkeypatch.setattr(jet_report, "write_pictures", lambda *a: None)
    asked = ("--out", tmp_path, "--models", "pca", "--components", 0)
    assert call(*asked, "--generate", 150, "--generation-seed", 7) == 2
    assert "generated with other options (different: seed); expected what these" in capsys.readouterr().err
    assert not (tmp_path / "settings.json").exists()
    assert call(*asked, "--generate", 150) == 0
    assert read_json(tmp_path / "jets.json")["jets"]["test"] == {"qcd": 30, "top": 30}


def test_without_tops_there_is_no_auc_and_the_table_says_so(toys, tmp_path):
    assert call("--jets", toys / "qcd.h5", "--out", tmp_path, "--models", "pca", "--components", 2) == 0
    assert "0 top jets in the test, fewer than 10: no AUC." in (tmp_path / "jets.md").read_text()
    content = read_json(tmp_path / "jets.json")
    assert content["baselines"]["mass"] == {}
    assert content["checks"] == []
    assert not (tmp_path / "roc.png").exists()
    assert (tmp_path / "scores.png").exists()


def test_the_documented_command_trained_on_tops_has_qcd_jets_as_the_anomaly(toys, tmp_path, monkeypatch, capsys):
    [command] = [line for line in PAGE.read_text().splitlines() if "--train-on top" in line and "python" in line]
    words = shlex.split(command.replace("runs/jets/", f"{toys}/").replace("runs/tops", str(tmp_path)))
    asked = (*words[2:], "--config", toys / "tiny.toml", "--seeds", 1)
    assert call(*asked) == 2
    assert "43 top jets to train on, of 60; expected at least 100" in capsys.readouterr().err
    monkeypatch.setattr(jets, "LEAST_TRAINED", 20)
    monkeypatch.setattr(jet_report, "write_pictures", lambda *a: None)
    assert call(*asked) == 0
    content = read_json(tmp_path / "jets.json")
    assert (content["train_on"], content["anomaly"]) == ("top", "qcd")
    # The baselines keep their orientation: what is lighter and narrower is not called anomalous.
    assert content["baselines"]["width"]["auc"] < 0.05


def test_the_score_of_a_system_of_constituents_goes_into_firmware(toys, tmp_path, monkeypatch):
    seen = {}

    def student(title, teacher, background, tested, plan, out):
        seen[title] = background, plan, {k: teacher(x) for k, x in tested.items()}
        return {"auc": {}}

    monkeypatch.setattr("codae_l1.scripts._set_student.firmware_student", student)
    monkeypatch.setattr(jets, "student_rows", lambda rows: f"rows of {', '.join(rows)}\n")
    tiny = tmp_path / "tiny.toml"
    tiny.write_text("[systems.dark_clr]\nmodel = { width = 8 }\ntraining = { epochs = 1, batch_size = 64 }\n")
    names = ("--models", "dark_clr", "--firmware", "dark_clr", "dark_clr:mahalanobis", "dark_clr:norm")
    given = ("--config", tiny, "--jets", toys / "jets.h5", "--out", tmp_path / "out", "--seeds", 1)
    assert call(*given, *names) == 0
    background, plan, scores = seen["dark_clr"]
    assert [(kind, of.shape) for kind, of in scores.items()] == [("qcd", (30,)), ("top", (12,))]
    assert not np.array_equal(seen["dark_clr-mahalanobis"][2]["qcd"], scores["qcd"])
    assert (background.shape, plan.config.rows, plan.around_axis) == ((108, 50, 3), (16,), True)
    assert list(read_json(tmp_path / "out" / "jets.json")["firmware"]) == ["dark_clr", "dark_clr-mahalanobis"]
    assert "## In firmware\n\nrows of dark_clr, dark_clr-mahalanobis\n" in (tmp_path / "out" / "jets.md").read_text()
    # Fewer signal jets in the test than are needed are refused before anything is trained.
    monkeypatch.setattr(jets, "LEAST_TESTED", 13)
    assert (call(*given, *names, "--out", tmp_path / "few"), (tmp_path / "few").exists()) == (2, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--jets", "none.h5"), "none.h5 is not a file; expected an HDF5 file of the top-tagging layout"),
        (("--jets", __file__), "test_jets.py is truncated or not HDF5 .*; expected the top-tagging reference"),
        (("--most", "99"), "71 qcd jets to train on, of 99; expected at least 100; .*raise --most"),
        (("--most", "0"), "--most 0; expected a number >= 1"),
        (("--score", "none.h5"), "none.h5"),
        (("--seeds", "1", "-2"), r"--seeds 1 -2; expected different numbers, 0 to 2,147,483,647; correct --seeds"),
        (("--seeds", "99999999999999999999"), r"--seeds 9+; expected different numbers, 0 to 2,147,483,647"),
        (("--train-on", "top", "--score", "none.h5"), "--score with --train-on top: .*; expected --train-on qcd;"),
        (("--models", "codae"), "--models codae, which reads events; expected some of jet_ae, fns_ae, pca, jet_di"),
        (("--models", "vae"), "model 'vae'; expected one of codae"),
        (("--models", "pca", "--firmware", "dark_clr"), "--firmware dark_clr; expected some of pca-0, pca-2, pca-6"),
        (("--models", "pca", "--firmware", "pca-2"), "--firmware pca-2, which reads images of 16 x 16 pixels"),
        (("--firmware", "dark_clr:nix"), "--firmware dark_clr:nix; expected some of norm, mahalanobis; correct"),
        (("--models", "pca", "--components", "300"), "300 components of 108 images of 256 pixels; expected 0 to the"),
    ],
)
def test_mistakes_are_named(toys, tmp_path, capsys, arguments, words):
    assert call("--jets", toys / "jets.h5", "--out", tmp_path, *arguments) == 2
    assert re.search(f"error: .*{words}", capsys.readouterr().err)
    # A file that could not be read does not bind the folder.
    assert (tmp_path / "settings.json").exists() == ("300" in arguments or "99" in arguments)


def test_jets_of_the_training_are_no_further_signal(toys, tmp_path, capsys):
    for name, words in (("jets", "jets.h5, a copy of the"), ("again", "again, of whose signal jets 48 are")):
        asked = ("--jets", toys / "jets.h5", "--out", tmp_path, "--score", toys / f"{name}.h5")
        assert (call(*asked), list(tmp_path.iterdir())) == (2, [])
        assert re.search(f"error: --score .*{words}", capsys.readouterr().err)


def test_other_jets_options_or_sizes_need_another_folder(toys, made, tmp_path, capsys):
    asked = ("--config", toys / "tiny.toml", "--out", made)
    assert call("--jets", toys / "qcd.h5", *asked) == 2
    assert r"made with other files or options (different: jets)" in capsys.readouterr().err
    assert call(*asked) == 2
    assert "whose trainings are on other files, to generate jets.h5 into" in capsys.readouterr().err
    assert call("--jets", toys / "jets.h5", "--split-seed", 7, *asked) == 2
    assert r"made with other files or options (different: split_seed)" in capsys.readouterr().err
    assert call("--jets", toys / "jets.h5", "--models", "jet_ae", "--out", made) == 2
    assert "seed-1 of another configuration of jet_ae; expected the configuration" in capsys.readouterr().err
