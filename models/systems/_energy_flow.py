"""Energy-flow polynomials of a jet (arXiv:1712.07124): what the shares of its pT and the distances between them make.

With the share z_i = pT_i / sum pT and the distance d_ij = sqrt((eta_i - eta_j)^2 + (phi_i - phi_j)^2), a polynomial is
that of a graph: a sum over one constituent per vertex of the product of their z, times d_ij for each edge. The eight
connected graphs of one to three edges (the measure is the hadronic one, kappa = 1, beta = 1, normed):

    line            sum z_i z_j d_ij                       star           sum z_i z_j z_k z_l d_ij d_ik d_il
    double line     sum z_i z_j d_ij^2                     path           sum z_i z_j z_k z_l d_ij d_ik d_jl
    triple line     sum z_i z_j d_ij^3                     wedge          sum z_i z_j z_k d_ij d_ik
    triangle        sum z_i z_j z_k d_ij d_ik d_jk         double wedge   sum z_i z_j z_k d_ij d_ik^2

They do not depend on the order of the constituents, and constituents of no pT add nothing.
"""

import numpy as np

POLYNOMIALS = ("line", "double_line", "triple_line", "wedge", "double_wedge", "triangle", "star", "path")
# Jets whose distances are held at once: 50 constituents make 20 kB each.
_SLICE = 512


def energy_flow(constituents: np.ndarray) -> np.ndarray:
    """Constituents (N, K, 3) pT, eta, phi -> POLYNOMIALS (N, 8) float64; a jet without pT has zeros, as one of a single
    constituent has. The unit of pT does not matter; differences of phi are taken on the circle.

    Two constituents of 60 and 40 GeV at a distance of 0.5: 2 x 0.6 x 0.4 x 0.5 of one edge.

    >>> two = np.array([[[60.0, 0.0, 0.0], [40.0, 0.3, 0.4]]])
    >>> dict(zip(POLYNOMIALS, energy_flow(two)[0].round(4).tolist(), strict=True))["line"]
    0.24
    """
    found = np.zeros((len(constituents), len(POLYNOMIALS)))
    for start in range(0, len(constituents), _SLICE):
        found[start : start + _SLICE] = _of_slice(constituents[start : start + _SLICE].astype(np.float64))
    return found


def _of_slice(constituents: np.ndarray) -> np.ndarray:
    pt, eta, phi = np.moveaxis(constituents, -1, 0)
    total = pt.sum(axis=1, keepdims=True)
    z = np.divide(pt, total, out=np.zeros_like(pt), where=total > 0)
    turn = np.abs(phi[:, :, None] - phi[:, None]) % (2 * np.pi)
    d = np.hypot(eta[:, :, None] - eta[:, None], np.minimum(turn, 2 * np.pi - turn))

    def around(distance: np.ndarray) -> np.ndarray:
        """sum_j z_j distance_ij: (N, K)."""
        return np.matmul(distance, z[..., None])[..., 0]

    one, two = around(d), around(d**2)
    # sum_k z_k d_ik d_jk, for the third vertex of each triangle.
    third = np.matmul(d * z[:, None], d)
    sums = (one, two, around(d**3), one**2, one * two, around(d * third), one**3, one * around(d * one[:, None]))
    return np.stack([(z * x).sum(axis=1) for x in sums], axis=1)
