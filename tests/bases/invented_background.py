"""Invented background of the networks that learn from zero bias."""

import numpy as np


def background(firmware, n=1500, seed=0):
    """Counts with a common fluctuation, more of it in the middle; no symmetry of the generator is exact in them."""
    rng = np.random.default_rng(seed)
    rows, columns, inputs = firmware.input_shape
    activity = rng.gamma(1.5, 0.06, (n, 1, 1, inputs)) * (1 + np.sin(np.arange(columns) / 4))[:, None]
    return rng.poisson(np.broadcast_to(activity, (n, rows, columns, inputs)))


def symmetric(counts, rows):
    """The events, turned by whole windows and mirrored both ways: their sample covariance has all symmetries."""
    turned = [np.roll(counts, rows * k, axis=1) for k in range(counts.shape[1] // rows)]
    both = [one for t in turned for one in (t, t[:, ::-1])]
    return np.concatenate([one for t in both for one in (t, t[:, :, ::-1])])


def above(values, weight, share):
    """What a weighted share of the values exceeds."""
    order = np.argsort(-values, kind="stable")
    return values[order][np.searchsorted(np.cumsum(weight[order]) / weight.sum(), share)]
