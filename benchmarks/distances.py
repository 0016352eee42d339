"""Scores learned from zero bias beside other forms on the same crossings: efficiency of each signal, rate, and cost.

    python benchmarks/distances.py [CONFIG ...] [--seeds 1 2 3] [--forms] [--map] [--crossings FILE] [--points ...]

Each config (a name in scripts/configs, by default the four that learn from zero bias) is learned from the crossings'
train split, without a full model; its words are those of the QKeras network, which all executors give. "float" is the
same network before it is rounded. --forms adds errors, distances and counts of other kinds, in float alone. --map has
Yosys count the LUT of the first seed. One line a score and point; the last column is what the menu leaves.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.menu import solve_menu
from codae_l1.models.evaluation.crossing_rates import Crossings, trigger_points
from codae_l1.quantization.config import Training
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli
from codae_l1.scripts.run._ceiling import ceiling
from codae_l1.scripts.run.config import RunConfig, TriggerConfig, load_config
from codae_l1.scripts.run.crossings import RunCrossings, _check_inputs, check_crossings
from codae_l1.scripts.run.executors import RunExecutor, Trained

CONFIGS = ("demo", "distance", "calorimeter", "tracks_calorimeter")
SIGNALS = ("h125", "h200", "h300", "h400", "svj2100", "svj3100", "svj4100")
POINTS = ("1e-2", "1e-3", "10 kHz")
# Steps of a float score's word in its unit.
_STEPS = 1 << 10
# Tracks of a crossing in cells, (n, 18, 15) -> features (n, k).
Features = Callable[[np.ndarray], np.ndarray]
# Kernel (inputs, outputs) and bias of each dense layer.
Layers = list[tuple[np.ndarray, np.ndarray]]


class Known:
    """Crossings of a file with the words of a FirmwareModel, "rtl", and of a run's scores; others are added by name.

    file: whose test split is judged; by default that of the config. The trees that see the signals learn from the
    latter, and are left out where the two have other inputs, energies of other steps, or other quantities.
    """

    def __init__(self, config: RunConfig, firmware: Any, file: Path | None = None):
        executor = RunExecutor("qkeras", firmware, Trained(firmware.config, firmware.sign, firmware.component))
        self._crossings = RunCrossings(_trigger(config, file), executor, config.seed)
        if self._crossings.ceiling is None:
            shown, judged = CrossingFile(config.trigger.path), self._crossings.file
            if _columns(shown) == _columns(judged):
                self._crossings.ceiling = ceiling(shown, config.seed)
        self.config = config
        names = (ZERO_BIAS, *(name for name in SIGNALS if name in self._crossings.signals))
        self.read = {name: self._crossings.read(name) for name in names}

    def counts(self, process: str) -> np.ndarray:
        """The network's inputs (n, phi, eta, inputs) of a process."""
        return np.concatenate(list(self._counts(process)))

    def _counts(self, process: str) -> Iterator[np.ndarray]:
        crossings = self._crossings
        for which in crossings.slices(process):
            yield crossings.counts(crossings.file.pooled(crossings.inputs, which))

    def add(self, name: str, score: Callable[[np.ndarray], np.ndarray]) -> None:
        """A float score (n,) of the network's inputs (n, 18, 15, inputs), in words of 1/1024."""
        for process, crossings in self.read.items():
            values = np.minimum(np.concatenate([score(counts) for counts in self._counts(process)]), 1e6)
            words = {**crossings.words, name: np.rint(values * _STEPS).astype(np.int64)}
            self.read[process] = dataclasses.replace(crossings, words=words)

    def print_table(self, title: str, scores: Sequence[str], points: Sequence[str] = POINTS) -> None:
        """A table in Markdown under a title: points, scores, efficiencies in %."""
        signals = [process for process in self.read if process != ZERO_BIAS]
        columns = ("point", "score", "rate [kHz]", *signals, *(f"{name} beyond the menu" for name in signals[:1]))
        rows = list(self._rows(tuple(scores), points))
        print(f"\n{title}\n\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", *rows, sep="\n", flush=True)

    def _rows(self, scores: tuple[str, ...], points: Sequence[str]) -> Iterator[str]:
        """A line of Markdown for each point and score."""
        trigger, zero_bias = self.config.trigger, [self.read[ZERO_BIAS]]
        menu = solve_menu(self.read[ZERO_BIAS].words, self.read[ZERO_BIAS].weight, trigger.menu, trigger.crossing_khz)
        signals: Mapping[str, list[Crossings]] = {n: [c] for n, c in self.read.items() if n != ZERO_BIAS}
        asked = zero_bias, signals, points, menu.thresholds, trigger.crossing_khz, scores
        for point, of in trigger_points(*asked).items():
            for score in (*scores, "menu"):
                row = of[score]
                if row["efficiency"] is None:
                    yield f"| {point} | {score} | not carried: {row['reason']} |"
                    continue
                kept = [f"{100 * e['value']:.1f} ± {100 * e['error']:.1f}" for e in row["efficiency"].values()]
                kept += [f"{100 * e['beyond_menu']:.1f}" for e in list(row["efficiency"].values())[:1]]
                # Of a pure rate that is carried, the whole one need not be.
                rate = "-" if row["rate_khz"] is None else f"{row['rate_khz']:.1f}"
                yield f"| {' | '.join((point, score, rate, *kept))} |"


def _trigger(config: RunConfig, file: Path | None) -> TriggerConfig:
    return dataclasses.replace(config.trigger, crossings=str(file)) if file else config.trigger


def _columns(file: CrossingFile) -> tuple[Any, ...]:
    """What trees of a file's crossings see."""
    return file.inputs, file.quantities, file.provenance.get("energy_lsb_gev")


def mahalanobis(features: Features, train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Squared distance (n,) of the features of counts (n, 18, 15, 1) from those of train."""
    rows = features(train[..., 0])
    mean, inverse = rows.mean(axis=0), np.linalg.inv(np.atleast_2d(np.cov(rows.T)))
    return lambda counts: np.einsum(
        "ni,ij,nj->n", features(counts[..., 0]) - mean, inverse, features(counts[..., 0]) - mean
    )


def reconstruction_error(features: Features, train: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What the first principal component of features leaves of counts (n, 18, 15, 1), in deviations, squared: (n,)."""
    rows = features(train[..., 0])
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    first = np.linalg.eigh(np.corrcoef(rows.T))[1][:, -1]

    def left(counts: np.ndarray) -> np.ndarray:
        values = (features(counts[..., 0]) - mean) / spread
        return values - np.outer(values @ first, first)

    deviation = left(train).std(axis=0)
    return lambda counts: np.square(left(counts) / deviation).sum(axis=1)


def windows(rows: int, columns: int) -> Features:
    """Sums of windows that do not overlap, flattened."""
    return lambda c: c.reshape(len(c), 18 // rows, rows, 15 // columns, columns).sum((2, 4)).reshape(len(c), -1)


def other_forms(train: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Scores that were tried: errors and distances of other windows, and what uses no covariance."""
    forms = {
        f"auto-encoder of {18 // r} x {15 // c} windows": reconstruction_error(windows(r, c), train)
        for r, c in ((18, 5), (18, 3), (9, 3), (6, 3), (3, 3))
    }
    forms |= {
        f"distance of {18 // r} x {15 // c} windows": mahalanobis(windows(r, c), train)
        for r, c in ((18, 5), (18, 3), (18, 1), (9, 3), (6, 3), (3, 3))
    }
    rings = windows(18, 3)
    mean, spread = rings(train[..., 0]).mean(axis=0), rings(train[..., 0]).std(axis=0)

    def pulls(counts: np.ndarray) -> np.ndarray:
        return (rings(counts[..., 0]) - mean) / spread

    forms["rings, no covariance"] = lambda counts: np.square(pulls(counts)).sum(axis=1)
    forms["rings, one-sided"] = lambda counts: np.square(np.maximum(pulls(counts), 0)).sum(axis=1)
    forms["rings, largest"] = lambda counts: np.maximum(pulls(counts).max(axis=1), 0)
    forms |= two_axes(train)
    for units, size in ((16, 8), (28, 13)):
        forms[f"VAE of 3 x 5 windows, {units} units, sum of {size} mu^2"] = vae_encoder(units, size, train)
    return forms


def two_axes(train: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Scores of two learned numbers, each in its deviations from zero bias: how the tracks are spread over five rings,
    and how they are balanced in three places around phi given that."""
    spread, both = mahalanobis(windows(18, 3), train), mahalanobis(windows(6, 3), train)

    def axes(counts: np.ndarray) -> np.ndarray:
        rings = spread(counts)
        return np.column_stack([rings, both(counts) - rings])

    rows = axes(train)
    mean, deviation, rare = rows.mean(axis=0), rows.std(axis=0), np.quantile(rows, 0.99, axis=0)

    def one_sided(counts: np.ndarray) -> np.ndarray:
        return np.maximum((axes(counts) - mean) / deviation, 0)

    return {
        "two axes, the larger": lambda counts: (axes(counts) / rare).max(axis=1),
        "two axes, one-sided sum": lambda counts: one_sided(counts).sum(axis=1),
        "two axes, one-sided squares": lambda counts: np.square(one_sided(counts)).sum(axis=1),
    }


def vae_encoder(units: int, size: int, train: np.ndarray, seed: int = 1) -> Callable[[np.ndarray], np.ndarray]:
    """Sum of mu^2 (n,) of a variational auto-encoder of the windows of counts, of one hidden layer."""
    layers = vae_layers((units,), size, train, seed)
    return lambda counts: np.square(outputs(layers, windows(6, 3)(counts[..., 0]))).sum(axis=1)


def outputs(layers: Layers, rows: np.ndarray) -> np.ndarray:
    """Rows (n, inputs) through dense layers, with ReLUs but behind the last: (n, outputs)."""
    for kernel, bias in layers[:-1]:
        rows = np.maximum(rows @ kernel + bias, 0)
    return rows @ layers[-1][0] + layers[-1][1]


def window_rows(train: np.ndarray) -> np.ndarray:
    """Windows of counts (n, 18, 15, 1), rolled around phi and mirrored in eta: (6 n, 15) float32."""
    shaped = windows(6, 3)(train[..., 0]).reshape(-1, 3, 5)
    copies = np.concatenate([np.roll(x, k, axis=1) for k in range(3) for x in (shaped, shaped[:, :, ::-1])])
    return copies.reshape(len(copies), -1).astype(np.float32)


def of_rows(layers: Layers, mean: np.ndarray, spread: np.ndarray) -> Layers:
    """Dense layers of standardised rows -> those that read the rows as they are."""
    kernel, bias = layers[0]
    return [(kernel / spread[:, None], bias - (mean / spread) @ kernel), *layers[1:]]


def vae_layers(hidden: Sequence[int], size: int, train: np.ndarray, seed: int) -> Layers:
    """The encoder of a variational auto-encoder of windows of counts, up to mu, as AXOL1TL v4 has it of its objects.

    hidden: units of the encoder's layers, and backwards of the decoder's. size: of the latent. Loss: squared error of
    the standardised windows, plus the KL divergence; 4,000 batches of 256 windows, rolled around phi, mirrored in eta.
    """
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    rows = window_rows(train)
    mean, spread, wide = rows.mean(axis=0), rows.std(axis=0), rows.shape[1]
    encoder = [keras.layers.Dense(units, "relu") for units in hidden]
    mu, log_variance = keras.layers.Dense(size), keras.layers.Dense(size)
    back = [keras.layers.Dense(units, "relu") for units in reversed(hidden)]
    decoder = keras.Sequential([keras.Input((size,)), *back, keras.layers.Dense(wide)])
    for layer, width in zip((*encoder, mu), (wide, *hidden), strict=True):
        layer.build((None, width))
    log_variance.build((None, hidden[-1]))
    variables = [v for layer in (*encoder, mu, log_variance, decoder) for v in layer.trainable_variables]
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, 4000))
    optimizer.build(variables)

    @tf.function
    def step(x: Any) -> None:
        with tf.GradientTape() as tape:
            inner = x
            for layer in encoder:
                inner = layer(inner)
            a, b = mu(inner), tf.clip_by_value(log_variance(inner), -8.0, 8.0)
            z = a + tf.exp(b / 2) * tf.random.normal(tf.shape(a))
            error, kl = tf.square(decoder(z) - x), (tf.square(a) + tf.exp(b) - b - 1) / 2
            loss = tf.reduce_mean(tf.reduce_sum(error, axis=1) + tf.reduce_sum(kl, axis=1))
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    rng, values = np.random.default_rng(seed), (rows - mean) / spread
    for _ in range(4000):
        step(values[rng.integers(0, len(values), 256)])
    return of_rows([tuple(layer.get_weights()) for layer in (*encoder, mu)], mean, spread)


def learned(config: RunConfig, seed: int) -> Any:
    """The student (quantization.distill) that a config learns from the crossings' train split."""
    from codae_l1.quantization.distance import learn_distance

    train, weight = RunCrossings.background(config, "train")
    calibration, _ = RunCrossings.background(config, "calibration")
    return learn_distance(train, weight, calibration, config.firmware, Training(config.distill, seed=seed))


def mapped(firmware: Any, config: RunConfig) -> str:
    """LUT, FF, DSP and latency of a trained network, by Yosys."""
    from codae_l1.hls.network.records import firmware_network

    return mapped_records(*firmware_network(firmware), config)


def mapped_records(network: Any, word: WordType, config: RunConfig) -> str:
    """The same of a network's records, whose output has this word."""
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.rtl.build import build_rtl

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "rtl"
        build_rtl(network, word, config.hls, folder, simulate=False, compiled=True)
        report = synthesize(folder, config.hls)
    found = report["resources"]
    return f"{found['LUT']:,} LUT, {found['FF']:,} FF, {found['DSP']} DSP, {report['latency_ns']:g} ns"


def check(options: argparse.Namespace, *configs: RunConfig) -> None:
    """Raise InputError where seeds, points, crossings or the output are none, before anything is learned.

    configs: of all networks whose inputs the crossings must hold.
    """
    require_seeds("--seeds", options.seeds, different=True)
    for config in configs:
        trigger = dataclasses.replace(config.trigger, points=tuple(options.points))
        judged = _trigger(dataclasses.replace(config, trigger=trigger), getattr(options, "crossings", None))
        # What is learned comes from the shipped crossings: of the judged ones a test split is enough.
        check_crossings(dataclasses.replace(config, firmware=FirmwareConfig(), trigger=judged))
        _check_inputs(CrossingFile(judged.path), config.firmware.pooling)
    if (out := getattr(options, "out", None)) and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise InputError(f"--out {out} is there", "a new or empty folder", "name another")


def main() -> None:
    """Learn, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--forms", action="store_true")
    parser.add_argument("--map", action="store_true")
    parser.add_argument("--crossings", type=Path, help="whose test split is judged; all is learned from the shipped")
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="shares of crossings, or rates in kHz")
    options = parser.parse_args()
    configs = {name: load_config(name) for name in options.configs}
    check(options, *configs.values())
    cli.import_tensorflow(any(config.training.deterministic for config in configs.values()))
    for name, config in configs.items():
        _judge(config, name, options)


def _judge(config: RunConfig, name: str, options: argparse.Namespace) -> None:
    """Learn a config's distance with every seed, and print its table."""
    students = [learned(config, seed) for seed in options.seeds]
    first = students[0].firmware
    if options.map:
        print(f"{name}, seed {options.seeds[0]}: {mapped(first, config)}", flush=True)
    known = Known(config, first, options.crossings)
    scores = ["block_power", *(["bdt"] if "bdt" in known.read[ZERO_BIAS].words else []), "float"]
    known.add("float", students[0].float_model.predict_scores)
    if options.forms and config.firmware.inputs == ("tracks",):
        for form, score in other_forms(RunCrossings.background(config, "train")[0]).items():
            known.add(form, score)
            scores.append(form)
    for seed, student in zip(options.seeds, students, strict=True):
        words = f"words, seed {seed}"
        known.add(words, lambda c, f=student.firmware: f.firmware_score(f.predict_words(c)))
        scores.append(words)
    known.print_table(name, scores, options.points)


if __name__ == "__main__":
    cli.run(main, resumes=False)
