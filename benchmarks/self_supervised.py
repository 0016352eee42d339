"""Encoders that AnomalyCLR's losses train on pooled counts and energies of zero bias, through this project's chain.

    python benchmarks/self_supervised.py [tracks] [tracks_calorimeter] [--losses CLR AnomCLR AnomCLR+] [--seeds 1 2 3]
        [--crossings FILE] [--out self-supervised]

An encoder of three dense layers reads the fifteen windows of the default trigger network: of tracks, or of tracks and
of ECAL and HCAL added. It learns from zero bias alone by a loss of models.systems (arXiv:2301.04660):

    its other view     a crossing rolled around phi, mirrored in eta, of which each word is kept with a probability of
                       0.9 for each of its steps
    its anomaly        the crossing with more tracks, more energy or both: in a ring, in a place, or everywhere

Two scores come of what it gives, z: its norm, the sum of z^2, and its distance from zero bias (Mahalanobis), whose
whitening is merged with the last layer. So each is a chain of dense layers whose outputs are squared and added, with
the words of axol1tl.py. "untrained" is the same encoder before it has learned.

Of the first seed and the last loss all executors are made, compared on all shipped crossings of the test split, and
mapped by Yosys. Prints that and the table of distances.py; ends with status 1 where a word differs.
"""

import argparse
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from axol1tl import CELLS, SCORE, predict, prove, quantized, scaled
from distances import POINTS, Known, Layers, check, learned, of_rows, outputs

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import load_config
from codae_l1.scripts.run.crossings import RunCrossings

# Config whose inputs are read -> ones where an input (rows) is added to a window's number (columns).
INPUTS = {"tracks": np.ones((1, 1)), "tracks_calorimeter": np.array([[1, 0], [0, 1], [0, 1]])}
_CONFIGS = {"tracks": "demo", "tracks_calorimeter": "tracks_calorimeter"}
LOSSES = ("CLR", "AnomCLR", "AnomCLR+")
# Units of the encoder, and the largest word of a window.
_UNITS, _LARGEST = (16, 12, 8), 127
_STEPS, _BATCH, _RATE, _KEPT = 4000, 256, 1e-3, 0.9
# Tracks, or steps of 4 GeV, that an anomaly has more.
_FEWEST, _MOST = 10, 60


def window_sums(counts: np.ndarray, merge: np.ndarray) -> np.ndarray:
    """Cells (n, 18, 15, inputs) -> windows (n, 15 x windows of a place), as the chain reads them: both saturate."""
    words = np.minimum(counts, CELLS.bounds[1])
    merged = words.reshape(-1, 3, 6, 5, 3, counts.shape[-1]).sum((2, 4)) @ merge
    return np.minimum(merged.reshape(len(counts), -1), _LARGEST)


def other_views(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cells (n, 18, 15, inputs), each crossing rolled around phi and half of them mirrored; words thinned."""
    rows = (np.arange(18) + rng.integers(0, 18, (len(counts), 1))) % 18
    turned = counts[np.arange(len(counts))[:, None], rows]
    mirrored = np.where(rng.random((len(counts), 1, 1, 1)) < 0.5, turned, turned[:, :, ::-1])
    return rng.binomial(mirrored, _KEPT)


def anomalies(counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cells (n, 18, 15, inputs) with more tracks (the first input), more energy (the others), or both."""
    n, inputs = len(counts), counts.shape[-1]
    phi, eta = np.arange(18)[:, None], np.arange(15)
    inside_phi = (phi - rng.integers(0, 18, (n, 1, 1))) % 18 < 6
    inside_eta = np.abs(eta - rng.integers(1, 14, (n, 1, 1))) <= 1
    kind = rng.integers(0, 3, (n, 1, 1))
    inside = np.where(kind == 0, inside_eta, np.where(kind == 1, inside_eta & inside_phi, True)).astype(float)
    inside /= inside.sum((1, 2), keepdims=True)
    more = rng.uniform(_FEWEST, _MOST, (n, 1, 1, inputs))
    if inputs > 1:
        which = rng.integers(0, 3, (n, 1, 1, 1))
        more[..., :1] *= which != 1
        # What is added to the calorimeter is shared by its two parts.
        more[..., 1:] *= (which != 0) / (inputs - 1)
    return counts + rng.poisson(inside[..., None] * more)


def encoder(train: np.ndarray, merge: np.ndarray, loss: str, seed: int, steps: int = _STEPS) -> Layers:
    """The dense layers of an encoder, from windows, that a loss has trained on cells (n, 18, 15, inputs).

    loss: one of LOSSES, or "untrained".
    """
    import keras
    import tensorflow as tf

    from codae_l1.models.systems._contrastive import contrastive_loss

    keras.utils.set_random_seed(seed)
    rng, rows = np.random.default_rng(seed), window_sums(train, merge)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    activations = ["relu"] * (len(_UNITS) - 1) + [None]
    dense = [keras.layers.Dense(*of) for of in zip(_UNITS, activations, strict=True)]
    network = keras.Sequential([keras.Input((rows.shape[1],)), *dense])
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, _STEPS))
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(views: Any) -> None:
        with tf.GradientTape() as tape:
            z = tf.split(network(tf.concat(views, axis=0)), len(views))
            value = tf.reduce_mean(contrastive_loss(loss, z, tf.ones(_BATCH)))
        values = [v.value for v in network.trainable_variables]
        optimizer.apply(tape.gradient(value, values), network.trainable_variables)

    for _ in range(steps if loss in LOSSES else 0):
        events = train[rng.integers(0, len(train), _BATCH)].astype(np.int64)
        views = (events, other_views(events, rng), anomalies(events, rng))
        step([tf.constant((window_sums(x, merge) - mean) / spread, tf.float32) for x in views])
    return of_rows([tuple(layer.get_weights()) for layer in network.layers], mean, spread)


def chains(layers: Layers, rows: np.ndarray) -> dict[str, Layers]:
    """Score -> the chain whose squared outputs, added, are it: the norm of z, and its distance from that of rows."""
    z = outputs(layers, rows)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    # Directions in which z does not vary say nothing.
    lasting = values > 1e-9 * values.max()
    whitening = vectors[:, lasting] / np.sqrt(values[lasting])
    kernel, bias = layers[-1]
    whitened = (kernel @ whitening, (bias - z.mean(axis=0)) @ whitening)
    return {"norm": layers, "distance": [*layers[:-1], whitened]}


def judge(name: str, options: argparse.Namespace) -> int:
    """Learn, prove and judge the scores of one kind of inputs; returns how many words differ."""
    config, merge, differ = load_config(_CONFIGS[name]), INPUTS[name], 0
    train = np.minimum(RunCrossings.background(config, "train")[0], CELLS.bounds[1])
    rows, firmware = window_sums(train, merge), learned(config, 1).firmware
    shipped = Known(config, firmware)
    counts = np.concatenate([shipped.counts(process) for process in shipped.read])
    known = Known(config, firmware, options.crossings) if options.crossings else shipped
    scores = ["rtl", "block_power"]
    for loss, seed in itertools.product((*dict.fromkeys(options.losses), "untrained"), options.seeds):
        trained = encoder(train, merge, loss, seed)
        for of, layers in chains(trained, rows).items():
            said, chain = f"{loss}, {of}, seed {seed}", scaled(layers, rows)
            scores += _add(known, said, chain, merge)
            if (loss, seed) == (options.losses[-1], options.seeds[0]):
                model = quantized(chain, merge)
                text, unlike = prove(model, predict(model, counts), counts, options.out / f"{name}-{of}")
                print(f"{name}, {said}: {text}", flush=True)
                differ += unlike
    known.print_table(name, scores, options.points)
    return differ


def _add(known: Known, name: str, layers: Layers, merge: np.ndarray) -> list[str]:
    """Add the float score and the words of a scaled chain, and name them."""
    model = quantized(layers, merge)
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        f"{name}, float": lambda c: np.square(outputs(layers, window_sums(c, merge))).sum(axis=1),
        f"{name}, words": lambda c: predict(model, c) * SCORE.lsb,
    }
    for of, score in found.items():
        known.add(of, score)
    return list(found)


def main() -> None:
    """Learn, prove, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", nargs="*", default=list(INPUTS), help="of tracks and tracks_calorimeter")
    parser.add_argument("--losses", nargs="+", default=list(LOSSES), metavar="LOSS", help="of CLR, AnomCLR, AnomCLR+")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="shares of crossings, or rates in kHz")
    parser.add_argument("--crossings", type=Path, help="whose test split is judged; by default the shipped")
    parser.add_argument("--out", type=Path, default=Path("self-supervised"), help="folder of what is built, a new one")
    options = parser.parse_args()
    for given, known, what in ((options.inputs, INPUTS, "inputs"), (options.losses, LOSSES, "loss")):
        if unknown := [name for name in given if name not in known]:
            raise InputError(f"{what} {unknown[0]}", f"some of {', '.join(known)}", "correct them")
    check(options, *(load_config(_CONFIGS[name]) for name in options.inputs))
    cli.import_tensorflow(load_config("demo").training.deterministic)
    sys.exit(int(sum(judge(name, options) for name in dict.fromkeys(options.inputs)) > 0))


if __name__ == "__main__":
    cli.run(main, resumes=False)
