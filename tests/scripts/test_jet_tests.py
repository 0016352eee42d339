"""Rejection, further signals and the linear classifier beside an AUC; their tables; on numbers that are known."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.jet_images import JetSample, split_jets
from codae_l1.data.sample import DARK_JETS
from codae_l1.scripts._jet_tests import (
    EFFICIENCIES,
    JetTests,
    linear_scores,
    read_further,
    refuse_copies,
    refuse_trained,
    told,
)
from codae_l1.scripts.reports._cells import rejection
from codae_l1.scripts.reports._jet_tables import dependence_table, rejection_table

N = 400


def sample(shift, signal="dark", seed=0):
    """Half QCD, half signal; five numbers of each jet, the second of which is higher by `shift` for the signal."""
    rng = np.random.default_rng(seed)
    kind = np.where(np.arange(2 * N) % 2, signal, "qcd")
    x = rng.normal(size=(2 * N, 5)).astype(np.float32)
    x[kind == signal, 1] += shift
    return JetSample({"constituents": x}, {"height": x[:, 1].astype(float)}, kind, signal)


class Second:
    """A system whose score is the second number; untrained it is the first. Its representation are all five."""

    side = "constituents"
    representation = True

    def __init__(self, column):
        self.column = column

    def scores(self, x):
        return {"norm": x[:, self.column].astype(float)}

    def latent(self, x):
        # The untrained representation does not have the second number.
        return x if self.column else x[:, [0, 2]]

    def network_inputs(self, x):
        return x[:, :, None]


@pytest.fixture(scope="module")
def tests():
    main = sample(1.5)
    return JetTests(main, split_jets(main.kind), "qcd", {"far": sample(4.0, seed=1), "same": sample(0.0, "x", seed=2)})


@pytest.fixture(scope="module")
def found(tests):
    return tests.of_system(Second(1), Second(0))


def test_every_score_is_measured_trained_and_untrained_and_by_a_linear_classifier(found):
    linear = "linear classifier of "
    assert list(found) == ["norm", linear + "h", "norm, untrained", linear + "h, untrained", linear + "the input"]
    aucs = {name: entry["auc"][0] for name, entry in found.items()}
    # Two normal distributions 1.5 apart: the standard normal distribution at 1.5 / sqrt(2), 0.856.
    assert aucs["norm"] == pytest.approx(0.856, abs=0.06)
    assert aucs[linear + "h"] == pytest.approx(aucs["norm"], abs=0.02)
    assert aucs[linear + "the input"] == pytest.approx(aucs[linear + "h"], abs=1e-9)
    for name in ("norm", linear + "h"):
        assert aucs[name + ", untrained"] == pytest.approx(0.5, abs=0.1)


def test_the_rejection_is_that_of_the_test_jets(tests, found):
    main, part = tests.sample, tests.part
    score = main.images["constituents"][:, 1]
    background, dark = (score[(part == "test") & (main.kind == kind)] for kind in ("qcd", "dark"))
    for share in EFFICIENCIES:
        threshold = np.sort(dark)[::-1][round(share * len(dark)) - 1]
        assert found["norm"]["passing"][f"{share:g}"][0] == pytest.approx((background >= threshold).mean())


def test_further_signals_meet_the_same_background(tests, found):
    # 4 apart: 0.998; a signal that is none: 0.5. All its jets count, the QCD jets of its file do not.
    assert found["norm"]["further"]["far"][0] > 0.98
    assert found["norm"]["further"]["same"][0] == pytest.approx(0.5, abs=0.08)
    assert found["linear classifier of h"]["further"]["far"][0] > 0.95
    assert tests.of_observable("height")["further"] == found["norm"]["further"]


def test_a_network_without_representation_has_no_linear_classifier(tests):
    class Plain(Second):
        representation = False

    assert list(tests.of_system(Plain(1), None)) == ["norm"]


def test_labels_of_the_test_jets_have_no_part_in_the_classifier():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(50, 3)), np.arange(50) % 2 > 0
    score = linear_scores(x, label)
    # A number that never moves is left out, and the order of the numbers does not matter.
    again = linear_scores(np.column_stack([x[:, ::-1], np.full(50, 7.0)]), label)
    new = rng.normal(size=(5, 3))
    np.testing.assert_allclose(
        again(np.column_stack([new[:, ::-1], np.full(5, 7.0)])), score(new), rtol=1e-3, atol=1e-4
    )


def test_the_tables_have_a_line_for_every_score(tests, found):
    trials = {seed: {"tests": tests.of_system(Second(1), Second(0))} for seed in (1, 2)}
    content = {
        "train_on": "qcd",
        "anomaly": "dark",
        "models": {"dark_clr": {"seeds": trials}},
        "tests": {
            "efficiencies": EFFICIENCIES,
            "background": 80,
            "baselines": {"height": tests.of_observable("height")},
            "further": {"far": {"jets": N}, "same": {"jets": N}},
        },
    }
    lines = rejection_table(content)
    assert lines[1] == "| system, score | AUC in % | rejection at 20 % of dark | rejection at 30 % of dark |"
    auc, error = (100 * value for value in found["norm"]["auc"])
    assert lines[3].startswith(f"| dark_clr, norm | {auc:.1f} ± 0.0 ({error:.1f}) | ")
    assert [line.split(" | ")[0] for line in lines[3:9]] == [f"| dark_clr, {name}" for name in found] + [
        "| height, no learning"
    ]
    assert "Linear classifiers are trained with labels; all other scores are not." in lines[-1]
    lines = dependence_table(content)
    assert lines[1] == f"| AUC in %, trained once | far ({N}) | same ({N}) |"
    assert len(lines) == 3 + 6 + 2
    content["tests"]["further"] = {}
    assert dependence_table(content) == []


def test_no_background_is_a_bound_and_no_infinity():
    # With 80 jets, an FPR of 1 - 0.1^(1/80) would leave none in one sample of ten.
    assert rejection([(0.02, 0.01), (0.0, 0.01)], 80) == "> 35.2"


def test_further_files_are_named_and_need_a_signal(tmp_path):
    found = read_further([DARK_JETS], ("constituents",), 20)
    assert (list(found), len(found["dark_jets"])) == (["dark_jets"], 40)
    [said] = told([DARK_JETS], found).values()
    assert (said["jets"], said["config"]["invisible_fraction"]) == (20, 0.75)
    with pytest.raises(InputError, match="--score with two files called dark_jets; expected a name for each"):
        read_further([DARK_JETS, tmp_path / "dark_jets.h5"], ("constituents",), 20)
    with pytest.raises(InputError, match=r"dark_jets.h5 with 9 signal jets; expected at least 10"):
        read_further([DARK_JETS], ("constituents",), 9)


def test_a_further_file_is_no_copy_of_another(tmp_path):
    copy = shutil.copy(DARK_JETS, tmp_path / "copy.h5")
    with pytest.raises(InputError, match=r"--score .*copy\.h5, a copy of the training file .*dark_jets\.h5; expected"):
        refuse_copies(DARK_JETS, [copy])
    other = tmp_path / "other.h5"
    other.write_bytes(b"other")
    refuse_copies(other, [copy])
    with pytest.raises(InputError, match=r"--score .*copy\.h5, a copy of --score .*dark_jets\.h5; expected"):
        refuse_copies(other, [DARK_JETS, copy])


def test_signal_jets_of_the_training_are_counted_and_refused():
    x = np.random.default_rng(5).exponential(10, (40, 50, 3)).astype(np.float32)
    kind = np.where(np.arange(40) % 2, "dark", "qcd")
    main, part = JetSample({"constituents": x}, {}, kind, "dark"), split_jets(kind)
    tested = part == "test"
    assert tested.sum() == 8
    # Jets of the test alone, and the training's QCD jets, whose labels are not measured.
    may = tested | (kind == "qcd")
    refuse_trained(main, part, {"may": JetSample({"constituents": x[may]}, {}, kind[may], "dark")})
    # In the mirror they are the same jets.
    mirrored = x * np.array([1, 1, -1], np.float32)
    both = replace(main, images={"constituents": mirrored})
    with pytest.raises(InputError, match="--score r50, of whose signal jets 16 are also training jets"):
        refuse_trained(main, part, {"may": replace(main, images={"constituents": x + 1}), "r50": both})
