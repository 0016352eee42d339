"""Energy-flow polynomials against figures of the library energyflow, and what must not change them."""

from itertools import product

import numpy as np
import pytest

from codae_l1.models.systems._energy_flow import POLYNOMIALS, energy_flow

# Made once with energyflow 1.4.0 and NumPy 1.26.4: EFPSet("d<=3", "p==1", measure="hadr", beta=1, kappa=1, normed=True,
# coords="ptyphim").compute(jet), without the constant one. Jets of (pT, y, phi); the third lies across phi = pi.
FIGURES = (
    (
        [[100, 0, 0], [50, 0.3, -0.2], [25, -0.1, 0.4], [10, 0.5, 0.1]],
        [
            *(0.2683900351466688, 0.12636961285609938, 0.06485273178604967, 0.0834164206255901),
            *(0.041167408904413276, 0.021246128784207483, 0.02942375573077146, 0.02442116627060726),
        ],
    ),
    (
        [[60, 0, 0], [40, 0.3, 0.4]],
        [
            *(0.23999999999999994, 0.11999999999999995, 0.059999999999999956, 0.05999999999999997),
            *(0.02999999999999998, 0.0, 0.015599999999999989, 0.014399999999999991),
        ],
    ),
    (
        [[200, 1.2, 3.1], [150, 1, -3], [30, 0.8, 3], [20, 1.4, -2.9], [5, 1.1, 2.7]],
        [
            *(0.19772059275481974, 0.0680104330288061, 0.025343326374105572, 0.04518303438518338),
            *(0.01665601039904501, 0.008951638433172529, 0.012332957372927597, 0.009922158015740222),
        ],
    ),
    ([[3, 0, 0]], [0.0] * 8),
)
# The edges of each graph.
GRAPHS = {
    "line": [(0, 1)],
    "double_line": [(0, 1)] * 2,
    "triple_line": [(0, 1)] * 3,
    "wedge": [(0, 1), (0, 2)],
    "double_wedge": [(0, 1), (0, 2), (0, 2)],
    "triangle": [(0, 1), (0, 2), (1, 2)],
    "star": [(0, 1), (0, 2), (0, 3)],
    "path": [(0, 1), (0, 2), (1, 3)],
}


def jets(n=700, k=6, seed=0):
    """More than a slice of random jets (n, k, 3)."""
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.exponential(20, (n, k)), axis=1)[:, ::-1]
    return np.stack([pt, *rng.normal(0, 0.3, (2, n, k))], axis=-1)


@pytest.mark.parametrize(("jet", "expected"), FIGURES)
def test_values_are_those_of_energyflow(jet, expected):
    assert energy_flow(np.array([jet], np.float64))[0] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_they_are_the_sums_over_graphs():
    (jet,) = jets(1, 4)
    z, angles = jet[:, 0] / jet[:, 0].sum(), jet[:, 1:]
    distance = np.linalg.norm(angles[:, None] - angles[None], axis=-1)
    for name, value in zip(POLYNOMIALS, energy_flow(jet[None])[0], strict=True):
        vertices = 1 + max(max(edge) for edge in GRAPHS[name])
        terms = [
            np.prod(z[list(at)]) * np.prod([distance[at[a], at[b]] for a, b in GRAPHS[name]])
            for at in product(range(4), repeat=vertices)
        ]
        assert value == pytest.approx(sum(terms), rel=1e-12), name


def test_order_and_padding_change_nothing_nor_do_position_and_unit():
    sample, rng = jets(), np.random.default_rng(1)
    found = energy_flow(sample)
    assert found.shape == (700, 8)
    assert found.min() > 0
    moved, turned = sample.copy(), sample.copy()
    moved[..., 1] += 0.7
    # Jets about phi = 3.1: some of their constituents lie just above -pi.
    turned[..., 2] = np.mod(turned[..., 2] + 3.1 + np.pi, 2 * np.pi) - np.pi
    others = {
        "order": sample[:, rng.permutation(6)],
        "padding": np.pad(sample, ((0, 0), (0, 5), (0, 0))),
        "unit": sample * [1e-3, 1, 1],
        "position": moved,
        "across phi = pi": turned,
    }
    assert np.ptp(turned[..., 2], axis=1).max() > 6
    for what, other in others.items():
        assert energy_flow(other) == pytest.approx(found, rel=1e-9), what
    # Constituents of no pT count nowhere, wherever they are.
    far = np.pad(sample, ((0, 0), (0, 1), (0, 0)))
    far[:, -1, 1:] = 3.0
    assert energy_flow(far) == pytest.approx(found, rel=1e-12)


def test_a_jet_without_pt_has_zeros():
    sample = jets(3)
    sample[1] = 0
    found = energy_flow(sample)
    assert (found[1] == 0).all()
    assert (energy_flow(sample[::2]) == found[::2]).all()
    assert energy_flow(np.zeros((0, 50, 3), np.float32)).shape == (0, 8)
