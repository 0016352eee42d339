"""Auto-encoder of the windows of background, whose reconstruction error is computed in firmware, decoder included.

    h = ReLU(E c + e)         k units: what background has in common
    r = (c - m) / s - D h - d,  m, s: mean and deviation of each window over background
    score = sum over windows of (r / deviation of r)^2, in units of what a share TAIL of background exceeds

As a network without branches: a dense layer gives [h, c], since the ReLU leaves a count as it is, the next one reads r
from both, then come squares and their sum. Background prefers no azimuth and no sign of eta: the auto-encoder learns
from all exchanges of neighbouring places around phi (rolls) and mirror images in eta.
"""

from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization.config import Training
from codae_l1.quantization.f_m.config import FirmwareConfig


def set_autoencoder(
    model: Any, firmware: FirmwareConfig, windows: np.ndarray, weight: np.ndarray, tail: float, training: Training
) -> list[float]:
    """Train the auto-encoder and set the float network's weights to it; the mean loss of each tenth of the training.

    windows: (N, phi, eta) counts of background, weight (N,). tail: share of background whose score exceeds 1.
    """
    import keras

    rng = np.random.default_rng(training.seed)
    if np.ptp(weight):
        windows = windows[rng.choice(len(windows), len(windows), p=weight / weight.sum())]
    copies = [np.roll(flipped, roll, axis=1) for roll in range(windows.shape[1]) for flipped in _mirrored(windows)]
    counts = np.concatenate(copies).reshape(len(copies) * len(windows), -1)
    mean, deviation = counts.mean(axis=0), counts.std(axis=0)
    if not deviation.min() > 0:
        raise InputError("background with a window that does not vary", "counts that vary", "take larger windows")
    values = ((counts - mean) / deviation).astype(np.float32)
    units, n = firmware.dense[0], counts.shape[1]
    first = keras.layers.Dense(units, "relu", kernel_initializer=keras.initializers.GlorotUniform(training.seed))
    second = keras.layers.Dense(n, kernel_initializer=keras.initializers.GlorotUniform(training.seed + 1))
    autoencoder = keras.Sequential([keras.Input((n,)), first, second])
    config = training.distill
    schedule = Schedule(config.steps, config.learning_rate, config.batch_size, training.seed)
    history = fit(autoencoder, values, values, schedule, training.part("auto-encoder"))
    (encode, threshold), (decode, offset) = (layer.get_weights() for layer in (first, second))
    # No matrix product, whose last bits are the processor's.
    hidden = np.maximum(np.einsum("nw,wk->nk", values, encode) + threshold, 0)
    residual = values - (np.einsum("nk,kw->nw", hidden, decode) + offset)
    spread = residual.std(axis=0)
    unit = np.sqrt(np.quantile(np.square(residual / spread).sum(axis=1), 1 - tail))
    # A hidden unit is counted in the windows' deviations, so that its word is that of a count.
    scale = deviation.mean()
    read = scale * encode / deviation[:, None]
    weights = {
        "conv1": (np.ones((*firmware.conv[0].kernel, len(firmware.inputs), 1)), np.zeros(1)),
        "dense1": (
            np.concatenate([read, np.eye(n)], axis=1),
            np.concatenate([scale * threshold - (mean[:, None] * read).sum(axis=0), np.zeros(n)]),
        ),
        "dense2": (
            np.concatenate([-decode / scale, np.diag(1 / deviation)]) / (spread * unit),
            (-mean / deviation - offset) / (spread * unit),
        ),
        "output": (np.ones((n, 1)), np.zeros(1)),
    }
    for name, pair in weights.items():
        model.get_layer(name).set_weights([part.astype(np.float32) for part in pair])
    return history


def _mirrored(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows (N, phi, eta) and their mirror image in eta."""
    return windows, windows[:, :, ::-1]
