"""Jets of tables that round to one or two decimals: what that may do is read, and nothing else."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._unnamed_jets import Unnamed, below_momentum


def massless(n=500, digits=1):
    """Constituents (n, 60, 4), hardest first, rounded."""
    rng = np.random.default_rng(0)
    pt = np.sort(rng.exponential(5, (n, 60)), axis=1)[:, ::-1] + 0.5
    eta, phi = rng.normal(0, 1, (2, n, 60))
    vectors = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=-1)
    return np.round(vectors, digits).astype(np.float32)


@pytest.mark.parametrize("digits", [1, 2])
def test_energies_below_the_momentum_by_the_step_of_all_values_are_rounding(digits):
    jets, step = massless(digits=digits), 10.0**-digits
    short = np.linalg.norm(jets[..., 1:].astype(float), axis=-1) - jets[..., 0]
    # More than what float32 alone is allowed, and never 1.4 steps.
    assert (short > 0.01 if digits == 1 else short > 1e-3).any()
    assert short.max() < 1.4 * step
    assert not below_momentum(jets).any()
    # An energy that lacks more.
    lower = jets.copy()
    lower[3, 0, 0] -= 3 * step + 2e-3 * lower[3, 0, 0]
    assert np.argwhere(below_momentum(np.round(lower, digits))).tolist() == [[3, 0]]
    # The same where the values have further digits.
    assert below_momentum(jets * np.float32(1 + 1e-4)).any()


def test_columns_without_names_may_be_rounded_as_well():
    jets, none = massless(), np.zeros(500, int)
    Unnamed("jets.h5").check(jets, np.zeros((500, 4)), none, none == 1)
    jets[7, [0, 1]] = jets[7, [1, 0]]
    jets[7, 1] += np.float32([1.0, 1.0, 0.0, 0.0])
    with pytest.raises(InputError, match=r"jet 7 with a (constituent harder than the one before|constituent of)"):
        Unnamed("jets.h5").check(jets, np.zeros((500, 4)), none, none == 1)
