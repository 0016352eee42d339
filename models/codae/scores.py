"""Anomaly scores of a CoDAE and their orientation, fixed without signal labels.

x mask, p probability, z_m = (z0, z1) from f_m, z_R from f_R. Every score is one number per event:

    z0, z1                    components of z_m
    z_sum, z_difference       z0 + z1, z0 - z1
    z_norm                    sqrt(z0^2 + z1^2)
    z0_over_norm, z1_over_norm   z0 / z_norm, z1 / z_norm (0 where the norm is 0)
    z_r_norm                  sqrt of the sum of z_R^2 over its 5 x 4 x C values
    mse                       sum (x - p)^2 over pixels
    bce                       sum -x log p - (1 - x) log(1 - p)
    dice                      1 - (2 sum x p + 1) / (sum x + sum p + 1); not the published score of that name
    missed, invented          sum x (1 - p)^2, sum (1 - x) p^2; they add to mse
    block_power               sum over blocks of 12 x 12 pixels of (sum of p in the block)^2

A CoDVAE, whose z_R = softmax(l / tau) here (models/codae/codvae.py), has four more:

    kl                        KL(q(z_R | x) || prior) summed over the 5 x 4 cells: mean of log q - log p over the
                              samples, whose Gumbel numbers are the same for each event; kl_weight does not enter
    elbo                      bce + kl, the negative evidence lower bound
    entropy                   -sum z_R log z_R over cells and classes
    temperature               mean of tau over cells

A compact CoDAE learns where pixels are likely, not single pixels. Its squared error then misses what distinguishes
soft, isotropic events from jets: many places that may or may not be active. `invented` measures these.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import PoolingConfig, active_counts_float
from codae_l1.models.codae.config import BLOCK, CODVAE_SCORES, MASK_SHAPE, SCORES

if TYPE_CHECKING:
    from codae_l1.models.codae.model import CoDAE

# The score whose growth means "worse reconstructed", which orients the others.
REFERENCE_SCORE = "mse"


def active_pixels(masks: np.ndarray) -> np.ndarray:
    """The baseline to beat: active pixels per event, (N, 72, 58, 1) -> (N,) float64."""
    return np.count_nonzero(masks, axis=(1, 2, 3)).astype(np.float64)


def block_power(masks: np.ndarray) -> np.ndarray:
    """A baseline without learning: sum over blocks of 12 x 12 of (active pixels)^2, (N, 72, 58, 1) -> (N,) float64.

    It is the score block_power with the mask in the place of its reconstruction: pairs of active pixels that are close.
    """
    blocks = active_counts_float(masks, PoolingConfig(pool=BLOCK)).astype(np.float64)
    return np.square(blocks).sum(axis=(1, 2, 3))


def codae_scores(model: "CoDAE", masks: np.ndarray, batch_size: int = 128) -> dict[str, np.ndarray]:
    """All scores of masks (N, 72, 58, 1): name -> (N,) float64, as defined, not yet oriented.

    Names are SCORES; those of CODVAE_SCORES follow where the model is a CoDVAE, without kl and elbo where it has no
    prior.
    """
    if masks.ndim != 4 or masks.shape[1:] != MASK_SHAPE:
        raise InputError(f"masks of shape {masks.shape}", f"(N, {', '.join(map(str, MASK_SHAPE))})", "use track_mask")
    run = _compiled(model, (model.f_m, model.f_r, model.decoder, model.prior), batch_size)
    starts = range(0, max(len(masks), 1), batch_size)
    with _as_written():
        parts = [_padded(run, masks[i : i + batch_size], batch_size) for i in starts]
    # Column by column: the parts are float32, half of what they become.
    raw = {name: np.concatenate([part.pop(name) for part in parts]).astype(np.float64) for name in list(parts[0])}
    z0, z1 = raw["z_m"].T
    norm = np.hypot(z0, z1)
    safe = np.where(norm > 0, norm, 1)
    latent = (z0, z1, z0 + z1, z0 - z1, norm, z0 / safe, z1 / safe)
    names = SCORES + tuple(name for name in CODVAE_SCORES if name in raw)
    return dict(zip(names, (*latent, *(raw[name] for name in names[len(latent) :])), strict=True))


def orientations(qcd_scores: Mapping[str, np.ndarray], reference_score: str = REFERENCE_SCORE) -> dict[str, int]:
    """Sign of each score so that higher means more anomalous, from QCD alone.

    The sign is that of Spearman's correlation with the reconstruction error (mse, or what `reference_score` names) on
    QCD events; +1 where it is zero or undefined. No signal event and no label enters.

    >>> mse = np.array([1.0, 2.0, 3.0])
    >>> orientations({"mse": mse, "z0": np.array([5.0, 4.0, 1.0])})
    {'mse': 1, 'z0': -1}
    """
    if reference_score not in qcd_scores:
        raise InputError(
            f"scores {', '.join(qcd_scores)}", f"{reference_score} among them", "pass codae_scores' result"
        )
    reference = _ranks(qcd_scores[reference_score])
    return {name: -1 if np.dot(_ranks(s), reference) < 0 else 1 for name, s in qcd_scores.items()}


def orient(scores: Mapping[str, np.ndarray], signs: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Scores times the signs of `orientations`: higher = more anomalous."""
    return {name: signs[name] * score for name, score in scores.items()}


@contextmanager
def _as_written() -> Iterator[None]:
    """Without TensorFlow's optimizer of arithmetic, which makes rsqrt of a root and a quotient: an approximation, and
    another one on each make of processor."""
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options().get("arithmetic_optimization", True)
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"arithmetic_optimization": before})


@lru_cache(maxsize=4)
def _compiled(model: "CoDAE", parts: tuple[Any, ...], batch_size: int) -> Any:
    """The scores of a batch of this size. Compiling takes seconds, so the last few are kept: of the same parts alone,
    whose weights may change meanwhile."""
    import keras
    import tensorflow as tf

    from codae_l1.models.codae import losses

    @tf.function(reduce_retracing=True, autograph=False)
    def run(mask: Any) -> dict[str, Any]:
        mask = tf.cast(mask, tf.float32)
        z_m = model.f_m(mask)
        z_r, scores = model.latent_scores(mask)
        logits = model.decoder([z_r, z_m])
        p = keras.ops.sigmoid(logits)
        bce = losses.bce(mask, logits)
        if "kl" in scores:
            scores["elbo"] = bce + scores["kl"]
        return {
            "z_m": z_m,
            "z_r_norm": tf.sqrt(tf.reduce_sum(tf.square(z_r), losses.PIXELS)),
            "mse": losses.mse(mask, p),
            "bce": bce,
            "dice": losses.dice(mask, p),
            "missed": tf.reduce_sum(mask * tf.square(1 - p), losses.PIXELS),
            "invented": tf.reduce_sum((1 - mask) * tf.square(p), losses.PIXELS),
            "block_power": losses.block_power(p),
            **scores,
        }

    return run


def _padded(run: Any, batch: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Run a batch filled up to `size` with empty events: one compiled shape, whatever the number of events."""
    n = len(batch)
    if n < size:
        batch = np.concatenate([batch, np.zeros((size - n, *MASK_SHAPE), batch.dtype)])
    return {name: np.array(column[:n]) for name, column in run(batch).items()}


def _ranks(values: np.ndarray) -> np.ndarray:
    """Centred mid-ranks, ties averaged: (N,) -> (N,) float64."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    return middle[inverse] - (len(values) + 1) / 2
