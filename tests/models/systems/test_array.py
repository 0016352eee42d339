"""Observables and the trees' inputs on handmade images; boosted trees equal to scikit-learn's, kept as arrays."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import PHI_STEP, eta_edges
from codae_l1.models.systems._observables import OBSERVABLES, TREE_INPUTS, missing_energy, observables, tree_inputs
from codae_l1.models.systems.array import BoostedTreesSystem, ObservablesSystem
from codae_l1.models.systems.base import Batch
from codae_l1.models.systems.boosted_trees import Forest, grow, log_losses
from codae_l1.models.systems.registry import BoostedTreesConfig, SystemsConfig, create_system, system_class

RNG = np.random.default_rng(0)
CONFIG = BoostedTreesConfig(trees=20, leaf_events=5)


def handmade() -> np.ndarray:
    """One event: three tracks side by side in one row of phi, an ECAL and a HCAL tower half a turn apart."""
    image = np.zeros((1, 72, 58, 3), np.float32)
    image[0, 5, 28:31, 0] = 1.0, 2.0, 4.0
    image[0, 10, 0, 1] = 8.0
    image[0, 46, 57, 2] = 3.0
    return image


def sample(n: int, seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ((rng.random((n, 72, 58, 3)) < share) * rng.exponential(2, (n, 72, 58, 3))).astype(np.float32)


def two_classes(n: int, seed: int) -> Batch:
    images = np.concatenate([sample(n, seed, 0.010), sample(n, seed + 1, 0.012)])
    return Batch(images, np.repeat(["qcd", "h125"], n))


def test_observables_of_a_handmade_event():
    found = {name: value.tolist() for name, value in observables(handmade()).items()}
    assert list(found) == list(OBSERVABLES)
    # One column of padding: columns 28 to 30 are in one block of 12.
    assert found["active_pixels"] == [3.0]
    assert found["block_power"] == [9.0]
    assert found["total_energy"] == [18.0]
    # 8 GeV and 3 GeV half a turn apart.
    assert found["missing_energy"] == pytest.approx([5.0])


def test_missing_energy_is_a_vector_sum():
    image = sample(4, 3, 0.01)
    phi = -np.pi + PHI_STEP * (np.arange(72) + 0.5)
    towers = image[..., 1].astype(float) + image[..., 2]
    x, y = (np.einsum("npe,p->n", towers, f(phi)) for f in (np.cos, np.sin))
    np.testing.assert_allclose(missing_energy(image), np.sqrt(x**2 + y**2), rtol=1e-6)
    np.testing.assert_allclose(missing_energy(np.roll(image, 9, axis=1)), missing_energy(image), rtol=1e-6)


def test_the_thirty_inputs_of_the_trees():
    assert len(TREE_INPUTS) == len(set(TREE_INPUTS)) == 30
    found = dict(zip(TREE_INPUTS, tree_inputs(handmade())[0].tolist(), strict=True))
    eta = (eta_edges()[1:] + eta_edges()[:-1]) / 2
    weighted = np.average(np.abs(eta[28:31]), weights=(1, 2, 4))
    expected = {"tracks_active": 3, "tracks_active_central": 3, "tracks_neighbours": 2 / 3, "tracks_sum": 7}
    expected |= {"tracks_hardest_ten": 1, "tracks_imbalance": 7, "tracks_mean_abs_eta": weighted, "ecal_active": 1}
    expected |= {"ecal_active_central": 0, "ecal_sum": 8, "hcal_sum": 3, "hcal_rms_eta": eta[57]}
    expected |= {"total_energy": 18, "missing_energy": 5}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_the_forest_is_scikit_learns_to_the_bit():
    from sklearn.ensemble import HistGradientBoostingClassifier

    x = RNG.normal(size=(400, 4))
    y = x[:, 0] + x[:, 1] ** 2 > 0.5
    forest, baseline = grow(x, y, CONFIG)
    options = {"max_iter": 20, "max_leaf_nodes": 8, "learning_rate": 0.05, "min_samples_leaf": 5}
    theirs = HistGradientBoostingClassifier(**options, early_stopping=False).fit(x, y)
    new = RNG.normal(size=(300, 4))
    margins = np.cumsum(np.column_stack([np.full(300, baseline), forest.leaf_values(new)]), axis=1)
    assert np.array_equal(margins[:, -1], theirs.decision_function(new))
    first = forest.first(7)
    assert np.array_equal(first.leaf_values(new), forest.leaf_values(new)[:, :7])
    assert np.array_equal(Forest.of(first.arrays("a/"), "a/").leaf_values(new), first.leaf_values(new))
    assert forest.parameters == sum(
        2 * int((p.nodes["is_leaf"] == 0).sum()) + int(p.nodes["is_leaf"].sum()) for (p,) in theirs._predictors
    )


def test_log_loss_of_margins():
    losses = log_losses(np.array([[0.0, 2.0], [0.0, -1.0]]), np.array([True, False]))
    expected = [np.log(2), (np.log(1 + np.exp(-2)) + np.log(1 + np.exp(-1))) / 2]
    np.testing.assert_allclose(losses, expected)


def test_boosted_trees_learn_keep_the_best_number_and_come_back(tmp_path):
    train, validation = two_classes(60, 0), two_classes(40, 10)
    system = create_system("bdt", CONFIG)
    history = system.fit(train, validation, tmp_path)
    assert history["best_epoch"] == int(np.argmin(history["validation_loss"])) + 1
    assert history["best_validation_loss"] == min(history["validation_loss"]) < np.log(2)
    scores = system.scores(validation.images)["log_odds"]
    y = validation.label != "qcd"
    assert np.logaddexp(0, np.where(y, -scores, scores)).mean() == pytest.approx(history["best_validation_loss"])
    system.save(tmp_path / system.file)
    again = BoostedTreesSystem(CONFIG)
    again.load(tmp_path / system.file)
    assert np.array_equal(again.scores(validation.images)["log_odds"], scores)
    assert again.parameters == system.parameters > 0
    other = create_system("observables", None)
    with pytest.raises(InputError, match="holds bdt; expected arrays of a observables system"):
        other.load(tmp_path / system.file)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"broken\.npz cannot be read"):
        again.load(tmp_path / "broken.npz")


def test_what_a_supervised_system_refuses():
    system, images = BoostedTreesSystem(CONFIG), sample(6, 0, 0.01)
    one_class = Batch(images, np.repeat("qcd", 6))
    with pytest.raises(InputError, match="0 signal and 6 QCD events for the training of bdt; expected some of both"):
        system.fit(one_class, one_class, None)
    with pytest.raises(InputError, match="bdt that is not trained"):
        system.scores(images)
    with pytest.raises(InputError, match="leaves >= 2"):
        BoostedTreesConfig(leaves=1)


def test_observables_are_a_system_and_all_are_registered(tmp_path):
    system, images = ObservablesSystem(None), sample(5, 1, 0.01)
    assert system.fit(Batch(images, np.repeat("qcd", 5)), None, tmp_path) == {}
    system.save(tmp_path / system.file)
    again = ObservablesSystem(None)
    again.load(tmp_path / system.file)
    for name, values in system.scores(images).items():
        assert np.array_equal(values, again.scores(images)[name])
    assert (system.parameters, system.macs, system.predict_function(images)) == (0, 0, None)
    for name in ("observables", "bdt", "latent_norm", "mahalanobis", "gaussian_mixture", "isolation_forest"):
        assert system_class(name).name == name
    assert SystemsConfig().bdt == BoostedTreesConfig()
