"""The search on zero-bias crossings: distances, judged by what they keep at a rate; its front and report."""

import sys

import numpy as np
import pytest

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile, write_crossings
from codae_l1.data.pooling import INPUTS
from codae_l1.data.sample import CROSSINGS
from codae_l1.data.splits import SPLITS
from codae_l1.quantization.config import DistillConfig, ScanConfig, SpaceConfig
from codae_l1.quantization.f_m.config import DISTANCE
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.quantization.search import design, front, suggest
from codae_l1.scripts import scan
from codae_l1.scripts.run.config import load_config
from codae_l1.scripts.studies import _scan_crossings

# Keras 3.15 converts TensorFlow variables by np.array(x), which NumPy 2 tells off.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NUMBERS = {
    **{(ZERO_BIAS, split): n for split, n in zip(SPLITS, (500, 800, 100, 60), strict=True)},
    **{("h125", "validation"): 120, ("svj2100", "validation"): 80, ("h125", "test"): 20},
}
CONFIG = """
seed = 2
[distill]
qat_steps = 20
[trigger]
crossings = "{path}"
crossing_khz = 1000.0
points = ["5e-2"]
[scan]
trials = 2
batch = 2
qat_steps = 10
lut_budgets = [10000]
max_loss = 0.9
front_seeds = 1
signals = ["{signal}"]
[scan.space]
training = ["zero_bias"]
windows = [[6, 3], [18, 5]]
dense = [0]
weight_bits = [5, 6]
word_bits = [6, 7]
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Zero bias of independent tracks, whose number fluctuates; signals with more of them in the central cells."""
    rng, parts, used = np.random.default_rng(0), [], 0
    for (process, split), n in NUMBERS.items():
        mean = 0.35 * rng.lognormal(0, 0.3, (n, 1, 1)) * np.ones((1, 18, 15))
        if process != ZERO_BIAS:
            mean[:, :, 6:9] += 0.8
        tracks = rng.poisson(mean)
        words = {f"words/{name}": rng.integers(0, 10**6, n) for name in CrossingFile(CROSSINGS).quantities}
        pooled = {f"pooled/{name}": tracks if name == "tracks" else np.zeros_like(tracks) for name in INPUTS}
        zeros = {name: np.zeros(n, np.float32) for name in ("pt_hat", "scalar_pt", "jet_ht")}
        ids = np.arange(used, used + n)
        used += n
        parts.append(
            {
                "process": np.full(n, process),
                "split": np.full(n, SPLITS.index(split), np.uint8),
                "weight": np.ones(n),
                "stratum": np.zeros(n, np.int8),
                "members": np.stack([ids, *(np.full(n, -1) for _ in range(5))], axis=1).astype(np.int32),
                "pileup": np.full(n, 50, np.float32),
                "collisions": np.full(n, 50, np.uint16),
                "n_tracks": tracks.sum((1, 2)).astype(np.int32),
                "vertex_lost": np.zeros(n, bool),
                **zeros,
                **words,
                **pooled,
            }
        )
    made = tmp_path_factory.mktemp("crossings") / "crossings.h5"
    write_crossings(made, parts, {"energy_lsb_gev": 4.0})
    return made


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["scan.py", *map(str, arguments)])
    scan.command()


def test_a_search_on_crossings_keeps_what_its_words_keep(path, scheduler, tmp_path, monkeypatch, capsys):
    def mapped(firmware, hls):
        """As many LUT as the squared words have bits: Yosys takes ten seconds a design."""
        sizes = firmware.config.hidden[0], firmware.config.layer_precision("dense1").output_bits
        return {"LUT": sizes[0] * sizes[1], "FF": sizes[0]}

    monkeypatch.setattr(_scan_crossings, "map_firmware", mapped)
    config, run = tmp_path / "scan.toml", tmp_path / "run"
    config.write_text(CONFIG.format(path=path, signal="h125"))
    command(monkeypatch, "--config", config, "--run", run, "--scheduler", scheduler)
    content = read_json(run / "scan" / "scan.json")
    assert content["measure"] == "efficiency at 5e-2 of zero bias, h125"
    assert not (run / "train.json").exists()
    trained = [t for t in content["trials"] if t["state"] == "trained"]
    assert len(trained) == 2
    for trial in trained:
        check_trial(trial, run, path)
    rows = [(row["merit_mean"], row["lut"], row["pure_khz"]) for row in content["front"]]
    assert rows
    for merit, lut, pure in rows:
        assert not any(m > merit and a <= lut and p <= pure for m, a, p in rows)
    row = next(r for r in content["front"] if r["number"] == content["winners"]["10000"])
    assert row["seeds"] == 1
    best = load_config(run / "scan" / "best_10000.toml")
    assert best.firmware == design(row["choices"], DistillConfig())[0]
    table = (run / "scan" / "scan.md").read_text()
    assert "| pure [kHz] | mean efficiency at 5e-2 of zero bias, h125 |" in table
    assert "windows 6 x 3" in table or "windows 18 x 5" in table
    assert "block_power" in table
    assert "<svg" in (run / "scan" / "pareto.svg").read_text()
    assert "best_10000.toml" in capsys.readouterr().out


def check_trial(trial, run, path):
    """The efficiency at the lowest threshold that at most 5 % of the validation crossings pass, counted here."""
    firmware = FirmwareModel.load(run / "scan" / "trials" / f"{trial['key']}.npz")
    file = CrossingFile(path)

    def words(process):
        counts = file.pooled(("tracks",), file.where(process, "validation"))
        return firmware.firmware_score(firmware.predict_words(counts))

    background, signal = words(ZERO_BIAS), words("h125")
    threshold = next(t for t in np.unique(background) if np.mean(background >= t) <= 0.05)
    assert trial["merit"]["h125"]["value"] == np.mean(signal >= threshold)
    assert trial["merit_mean"] == trial["merit"]["h125"]["value"] > 0.3
    assert set(trial["merit"]) == {"h125", "svj2100"}
    assert 0 < trial["pure_khz"] <= 0.05 * load_config(run / "scan" / "best_10000.toml").trigger.crossing_khz
    assert set(trial["baselines"]) == {"active_pixels", "block_power", "menu"}


def test_signals_that_validation_does_not_hold_are_refused(path, tmp_path, monkeypatch):
    """Before anything is trained: no worker is asked for."""
    (tmp_path / "scan.toml").write_text(CONFIG.format(path=path, signal="h400"))
    with pytest.raises(InputError, match="without h400 in the validation split"):
        command(monkeypatch, "--config", tmp_path / "scan.toml", "--run", tmp_path / "r", "--scheduler", "tcp://none:1")
    assert not (tmp_path / "r" / "scan").exists()


def test_a_search_without_crossings_is_refused(tmp_path, monkeypatch):
    (tmp_path / "scan.toml").write_text(CONFIG.format(path="none", signal="h125"))
    with pytest.raises(InputError, match=r'trigger\.crossings = "none" with scan\.space'):
        command(monkeypatch, "--config", tmp_path / "scan.toml", "--run", tmp_path / "r")


def test_variants_of_the_full_model_are_refused(path, tmp_path, monkeypatch):
    (tmp_path / "scan.toml").write_text(CONFIG.format(path=path, signal="h125"))
    with pytest.raises(InputError, match=r"--variants energies with scan\.space.training = zero_bias"):
        command(monkeypatch, "--config", tmp_path / "scan.toml", "--run", tmp_path / "r", "--variants", "energies")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"space": {"training": ["zero_bias", "distilled"]}}, "zero_bias alone"),
        ({"space": {"windows": [[6]]}}, "two numbers (phi, eta)"),
        ({"signals": ["beauty"]}, "scan.signals = ['beauty']"),
        ({"signals": []}, "scan.signals = []"),
        ({"signals": ["h125", "h125"]}, "scan.signals = ['h125', 'h125']; expected different names"),
    ],
)
def test_a_wrong_search_names_its_path(table, words):
    with pytest.raises(InputError) as error:
        parse(ScanConfig, table, "scan")
    assert words in str(error.value)


def test_designs_are_distances_with_a_group_of_energies():
    import optuna

    space = SpaceConfig(
        training=("zero_bias",), inputs=(("tracks",), ("tracks", "ecal", "hcal")), windows=((6, 3), (9, 5)),
        dense=(0, 1), weight_bits=(5, 6), word_bits=(6, 7),
    )  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = [design(suggest(study.ask(), space), DistillConfig())[0] for _ in range(40)]
    groups = [(("tracks",),), (("tracks",), ("ecal", "hcal"))]
    assert {(f.distance, f.dense) for f in seen} == {(group, dense) for group in groups for dense in ((), (1,))}
    plain = {"training": "zero_bias", "inputs": ["tracks"], "pool": 4, "count_bits": 5, "windows": [6, 3], "dense": 0}
    assert design({**plain, "weight_bits": 6, "word_bits": 7}, DistillConfig())[0] == DISTANCE


def test_the_front_of_two_costs_is_what_nothing_beats():
    rng = np.random.default_rng(3)
    merit, lut, pure = rng.integers(0, 6, (3, 200))
    kept = front(list(range(200)), merit, lut, pure)
    rows = {(merit[i], lut[i], pure[i]) for i in kept}
    assert len(rows) == len(kept)

    def beaten(m, a, p):
        no_worse = (merit >= m) & (lut <= a) & (pure <= p)
        return bool((no_worse & ((merit > m) | (lut < a) | (pure < p))).any())

    assert rows == {(m, a, p) for m, a, p in zip(merit, lut, pure, strict=True) if not beaten(m, a, p)}
