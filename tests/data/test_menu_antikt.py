"""The menu's windows against anti-kt jets of the same towers, on shipped events."""

import importlib.util

import numpy as np
import pytest

from codae_l1.data.calorimeter import ETA_STEP, N_ETA, PHI_STEP
from codae_l1.data.formats import read_events
from codae_l1.data.generation._processes import start_pythia
from codae_l1.data.generation._selection import JetFinder, densities
from codae_l1.data.menu import LARGEST_SUM, menu_words
from codae_l1.data.pooling import TOWER_LSB_GEV, PoolingConfig, tower_words
from codae_l1.data.sample import SAMPLE

pytestmark = [
    pytest.mark.generate,
    pytest.mark.skipif(importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed"),
]

EVENTS = 300
# GeV
HT_JET = 30.0


def antikt(images: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """ET of the hardest jet and HT [GeV], pile-up density times area subtracted, of towers as massless candidates."""
    # Kept by name: the finder's particles point into it.
    pythia = start_pythia(("ProcessLevel:all = off",), 1)
    finder = JetFinder(pythia, radius, 5.0, N_ETA / 2 * ETA_STEP)
    leading, ht = np.zeros((2, len(images)))
    words = tower_words(images, PoolingConfig(inputs=("ecal", "hcal"))).sum(axis=-1)
    for event, towers in enumerate(words):
        row, column = np.nonzero(towers)
        eta, phi = (column + 0.5 - N_ETA / 2) * ETA_STEP, (row + 0.5) * PHI_STEP - np.pi
        candidates = np.column_stack([towers[row, column] * TOWER_LSB_GEV, eta, phi])
        density, _ = densities(candidates)
        pt = finder.jets(candidates)[:, 0] - density * np.pi * radius**2
        leading[event], ht[event] = pt.max(initial=0.0), pt[pt >= HT_JET].sum()
    return leading, ht


@pytest.mark.parametrize("radius", [0.4, 0.5])
@pytest.mark.parametrize("signal", ["qcd", "svj2100"])
def test_windows_agree_with_antikt(signal, radius):
    events = read_events(SAMPLE)
    images = events.images[np.flatnonzero(events.signal == signal)[:EVENTS]]
    words = menu_words(images)
    leading, ht = antikt(images, radius)
    response = words["jet1"] * TOWER_LSB_GEV / leading
    low, median, high = np.quantile(response, [0.16, 0.5, 0.84])
    # HT saturates at 2047.5 GeV, which hard QCD passes.
    below = words["HT"] < LARGEST_SUM
    correlation = np.corrcoef(words["HT"][below], ht[below])[0, 1]
    ratio = np.median(words["HT"] * TOWER_LSB_GEV / ht)
    print(
        f"{signal} R={radius}: jet1 median {median:.3f}, spread {(high - low) / 2:.3f}; "
        f"HT median {ratio:.3f}, correlation {correlation:.3f}"
    )
    # Figures in docs/rates.md.
    assert 0.85 < median < 1.15
    assert (high - low) / 2 < 0.2
    assert 0.9 < ratio < 1.1
    assert correlation > 0.9
