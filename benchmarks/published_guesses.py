"""What a loader of the published weights breaks where it guesses one fact of their layout wrong.

    python benchmarks/published_guesses.py codae/*.tflite --sample "$CODAE_SAMPLE" [--guesses NAME...]

Each guess is made on the published CoDAE as it should be, and the same events of the public sample are scored: 120 of
QCD, 20 of h125, 60 of svj2100 and 20 of h1000. Prints a table in Markdown: median mse of QCD, rank correlation with the
published mse on all events, AUC in % of mse and of z0 (of its sign on QCD).
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from codae_l1.data.formats import read_events
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.config import PAPER
from codae_l1.models.codae.layers import ConvLayer, InstanceNorm, Residual, SpatialConditioning, UpConvLayer
from codae_l1.models.codae.published import read_published
from codae_l1.models.codae.scores import codae_scores, orientations
from codae_l1.models.evaluation.roc import auc

EVENTS = {"qcd_gensim_104_8": 120, "suep_*_h125_*": 20, "svj_2100_*": 60, "suep_*_h1000_*": 20}
SIGNALS = ("h125", "svj2100", "h1000")


def convolutions(model: Any) -> list[ConvLayer]:
    """All convolutions that a norm follows."""
    found = []
    for layer in (layer for part in (model.f_m, model.f_r, model.decoder) for layer in part.layers):
        if isinstance(layer, Residual):
            found += [layer.first, layer.second]
        elif isinstance(layer, UpConvLayer):
            found.append(layer.layer)
        elif isinstance(layer, ConvLayer):
            found.append(layer)
    return found


def kernels(change: Callable[[np.ndarray, int], np.ndarray], grouped: bool = False) -> Callable[[Any], None]:
    """A guess about every kernel (h, w, in / groups, out), or about the grouped ones."""

    def guess(model: Any) -> None:
        for layer in (layer.convolution for layer in convolutions(model)):
            if layer.groups > 1 or not grouped:
                layer.kernel.assign(change(np.asarray(layer.kernel), layer.groups))

    return guess


def fields(order: tuple[int, ...]) -> Callable[[Any], None]:
    """A guess about the order of z0, z1, column, row in the conditioning fields."""

    def guess(model: Any) -> None:
        for layer in (layer for layer in model.decoder.layers if isinstance(layer, SpatialConditioning)):
            layer.field.kernel.assign(np.asarray(layer.field.kernel)[:, :, order])

    return guess


def setting(name: str, value: float) -> Callable[[Any], None]:
    """A guess about the slope or the epsilon of every layer."""

    def guess(model: Any) -> None:
        for layer in convolutions(model):
            setattr(layer if name == "slope" else layer.norm, name, value)

    return guess


def upsampling(**options: Any) -> Callable[[Any], None]:
    """A guess about how the decoder doubles its grid: options of TensorFlow's resize_bilinear, or method."""
    import tensorflow as tf

    def resize(x: Any) -> Any:
        sizes = [2 * size for size in x.shape[1:3]]
        if options.get("nearest"):
            return tf.repeat(tf.repeat(x, 2, 1), 2, 2)
        return tf.compat.v1.image.resize_bilinear(x, sizes, **options)

    def guess(model: Any) -> None:
        for layer in (layer for layer in model.decoder.layers if isinstance(layer, UpConvLayer)):
            layer.upsample.call = resize

    return guess


def no_biases(model: Any) -> None:
    """Biases before norms are left out."""
    for layer in convolutions(model):
        layer.convolution.bias.assign(np.zeros(layer.filters))


def first_output_bias(model: Any) -> None:
    """The last bias is the one that training starts from."""
    model.decoder.get_layer("logits").bias.assign([-1.0])


def exchanged_norms(model: Any) -> None:
    """Scale and shift are taken for each other."""
    for norm in (layer.norm for layer in convolutions(model) if isinstance(layer.norm, InstanceNorm)):
        norm.set_weights(norm.get_weights()[::-1])


def channels_first(model: Any) -> None:
    """f_m's map is flattened channel by channel."""
    z = model.f_m.get_layer("z_m")
    z.kernel.assign(np.asarray(z.kernel).reshape(256, 5, 4, 2).transpose(1, 2, 0, 3).reshape(5120, 2))


def exchanged_z(model: Any) -> None:
    """z0 and z1 are exchanged."""
    z = model.f_m.get_layer("z_m")
    z.set_weights([z.get_weights()[0][:, ::-1], z.get_weights()[1][::-1]])


def crop_at_corner(model: Any) -> None:
    """The image is cropped from the first row and column."""
    model.decoder.get_layer("crop").cropping = ((0, 8), (0, 6))


def pool_2x2(model: Any) -> None:
    """f_m's max pool has windows of 2 x 2."""
    for layer in (layer for layer in model.f_m.layers if layer.name.startswith("pool")):
        layer.pool_size = (2, 2)


def in_groups(kernel: np.ndarray, groups: int) -> np.ndarray:
    """Kernel (h, w, in, out) -> (h, w, in, groups, out / groups)."""
    return kernel.reshape(*kernel.shape[:3], groups, -1)


def as_out_first(kernel: np.ndarray, _: int) -> np.ndarray:
    """A kernel (out, h, w, in) in memory, read as (h, w, in, out)."""
    return kernel.transpose(3, 0, 1, 2).reshape(kernel.shape)


GUESSES: dict[str, Callable[[Any], None]] = {
    "right": lambda model: None,
    "biases before norms left out": no_biases,
    "coordinates row, column": fields((0, 1, 3, 2)),
    "coordinates before z_m": fields((2, 3, 0, 1)),
    "z0, z1 exchanged": exchanged_z,
    "last bias -1": first_output_bias,
    "epsilon 1e-5": setting("epsilon", 1e-5),
    "epsilon 1e-2": setting("epsilon", 1e-2),
    "slope 0.3": setting("slope", 0.3),
    "slope 0.01": setting("slope", 0.01),
    "max pool 2x2": pool_2x2,
    "upsampling from corners (not half-pixel)": upsampling(),
    "upsampling, corners aligned": upsampling(align_corners=True),
    "upsampling, nearest": upsampling(nearest=True),
    "groups reversed": kernels(lambda k, g: in_groups(k, g)[..., ::-1, :].reshape(k.shape), grouped=True),
    "groups interleaved": kernels(lambda k, g: in_groups(k, g).swapaxes(3, 4).reshape(k.shape), grouped=True),
    "kernels (out, h, w, in) not transposed": kernels(as_out_first),
    "kernels' rows, columns exchanged": kernels(lambda k, g: k.swapaxes(0, 1)),
    "kernels flipped": kernels(lambda k, g: k[::-1, ::-1]),
    "scale, shift exchanged": exchanged_norms,
    "flattened channel by channel": channels_first,
    "crop from the corner": crop_at_corner,
}


def sample(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks, processes and published mse of the events."""
    masks, signal, published = [], [], []
    with np.load(folder / "reference_scores.npz") as stored:
        column = list(stored["columns"]).index("reco_mse")
        for pattern, number in EVENTS.items():
            (path,) = (folder / "test").glob(f"{pattern}.npz")
            events = read_events(path)
            masks.append(track_mask(events.images[:number]))
            signal.append(events.signal[:number])
            published.append(stored[path.stem][:number, column])
    return np.concatenate(masks), np.concatenate(signal), np.concatenate(published)


def main() -> None:
    """Print a row for each guess."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs=3, help="TF-Lite files of the published CoDAE")
    parser.add_argument("--sample", type=Path, required=True, help="folder of the public sample")
    parser.add_argument("--guesses", nargs="+", choices=list(GUESSES), default=list(GUESSES), metavar="NAME")
    arguments = parser.parse_args()
    masks, signal, published = sample(arguments.sample)
    of = {process: signal == process for process in ("qcd", *SIGNALS)}
    print(f"| guess | median mse, QCD | rank | {' | '.join(f'mse {s}' for s in SIGNALS)} | ", end="")
    print(f"{' | '.join(f'z0 {s}' for s in SIGNALS)} |\n|{'---|' * 9}")
    for name in arguments.guesses:
        model = read_published("codae", arguments.files, PAPER).model
        GUESSES[name](model)
        scores = codae_scores(model, masks, 44)
        sign = orientations({score: scores[score][of["qcd"]] for score in ("mse", "z0")})["z0"]
        aucs = [auc(s[of["qcd"]], s[of[p]]) for s in (scores["mse"], sign * scores["z0"]) for p in SIGNALS]
        rank, median = spearmanr(published, scores["mse"])[0], np.median(scores["mse"][of["qcd"]])
        print(f"| {name} | {median:.2f} | {rank:.3f} | {' | '.join(f'{100 * a:.1f}' for a in aucs)} |", flush=True)


if __name__ == "__main__":
    main()
