"""A teacher's score in firmware: every executor gives QKeras's words, changed weights are found, rows are whole."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.files import read_json
from codae_l1.hls.hls4ml.project import HlsProject
from codae_l1.hls.network.mismatch import QKerasNetwork, compare
from codae_l1.hls.network.records import read_network
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation
from codae_l1.hls.target.compiler import find_compiler
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator
from codae_l1.quantization.deep_set import DeepSet, SetConfig, SetTraining, SetWords
from codae_l1.scripts._set_student import (
    StudentPlan,
    adversarial,
    firmware_student,
    learned,
    neighbours,
    permuted,
    student_rows,
)

ROWS = (1, 2)
PLAN = StudentPlan(
    SetWords(ROWS, 0.5, 0.05, 0.05),
    SetConfig(ROWS, hidden=(3,), z=2, weight_bits=5, z_bits=6),
    SetTraining(steps=100, qat_steps=50, batch_size=128, learning_rate=0.02),
    copies=1,
    least=0,
)


def teacher(events):
    return events[:, 0, 0] / 10 + (events[:, 1:, 0] > 15).sum(axis=1)


def sample(number, scale, seed):
    rng = np.random.default_rng(seed)
    events = np.stack([rng.exponential(scale, (number, 3)), *rng.normal(0, 1, (2, number, 3))], axis=-1)
    events[..., 0] *= rng.random((number, 3)) < 0.7
    return events * (events[..., :1] > 0)


TESTED = {"background": sample(300, 15, 2), "louder": sample(200, 30, 3)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("student")
    script = out / "c++"
    script.write_text(f'#!/bin/sh\nexec {find_compiler()} "$@" -O0\n')
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXX", str(script))
        return firmware_student("heard", teacher, sample(1000, 15, 1), TESTED, PLAN, out), out


@pytest.fixture(scope="module")
def network(made):
    return DeepSet.load(made[1] / "firmware" / "heard" / "deep_set.npz")


def test_every_executor_gives_the_words_of_qkeras(made):
    row, _ = made
    assert set(row["comparison"]) == {"hls", "emulator", "interpreter", "rtl"}
    for name, found in row["comparison"].items():
        assert (found["different"], found["compared"]) == (0, row["permuted"]["compared"]), name
        assert found["compared"] > 3000
    assert row["permuted"]["different"] == 0
    assert row["synthesis"]["resources"]["LUT"] > 100
    assert row["synthesis"]["resources"]["DSP"] == row["synthesis"]["resources"]["BRAM_18K"] == 0
    assert row["synthesis"]["latency_how"].startswith("counted in simulation")


def test_inputs_reach_both_ends_of_every_word(network):
    words = adversarial(PLAN.config, 1)
    low, high = PLAN.config.input_word.bounds
    assert words.min() <= low
    assert words.max() >= high
    reference = QKerasNetwork(network.model, read_network(network.model, PLAN.config.input_word), network.output_word)
    layers = reference.predict_layers(words)
    assert layers["object1_word"].max() == 1 - 2.0**-PLAN.config.hidden_bits
    assert layers["z_word"].min() < 0
    assert layers["z_word"].max() > 0


@pytest.mark.parametrize("key", ["object1.kernel", "z.kernel", "z.bias"])
def test_one_weight_changed_by_one_lsb_is_found_and_its_layer_named(made, network, key):
    words = {name: array.copy() for name, array in network.words.items()}
    words[key].flat[np.abs(words[key]).argmin()] += 2
    changed = dataclasses.replace(network, words=words)
    reference = QKerasNetwork(changed.model, read_network(changed.model, PLAN.config.input_word), changed.output_word)
    folder = made[1] / "firmware" / "heard"
    for executor in (HlsProject(folder / "hls4ml"), Emulator(folder / "emulator"), Interpreter(folder / "rtl")):
        mismatch = compare(reference, executor, adversarial(PLAN.config, 1))
        assert mismatch.different > 0, executor.name
        assert mismatch.first_layer is not None
        assert mismatch.first_layer.layer == key.partition(".")[0], executor.name


def test_empty_rows_and_exchanged_objects_in_the_simulated_pipeline(made, network):
    rtl, given = RtlSimulation(made[1] / "firmware" / "heard" / "rtl"), adversarial(PLAN.config, 2)
    words = rtl.predict_words(given)
    np.testing.assert_array_equal(rtl.predict_words(given[:, [0, 2, 1]]), words)
    assert (rtl.predict_words(given[:, [1, 0, 2]]) != words).any()
    given[:, 1] = 0
    fewer = DeepSet(dataclasses.replace(PLAN.config, rows=(1, 1)), network.precision, network.words)
    np.testing.assert_array_equal(rtl.predict_words(given), fewer.predict_words(given[:, [0, 2]]))


def test_a_row_says_what_was_lost_and_is_kept(made):
    row, out = made
    auc = row["auc"]["louder"]
    assert auc["lost"] == pytest.approx(auc["teacher"] - auc["words"])
    assert auc["words"] > 0.6
    text = student_rows({"heard": row})
    assert text.startswith(
        "| firmware of | signal | AUC teacher | float | words | teacher - words | LUT | FF | latency [ns] |"
    )
    assert f"| heard | louder | {100 * auc['teacher']:.1f} |" in text
    assert "hls: 0 of " in text
    stored = out / "firmware" / "heard" / "student.json"
    before = stored.stat().st_mtime_ns
    assert firmware_student("heard", teacher, sample(1000, 15, 1), TESTED, PLAN, out) == read_json(stored)
    assert stored.stat().st_mtime_ns == before


def test_copies_lie_beside_the_background_and_keep_types():
    background = sample(500, 15, 1)
    (copy,) = neighbours(background, PLAN)
    assert (copy[:, 1, 0] >= copy[:, 2, 0]).all()
    assert (background[:, 1, 0] < background[:, 2, 0]).any()
    assert (copy != background).any(axis=(1, 2))[background[..., 0].any(axis=1)].all()
    assert not copy[copy[..., 0] == 0].any()
    # The first row comes from first rows alone: its eta are those of other events.
    eta = copy[:, 0, 1][copy[:, 0, 0] > 0]
    assert np.isin(eta, background[:, 0, 1]).all()
    assert np.count_nonzero(copy[..., 0]) < np.count_nonzero(background[..., 0])
    assert np.abs(copy[..., 2]).max() <= np.pi
    assert len(neighbours(background, dataclasses.replace(PLAN, least=2001))) == 4


def test_copies_of_jets_are_turned_around_their_axis():
    jets = np.array([[[9.0, 0.3, 0.0], [5.0, 0.0, 0.4]]])
    plan = dataclasses.replace(PLAN, words=SetWords((2,), 0.5, 0.05, 0.05), around_axis=True)
    for copy in neighbours(np.tile(jets, (50, 1, 1)), plan)[0]:
        there = copy[:, 0] > 0
        np.testing.assert_allclose(np.hypot(copy[:, 1], copy[:, 2])[there], np.array([0.3, 0.4])[there])
    turned = neighbours(np.tile(jets, (50, 1, 1)), dataclasses.replace(plan, moved=False))[0]
    np.testing.assert_array_equal(turned[..., 0], np.tile([9.0, 5.0], (50, 1)))
    np.testing.assert_allclose(np.hypot(turned[..., 1], turned[..., 2]), np.tile([0.3, 0.4], (50, 1)))
    assert np.ptp(turned[:, 0, 1]) > 0.3


def test_plans_of_jets_turn_their_copies_alone():
    jets, events = (StudentPlan.of(form, HlsConfig()) for form in ("constituents", "objects"))
    assert (jets.around_axis, jets.moved, events.around_axis, events.moved) == (True, False, False, True)


def test_the_logarithm_of_scores_is_learned_where_it_is_less_skewed():
    normal = np.random.default_rng(0).normal(5, 1, 1000)
    np.testing.assert_array_equal(learned(normal), normal)
    np.testing.assert_array_equal(learned(np.exp(normal)), np.log(np.exp(normal)))
    np.testing.assert_array_equal(learned(np.exp(normal) - np.exp(normal).min()), np.exp(normal) - np.exp(normal).min())


def test_permuted_objects_stay_within_their_type():
    given = np.arange(30).reshape(10, 3, 1, 1)
    moved = permuted(given, SetConfig(ROWS, features=1), seed=1)[..., 0, 0]
    np.testing.assert_array_equal(moved[:, 0], given[:, 0, 0, 0])
    np.testing.assert_array_equal(np.sort(moved, axis=1), given[..., 0, 0])
    assert (moved[:, 1] > moved[:, 2]).any()
