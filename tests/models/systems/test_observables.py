"""Observables and the trees' inputs on handmade images."""

import numpy as np
import pytest

from codae_l1.data.calorimeter import PHI_STEP, eta_edges
from codae_l1.models.systems._observables import (
    OBSERVABLES,
    TREE_INPUTS,
    ObservablesSystem,
    missing_energy,
    observables,
    tree_inputs,
)


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


def test_observables_are_a_system_that_needs_no_network():
    system, images = ObservablesSystem(None), sample(5, 1, 0.01)
    assert (system.parameters, system.macs, system.predict_function(images)) == (0, 0, None)
    assert system.learning == "none"
