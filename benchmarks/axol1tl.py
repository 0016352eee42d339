"""The forms of AXOL1TL, which runs at CMS, trained on this project's zero bias and taken through its firmware chain.

    python benchmarks/axol1tl.py [v4] [v6] [--seeds 1 2 3] [--out axol1tl] [--crossings FILE]

Both read the windows of the default trigger network in the place of objects, and have the sizes of the published ones:

    v4   the encoder of a variational auto-encoder, 28 and 15 hidden units; score = sum of 8 mu^2
    v6   an embedding of 29 and 10 units, and an auto-encoder of it of 9, 6, 4, 6, 9 units; score = sum of its ten
         squared errors

How the embedding of v6 is trained is not published. Here it learns without labels that two views of a crossing belong
together (variance, invariance, covariance: arXiv:2105.04906); a view is rolled around phi, mirrored in eta, and has
each track with a probability of 0.9. All is a chain of dense layers: the embedding passes through those of its
auto-encoder, since a ReLU leaves it as it is, and the four latents, which have no ReLU, are merged with the layer after
them. Weights are rounded to seven bits, hidden words to nine; training further, quantization-aware, made both worse.

Of the first seed all executors are made (cicada_firmware.py), compared on all shipped crossings of the test split,
and mapped by Yosys. Prints that and the table of distances.py; ends with status 1 where a word differs.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cicada_firmware import TIMEOUT_S, model_executors
from distances import POINTS, Known, Layers, check, learned, of_rows, outputs, vae_layers, window_rows, windows

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.quantization._calibration import WEIGHT_MARGIN, integer_bits
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization.distance import LARGEST_BITS, TAIL
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import load_config
from codae_l1.scripts.run.crossings import RunCrossings

# Bits of windows, hidden words, weights, and of the words that are squared.
_WINDOW, _HIDDEN, _WEIGHT, _SQUARED = 7, 9, 7, 7
# A hidden word reaches so many times what 0.1 % of zero bias exceeds.
_ROOM, _RARE = 2.0, 1e-3
SCORE = WordType(False, LARGEST_BITS, 8)
CELLS = WordType(False, 5, 0, "TRN", "SAT")
# Share of the tracks in a view, batches, events in each, rate.
_KEPT, _STEPS, _BATCH, _RATE = 0.9, 3000, 256, 2e-3
# Tracks alone, in windows of their own.
TRACKS = np.ones((1, 1))


def v4_layers(train: np.ndarray, seed: int) -> Layers:
    """The encoder up to mu, from windows of counts (n, 18, 15, 1)."""
    return vae_layers((28, 15), 8, train, seed)


def v6_layers(train: np.ndarray, seed: int) -> Layers:
    """Embedding and auto-encoder as one chain, from windows to the ten errors."""
    import keras

    keras.utils.set_random_seed(seed)
    rows = window_rows(train)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    embedding = keras.Sequential([keras.Input((15,)), keras.layers.Dense(29, "relu"), keras.layers.Dense(10, "relu")])
    _learn_views(embedding, rows, mean, spread, seed)
    embedded = np.asarray(embedding.predict((rows - mean) / spread, batch_size=4096, verbose=0))
    dense = [keras.layers.Dense(units, "relu" if units != 4 else None) for units in (9, 6, 4, 6, 9)]
    autoencoder = keras.Sequential([keras.Input((10,)), *dense, keras.layers.Dense(10)])
    fit(autoencoder, embedded, embedded, Schedule(2 * _STEPS, _RATE, _BATCH, seed))
    first = of_rows([tuple(layer.get_weights()) for layer in embedding.layers], mean, spread)
    code = [tuple(layer.get_weights()) for layer in autoencoder.layers]
    (a, b), (c, d) = code[2:4]
    code[2:4] = [(a @ c, b @ c + d)]
    return [*first, *_beside(code)]


def _beside(code: Layers) -> Layers:
    """Layers of an auto-encoder -> those that have its input pass through beside them, and give its errors."""
    found, one = [], np.eye(len(code[0][0]))
    for i, (kernel, bias) in enumerate(code):
        read = np.concatenate([kernel, np.zeros((len(one), kernel.shape[1]))]) if i else kernel
        passed = np.concatenate([np.zeros((len(kernel), len(one))), one]) if i else one
        last = i == len(code) - 1
        found.append(
            (read - passed, bias)
            if last
            else (np.concatenate([read, passed], axis=1), np.concatenate([bias, np.zeros(len(one))]))
        )
    return found


def _learn_views(embedding: Any, rows: np.ndarray, mean: np.ndarray, spread: np.ndarray, seed: int) -> None:
    """Train an embedding of standardised windows so that two views of a crossing lie together."""
    import keras
    import tensorflow as tf

    rng, variables = np.random.default_rng(seed), embedding.trainable_variables
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(_RATE, _STEPS))
    optimizer.build(variables)

    def view(events: np.ndarray) -> np.ndarray:
        shaped = rng.binomial(events.astype(np.int64), _KEPT).reshape(-1, 3, 5)
        shaped = np.roll(shaped, rng.integers(3), axis=1)[:, :, :: 1 - 2 * int(rng.integers(2))]
        return ((shaped.reshape(len(events), -1) / _KEPT - mean) / spread).astype(np.float32)

    @tf.function
    def step(x: Any, y: Any) -> None:
        with tf.GradientTape() as tape:
            a, b = embedding(x), embedding(y)
            loss = 25 * tf.reduce_mean(tf.square(a - b))
            for z in (a, b):
                z = z - tf.reduce_mean(z, axis=0)
                covariance = tf.matmul(z, z, transpose_a=True) / (_BATCH - 1)
                loss += 25 * tf.reduce_mean(tf.nn.relu(1 - tf.sqrt(tf.linalg.diag_part(covariance) + 1e-4)))
                loss += tf.reduce_sum(tf.square(covariance - tf.linalg.diag(tf.linalg.diag_part(covariance)))) / 10
        optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

    for _ in range(_STEPS):
        events = rows[rng.integers(0, len(rows), _BATCH)]
        step(view(events), view(events))


FORMS = {"v4": v4_layers, "v6": v6_layers}


def scaled(layers: Layers, rows: np.ndarray) -> Layers:
    """The same score in its unit, which a share TAIL of the rows (n, 15) exceeds, with hidden words within [0, 1)."""
    found, scale = [], 1.0
    for kernel, bias in layers[:-1]:
        after = np.maximum(rows @ kernel + bias, 0)
        # A power of two, so that what passes through keeps a weight of one or a half.
        new = 2.0 ** -np.ceil(np.log2(_ROOM * np.quantile(after.max(axis=1), 1 - _RARE)))
        found.append((kernel * new / scale, bias * new))
        rows, scale = after, new
    kernel, bias = layers[-1]
    unit = np.sqrt(np.quantile(np.square(rows @ kernel + bias).sum(axis=1), 1 - TAIL))
    return [*found, (kernel / unit / scale, bias / unit)]


def precisions(layers: Layers) -> list[LayerPrecision]:
    """Words of each layer; biases one bit below the products' step, as in codae_l1.quantization._calibration."""
    found, fraction = [], 0
    for i, (kernel, bias) in enumerate(layers):
        integer = max(integer_bits(float(np.abs(kernel).max()) * WEIGHT_MARGIN), -6)
        last = i == len(layers) - 1
        step = fraction + _WEIGHT - 1 - integer + 1
        bias_integer = max(integer_bits(float(np.abs(bias).max()) * WEIGHT_MARGIN), 1 - step)
        bits = (_SQUARED, LARGEST_BITS // 2) if last else (_HIDDEN, 0)
        found.append(LayerPrecision(_WEIGHT, integer, 1 + bias_integer + step, bias_integer, *bits))
        fraction = _HIDDEN
    return found


def build(layers: Layers, words: list[LayerPrecision], merge: np.ndarray = TRACKS) -> Any:
    """The QKeras model of a chain: cells (N, 18, 15, inputs) -> score (N, 1); merge as in `quantized`."""
    import keras
    import qkeras

    from codae_l1.quantization.f_m.square import Square

    def bits(width: int, integer: int) -> Any:
        return qkeras.quantized_bits(width, integer, alpha=1)

    ones = {"use_bias": False, "kernel_quantizer": bits(2, 1)}
    inputs = keras.Input((18, 15, len(merge)), name="cells")
    x = qkeras.QConv2D(merge.shape[1], (6, 3), (6, 3), **ones, name="windows")(inputs)
    x = qkeras.QActivation(qkeras.quantized_relu(_WINDOW, _WINDOW), name="windows_word")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for i, ((kernel, _), word) in enumerate(zip(layers, words, strict=True)):
        quantizers = {
            "kernel_quantizer": bits(word.weight_bits, word.weight_integer),
            "bias_quantizer": bits(word.bias_bits, word.bias_integer),
        }
        x = qkeras.QDense(kernel.shape[1], **quantizers, name=f"dense{i + 1}")(x)
        signed = i == len(layers) - 1
        of = bits if signed else qkeras.quantized_relu
        x = qkeras.QActivation(of(word.output_bits, word.output_integer), name=f"dense{i + 1}_word")(x)
    x = qkeras.QDense(1, **ones, name="norm")(Square(name="squares")(x))
    x = qkeras.QActivation(qkeras.quantized_relu(SCORE.width, SCORE.integer), name="score")(x)
    model = keras.Model(inputs, x)
    model.get_layer("windows").set_weights([np.broadcast_to(merge, (6, 3, *merge.shape))])
    model.get_layer("norm").set_weights([np.ones((layers[-1][0].shape[1], 1))])
    for i, pair in enumerate(layers):
        model.get_layer(f"dense{i + 1}").set_weights([part.astype(np.float32) for part in pair])
    return model


def quantized(layers: Layers, merge: np.ndarray = TRACKS) -> Any:
    """The QKeras model of a scaled chain; its weights lie on their words' grids.

    merge (inputs, windows): ones where an input of the cells is added to a window of a place.
    """
    words = precisions(layers)
    model = build(layers, words, merge)
    for i, word in enumerate(words):
        name = f"dense{i + 1}"
        found, types = word.weight_words(name, model.get_layer(name).get_weights()), word.weight_types(name)
        # An odd word of a bias leaves no sum on a tie.
        found[f"{name}.bias"] |= 1
        model.get_layer(name).set_weights([types[key].from_words(found[key]).astype(np.float32) for key in types])
    return model


def predict(model: Any, counts: np.ndarray) -> np.ndarray:
    """Score words (n,) of counts, by QKeras; a larger one than CELLS holds saturates."""
    given = np.minimum(counts, CELLS.bounds[1]).astype(np.float32)
    found = np.asarray(model.predict(given, batch_size=4096, verbose=0))
    return exact_words(found, SCORE, "qkeras")[:, 0]


def prove(
    model: Any,
    expected: np.ndarray,
    counts: np.ndarray,
    folder: Path,
    given: WordType = CELLS,
    score: WordType = SCORE,
) -> tuple[str, int]:
    """LUT, FF and latency, and how many words of all executors differ from the expected ones (n,).

    given, score: words of what enters the model and of what leaves it.
    """
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.rtl.clocks import count_clocks
    from codae_l1.hls.target.config import HlsConfig

    folder.mkdir(parents=True)
    made = model_executors(model, given, score, folder)
    differ = {name: int((of.predict_words(counts)[:, 0] != expected).sum()) for name, of in made.items()}
    report = synthesize(folder / "rtl", HlsConfig(tool_timeout_s=TIMEOUT_S), clocks=count_clocks(folder / "rtl"))
    found = report["resources"]
    cost = f"{found['LUT']:,} LUT, {found['FF']:,} FF, {found['DSP']} DSP, {report['latency_ns']:g} ns"
    return f"{cost}; of {len(counts)} words differ: {differ}", sum(differ.values())


def main() -> None:
    """Learn, prove, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("forms", nargs="*", default=list(FORMS), help="of v4 and v6")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="shares of crossings, or rates in kHz")
    parser.add_argument("--crossings", type=Path, help="whose test split is judged; by default the shipped")
    parser.add_argument("--out", type=Path, default=Path("axol1tl"), help="folder of what is built, a new one")
    options = parser.parse_args()
    config = load_config("demo")
    check(options, config)
    if unknown := [form for form in options.forms if form not in FORMS]:
        raise InputError(f"form {unknown[0]}", f"some of {', '.join(FORMS)}", "correct the forms")
    cli.import_tensorflow(config.training.deterministic)
    train, _ = RunCrossings.background(config, "train")
    firmware, scores, differ = learned(config, 1).firmware, ["rtl", "block_power", "bdt"], 0
    shipped = Known(config, firmware)
    counts = np.concatenate([shipped.counts(process) for process in shipped.read])
    known = Known(config, firmware, options.crossings) if options.crossings else shipped
    for form in dict.fromkeys(options.forms):
        for seed in options.seeds:
            layers = scaled(FORMS[form](train, seed), windows(6, 3)(train[..., 0]))
            model = quantized(layers)
            names = [f"{form}, {kind}, seed {seed}" for kind in ("float", "words")]
            known.add(names[0], lambda c, of=layers: np.square(outputs(of, windows(6, 3)(c[..., 0]))).sum(axis=1))
            known.add(names[1], lambda c, of=model: predict(of, c) * SCORE.lsb)
            scores += names
            if seed == options.seeds[0]:
                said, unlike = prove(model, predict(model, counts), counts, options.out / form)
                print(f"{form}, seed {seed}: {said}", flush=True)
                differ += unlike
    known.print_table("AXOL1TL's forms", scores, options.points)
    sys.exit(int(differ > 0))


if __name__ == "__main__":
    cli.run(main, resumes=False)
