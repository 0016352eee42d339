"""Crossings as a run judges them, and the trigger's section of the report."""

import dataclasses
import shutil
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats.crossing_file import COLUMNS, CrossingFile, write_crossings
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.menu import MenuConfig, menu_words
from codae_l1.data.pooling import INPUTS, PoolingConfig, input_counts, track_mask
from codae_l1.data.sample import CROSSING_IMAGES
from codae_l1.data.splits import SPLITS
from codae_l1.models.codae.scores import active_pixels, block_power
from codae_l1.models.evaluation.crossing_rates import Crossings
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.scripts import evaluate
from codae_l1.scripts.run import crossings
from codae_l1.scripts.run._ceiling import Ceiling, _kept, ceiling
from codae_l1.scripts.run.config import DataConfig, RunConfig, TriggerConfig
from codae_l1.scripts.run.crossings import RunCrossings, check_crossings, trigger_words
from codae_l1.scripts.run.folder import RunFolder
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.studies.trigger import trigger_section


class Sum:
    """An executor whose word is the sum of the inputs."""

    def __init__(self, pooling=None):
        pooling = pooling or PoolingConfig()
        self.trained = SimpleNamespace(config=SimpleNamespace(pooling=pooling), score_words=lambda words: -words[:, 0])

    def predict_words(self, counts):
        return -counts.sum(axis=(1, 2, 3))[:, None]


@pytest.fixture(scope="module")
def images():
    with EventFile(CROSSING_IMAGES) as file:
        return file.read().images


@pytest.fixture(scope="module")
def rows(images):
    """(process, split, indices of images) -> rows of a file."""
    config = PoolingConfig(inputs=tuple(INPUTS), energy_lsb_gev=1.0)
    pooled, words = input_counts(images, config), menu_words(images)
    rng = np.random.default_rng(1)

    def make(process, split, which):
        n = len(which)
        zeros = {name: np.zeros(n, np.float32) for name in ("pt_hat", "scalar_pt", "jet_ht")}
        return {
            "process": np.full(n, process),
            "split": np.full(n, SPLITS.index(split), np.uint8),
            "weight": np.ones(n),
            "stratum": np.zeros(n, np.int8),
            "members": np.stack([which, *(np.full(n, -1) for _ in range(5))], axis=1).astype(np.int32),
            "pileup": np.full(n, 50, np.float32),
            "collisions": rng.integers(30, 70, n).astype(np.uint16),
            "n_tracks": np.zeros(n, np.int32),
            "vertex_lost": np.arange(n) < n // 5,
            **zeros,
            **{f"words/{name}": values[which] for name, values in words.items()},
            **{f"pooled/{name}": pooled[which, ..., i] for i, name in enumerate(INPUTS)},
        }

    return make


@pytest.fixture(scope="module")
def path(tmp_path_factory, rows):
    """A file of crossings made of the shipped images: 150 zero-bias ones of the test split, and others."""
    made = tmp_path_factory.mktemp("crossings") / "c.h5"
    parts = [
        rows(ZERO_BIAS, "test", np.arange(150)),
        rows(ZERO_BIAS, "validation", np.arange(150, 200)),
        rows("h125", "validation", np.arange(100, 130)),
        rows("h125", "test", np.arange(60, 100)),
    ]
    write_crossings(made, parts, {"energy_lsb_gev": 1.0})
    return made


# 150 crossings at once, and in parts that end within a block of the file.
@pytest.mark.parametrize("size", [25_000, 7])
def test_scores_of_pooled_words_are_those_of_images(path, images, size, monkeypatch):
    monkeypatch.setattr(crossings, "_SLICE", size)
    found = RunCrossings(TriggerConfig(crossings=str(path)), Sum(), 1).read(ZERO_BIAS)
    masks = track_mask(images[:150])
    assert np.array_equal(found.words["block_power"], block_power(masks))
    assert np.array_equal(found.words["active_pixels"], active_pixels(masks))
    assert np.array_equal(found.words["rtl"], active_pixels(masks))
    assert np.array_equal(found.words["HT"], menu_words(images[:150])["HT"])
    assert set(found.words) == {"rtl", "block_power", "active_pixels", "bdt", *menu_words(images[:1])}


@pytest.mark.parametrize(
    "pooling",
    [
        PoolingConfig(pool=12),
        PoolingConfig(inputs=("tracks", "hcal"), energy_lsb_gev=4.0),
        PoolingConfig(inputs=("ecal",)),
    ],
)
def test_inputs_of_coarser_networks_are_exact(path, images, pooling):
    found = RunCrossings(TriggerConfig(crossings=str(path)), Sum(pooling), 1).read("h125")
    expected = input_counts(images[60:100], pooling).sum(axis=(1, 2, 3))
    assert np.array_equal(found.words["rtl"], expected)


@pytest.mark.parametrize(
    ("pooling", "message"),
    [
        (PoolingConfig(pool=6), "a network with cells of 6 x 6"),
        (PoolingConfig(inputs=("ecal",), energy_lsb_gev=0.5), "steps of 0.5 GeV"),
        (PoolingConfig(pool=12, inputs=("ecal",)), "cells of 12 x 12"),
    ],
)
def test_a_network_that_the_file_has_no_inputs_for_is_refused(path, pooling, message):
    with pytest.raises(InputError, match=message):
        RunCrossings(TriggerConfig(crossings=str(path)), Sum(pooling), 1)


@pytest.mark.parametrize("lacking", [(ZERO_BIAS, ("train", "validation")), ("h125", ("validation",))])
def test_there_is_no_ceiling_where_it_is_shown_one_class_alone(path, lacking):
    class Part(CrossingFile):
        """The file without some of its crossings."""

        def where(self, process, split):
            found = super().where(process, split)
            return found[:0] if process == lacking[0] and split in lacking[1] else found

    assert ceiling(CrossingFile(path), 3) is not None
    assert ceiling(Part(path), 3) is None


def test_the_ceiling_is_the_same_each_time_and_tells_what_it_was_shown(path):
    config = TriggerConfig(crossings=str(path))
    first, second = (RunCrossings(config, Sum(), 3) for _ in range(2))
    assert first.ceiling is second.ceiling
    _kept.cache_clear()
    again, other = (RunCrossings(config, Sum(), seed) for seed in (3, 4))
    assert len({first.ceiling, again.ceiling, other.ceiling}) == 3
    one, two = (crossings.read("h125").words["bdt"] for crossings in (first, again))
    assert np.array_equal(one, two)
    assert np.array_equal(
        trigger_words(Sum(), np.ones((1, 18, 15, 1), int), np.ones((1, 18, 15), int), {})["block_power"], [30 * 81]
    )


def test_facts_and_section_of_a_small_file(path):
    crossings = RunCrossings(TriggerConfig(crossings=str(path)), Sum(), 1)
    facts = crossings.facts()
    assert (facts["pileup"], facts["crossings"]) == (50.0, 150)
    assert facts["process_khz"] == {}
    assert facts["vertex_lost"] == {ZERO_BIAS: 0.2, "h125": 0.2}
    config = TriggerConfig(crossings=str(path), points=("0.2", "1 kHz pure"), menu=_menu(8000.0))
    zero_bias, signals = crossings.read(ZERO_BIAS), {"h125": [crossings.read("h125")]}
    section = trigger_section(config, [zero_bias], signals, crossings.scores, {"h125": crossings.generated("h125")})
    row = section["points"]["0.2"]["active_pixels"]
    word = zero_bias.words["active_pixels"]
    # The lowest threshold that at most 30 of the 150 pass.
    assert row["threshold"] == min(t for t in range(word.max() + 2) if (word >= t).sum() <= 30)
    assert row["rate_khz"] == pytest.approx(28_607 * (word >= row["threshold"]).mean())
    kept = crossings.read("h125").words["active_pixels"] >= row["threshold"]
    assert row["efficiency"]["h125"]["value"] == pytest.approx(kept.mean())
    taken = np.any([signals["h125"][0].words[p] >= t["threshold"] for p, t in section["menu"]["paths"].items()], axis=0)
    assert row["efficiency"]["h125"]["beyond_menu"] == pytest.approx((kept & ~taken).mean())
    assert section["points"]["1 kHz pure"]["rtl"]["rate_khz"] is None
    assert section["points"]["1 kHz pure"]["rtl"]["reason"]
    # 30 of 150 crossings of their own: (rate / error)^2 = 30 / 0.8 of them, so 150 in all.
    if row["rate_khz"] == pytest.approx(28_607 * 0.2):
        assert section["effective"] == pytest.approx(150, rel=0.02)
    assert section["effective_at"] == "0.2"
    assert set(section["turn_on"]["h125"]) == {"jet_ht", "scalar_pt"}


@pytest.mark.parametrize("shared", [True, False])
def test_a_menu_of_few_collisions_says_so(shared):
    """Each of the 200 crossings in 4,000 that the menu takes has one collision, or all have the same."""
    n, high = 4000, np.arange(4000) % 20 == 0
    words = {name: np.where(high, 50, 5) for name in ("rtl", "HT", "MET", "jet1", "jet2")}
    collisions = np.where(high & shared, 0, np.arange(n))
    sample = [Crossings(words, np.ones(n), np.zeros(n, int), collisions[:, None])]
    config = TriggerConfig(points=("0.2", "1e-3"), menu=_menu(2000.0))
    section = trigger_section(config, sample, {}, ("rtl",))
    menu, row = section["menu"], section["points"]["1e-3"]["menu"]
    assert menu["paths"]["HT"]["threshold"] == 50
    assert menu["rate_khz"] == pytest.approx(0.05 * config.crossing_khz)
    assert menu["effective"] == row["effective"]
    if not shared:
        assert menu["effective"] == pytest.approx(200 / 0.95)
        assert "reason" not in menu
        return
    assert menu["effective"] < 10
    assert menu["reason"] == row["reason"]
    assert menu["reason"].startswith("200 crossings with 1 different collision fire: ")


def _menu(total_khz):
    from dataclasses import replace

    return replace(TriggerConfig().menu, total_khz=total_khz)


def test_a_file_without_test_crossings_or_of_another_name_is_refused(tmp_path, path):
    with pytest.raises(InputError, match=r"trigger\.crossings = 'crossings\.npz'"):
        TriggerConfig(crossings="crossings.npz")
    with pytest.raises(InputError, match="does not exist"):
        RunCrossings(TriggerConfig(crossings=str(tmp_path / "no.h5")), Sum(), 1)
    with pytest.raises(InputError, match=r'trigger\.crossings = "none"'):
        RunCrossings(TriggerConfig(crossings="none"), Sum(), 1)
    with pytest.raises(InputError, match=r"trigger\.menu\.total_khz = 40000; expected a rate below"):
        TriggerConfig(menu=_menu(40_000.0))
    with pytest.raises(InputError, match=r"working point '1 GHz'"):
        TriggerConfig(points=("1 GHz",))
    assert RunConfig().trigger.menu.total_khz == 100.0


def test_the_ceiling_learns_the_tail_of_what_it_is_shown():
    """Toys in which the signal differs from the hardest zero bias by the energies alone: more than any count sees."""
    rng = np.random.default_rng(8)

    class Toy:
        inputs = ("tracks", "ecal")

        def where(self, process, split):
            numbers = {("zero_bias", "train"): 2000, ("zero_bias", "validation"): 500, ("h125", "validation"): 300}
            return np.full(numbers.get((process, split), 0), process == "h125")

        def pooled(self, inputs, which):
            assert inputs == ("tracks", "ecal")
            mean = np.where(which, 1.0, rng.exponential(0.4, len(which)))
            tracks = rng.poisson(mean[:, None, None], (len(which), 18, 15))
            ecal = rng.poisson(np.where(which, 1.0, 2.0)[:, None, None], tracks.shape)
            return np.stack([tracks, ecal], axis=-1)

        def words(self, which):
            return {"HT": np.zeros(len(which), np.int64)}

    trees = Ceiling(Toy(), 1)
    zero_bias, signal = (trees.words(Toy(), np.full(1000, is_signal)) for is_signal in (False, True))
    assert zero_bias.dtype == np.int64
    assert (signal > zero_bias.max()).mean() > 0.9
    assert trees.words(Toy(), np.zeros(0, bool)).shape == (0,)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (RunConfig(trigger=TriggerConfig(crossings="none")), 'trigger.crossings = "none"'),
        (RunConfig(data=DataConfig("mine.h5")), "data.events = 'mine.h5' without crossings of their own"),
    ],
)
def test_a_run_without_crossings_says_why(config, reason):
    found = evaluate._trigger(SimpleNamespace(config=config))
    assert found["trigger"] is None
    assert reason in found["trigger_reason"]
    assert RunConfig(data=DataConfig("mine.h5"), trigger=TriggerConfig(crossings="c.h5")).why_no_crossings() is None
    assert RunConfig(data=DataConfig("generate")).why_no_crossings() is None
    # The shipped ones are of another pile-up than these events.
    busy = RunConfig(data=DataConfig("generate", GenerationConfig(pileup_mean=140.0)))
    assert busy.why_no_crossings() == "events of pile-up 140 without crossings of their own (trigger.crossings)"
    assert dataclasses.replace(busy, trigger=TriggerConfig(crossings="c.h5")).why_no_crossings() is None


def test_the_shipped_crossings_do_not_judge_events_of_another_pileup():
    config = RunConfig(data=DataConfig("mine.h5", background="zero_bias"))
    words = r"data.events of pile-up 30, 140 with trigger.crossings = \"sample\", of pile-up 50; expected crossings of"
    with pytest.raises(InputError, match=words):
        RunCrossings.check_pileup(config, {"config": {"pileup": [30.0, 140.0]}})
    with pytest.raises(InputError, match=r"data\.events of pile-up 140 with"):
        RunCrossings.check_pileup(RunConfig(), {"config": {"pileup_mean": 140}})
    RunCrossings.check_pileup(
        dataclasses.replace(config, trigger=TriggerConfig(crossings="c.h5")), {"config": {"pileup": [140.0]}}
    )
    for known in ({}, {"config": {"pileup": [50.0]}}, {"config": None}, {"config": {"pileup_mean": 50.0}}):
        RunCrossings.check_pileup(config, known)


def test_thresholds_are_not_of_other_crossings_than_the_run_s(path, tmp_path, rows, monkeypatch):
    """Neither of those that a distance was learned from, nor of those that evaluate measured the rates on."""
    path = shutil.copy(path, tmp_path)
    config = RunConfig(trigger=TriggerConfig(crossings=str(path)))
    made = CrossingFile(path).checksum
    stages = {"quantize": {"distance": {"crossings": made}}, "evaluate": {"trigger": {"checksum": made}}}
    for stage, content in stages.items():
        run = Run(tmp_path / stage, config)
        run.path(stage).mkdir()
        write_json(run.folder / f"{stage}.json", content)
        run.check_own_crossings()
    write_crossings(path, [rows(ZERO_BIAS, "test", np.arange(100))], {"energy_lsb_gev": 1.0})
    for stage in stages:
        run = Run(tmp_path / stage, config)
        with pytest.raises(InputError, match=rf"c.h5 holds other crossings than stage {stage} has read \(checksum"):
            run.working_points()
    # A stage that read none, and one of an older release, do not tell.
    write_json(tmp_path / "quantize" / "quantize.json", {"distance": None})
    Run(tmp_path / "quantize", config).check_own_crossings()


def test_other_crossings_make_the_stage_run_again(path, tmp_path):
    """And no crossings, or other points; the stages before it stay as they are, where no distance is learned."""
    path = shutil.copy(path, tmp_path)

    def inputs(name, **trigger):
        run = RunFolder(tmp_path / name, RunConfig(firmware=FirmwareConfig(), trigger=TriggerConfig(**trigger)))
        return {stage: run._inputs(stage) for stage in ("synthesize", "evaluate", "report")}

    mine = inputs("a", crossings=str(path))
    assert inputs("b", crossings=str(path)) == mine
    file = CrossingFile(path)
    rows = {name: getattr(file, name) for name in COLUMNS if name != "split"}
    rows |= {"split": np.array([SPLITS.index(split) for split in file.split], np.uint8)}
    write_crossings(path, [rows], file.provenance)
    changed = inputs("a", crossings=str(path))
    for other in (changed, inputs("c", crossings="none"), inputs("d", crossings=str(path), points=("1e-2",))):
        assert other["synthesize"] == mine["synthesize"]
        assert other["evaluate"] != mine["evaluate"]
        assert other["report"] != mine["report"]


def test_splits_that_share_a_collision_and_missing_cross_sections_are_refused(tmp_path, rows):
    shared = [rows(ZERO_BIAS, "test", np.arange(50)), rows(ZERO_BIAS, "train", np.arange(49, 80))]
    write_crossings(tmp_path / "shared.h5", shared, {"energy_lsb_gev": 1.0})
    with pytest.raises(InputError, match="a pool shared between splits: 1 collisions, 49 for one, in train and test"):
        RunCrossings(TriggerConfig(crossings=str(tmp_path / "shared.h5")), Sum(), 1)
    apart = [rows(ZERO_BIAS, "test", np.arange(50)), rows("w", "test", np.arange(50, 60))]
    write_crossings(tmp_path / "apart.h5", apart, {"energy_lsb_gev": 1.0})
    with pytest.raises(InputError, match=r"apart\.h5 without a cross section of w"):
        RunCrossings(TriggerConfig(crossings=str(tmp_path / "apart.h5")), Sum(), 1).facts()
    sections = {"inelastic_mb": 80.0, "processes_mb": {"w": 2e-4}}
    write_crossings(tmp_path / "apart.h5", apart, {"energy_lsb_gev": 1.0, "cross_sections": sections})
    facts = RunCrossings(TriggerConfig(crossings=str(tmp_path / "apart.h5")), Sum(), 1).facts()
    # 28,607 kHz of crossings with 50 collisions, of which 2.5e-6 make a W.
    assert facts["process_khz"]["w"] == pytest.approx(28_607 * 50 * 2.5e-6)


def _checked(path, **trigger):
    check_crossings(RunConfig(firmware=FirmwareConfig(), trigger=TriggerConfig(crossings=str(path), **trigger)))


def test_what_a_later_stage_would_refuse_is_refused_before_anything_is_trained(tmp_path, rows, path):
    loose = MenuConfig(20_000.0, {"HT": 1.0, "MET": 1.0})
    _checked(path, menu=loose)
    with pytest.raises(InputError, match=r"trigger\.menu\.shares with JET; expected quantities of the crossings: HT"):
        _checked(path, menu=MenuConfig(20_000.0, {"JET": 1.0}))
    with pytest.raises(InputError, match=r"trigger\.menu\.shares with JET"):
        check_crossings(RunConfig(trigger=TriggerConfig(menu=MenuConfig(100.0, {"JET": 1.0}))))
    with pytest.raises(InputError, match="only the largest word of HT fires"):
        _checked(path)
    edited = shutil.copy(path, tmp_path / "edited.h5")
    with h5py.File(edited, "r+") as file:
        file["words/HT"][3] += 1
    for refused in (_checked, lambda path: RunCrossings(TriggerConfig(crossings=str(path)), Sum(), 1)):
        with pytest.raises(InputError, match=r"edited\.h5 does not have its checksum"):
            refused(edited)
    parts = [rows(ZERO_BIAS, "test", np.arange(50)), rows(ZERO_BIAS, "train", np.arange(49, 80))]
    write_crossings(tmp_path / "shared.h5", parts, {"energy_lsb_gev": 1.0})
    with pytest.raises(InputError, match="a pool shared between splits"):
        _checked(tmp_path / "shared.h5", menu=loose)
    parts = [rows(ZERO_BIAS, "test", np.arange(50)), rows("w", "test", np.arange(50, 60))]
    write_crossings(tmp_path / "w.h5", parts, {"energy_lsb_gev": 1.0})
    with pytest.raises(InputError, match="without a cross section of w"):
        _checked(tmp_path / "w.h5", menu=loose)
    write_crossings(tmp_path / "train.h5", [rows(ZERO_BIAS, "train", np.arange(50))], {"energy_lsb_gev": 1.0})
    with pytest.raises(InputError, match="without zero-bias crossings in the test split"):
        _checked(tmp_path / "train.h5", menu=loose)
    for kind, said in (
        ("words/", "without quantities of a menu"),
        ("pooled/", "without the inputs tracks; expected pooled"),
    ):
        lacking = {key: x for key, x in rows(ZERO_BIAS, "test", np.arange(50)).items() if not key.startswith(kind)}
        write_crossings(tmp_path / "lacking.h5", [lacking], {"energy_lsb_gev": 1.0})
        with pytest.raises(InputError, match=said):
            _checked(tmp_path / "lacking.h5", menu=loose)
    write_crossings(tmp_path / "unsaid.h5", [rows(ZERO_BIAS, "test", np.arange(50))], {})
    with pytest.raises(InputError, match="without the step of its energies; expected energy_lsb_gev in its provenance"):
        RunCrossings(TriggerConfig(crossings=str(tmp_path / "unsaid.h5")), Sum(PoolingConfig(inputs=("hcal",))), 1)
    # A distance needs background to learn from, which no later stage finds.
    with pytest.raises(InputError, match=r"c\.h5 without zero-bias crossings in the train split"):
        check_crossings(RunConfig(trigger=TriggerConfig(crossings=str(path), menu=loose)))
    # Without crossings there is nothing to check.
    check_crossings(RunConfig(trigger=TriggerConfig(crossings="none")))
