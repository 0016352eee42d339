"""Weights of a small network as integer words, and one .npz file of them with how it was made (JSON).

It holds no pickles and no Keras objects: the network is built from its config, so any version that builds it can read
it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import parse_table, read_arrays, whole_file
from codae_l1.data.base.words import WordType
from codae_l1.quantization.f_m.config import FirmwareConfig, layer_sizes

if TYPE_CHECKING:
    import keras

# Of messages: what is expected, and what to do.
_EXPECTED = "an f_m.npz of stage quantize", "run the quantize stage, or name one"
# Version of the file.
FORMAT = 1


def weight_shapes(config: FirmwareConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights, keys "conv1.kernel", "conv1.bias", ..."""
    kernels = {name: size.kernel for name, size in layer_sizes(config).items()}
    pairs = ({f"{name}.kernel": shape, f"{name}.bias": shape[-1:]} for name, shape in kernels.items())
    return {key: shape for pair in pairs for key, shape in pair.items()}


def weight_words(model: "keras.Model", config: FirmwareConfig) -> dict[str, np.ndarray]:
    """Kernels and biases of a QKeras (or float) model as int64 words, keys "conv1.kernel", "conv1.bias", ..."""
    found: dict[str, np.ndarray] = {}
    for name in config.layers:
        found |= config.layer_precision(name).weight_words(name, model.get_layer(name).get_weights())
    return found


def set_weight_words(model: "keras.Model", config: FirmwareConfig, words: dict[str, np.ndarray]) -> None:
    """Put integer words into the model; its weights are then exactly on their grids.

    Needed once after training: QKeras computes x + (q - x), which differs from q in the last bit where x is off-grid.
    """
    for name in config.layers:
        precision = config.layer_precision(name)
        kernel = precision.weight_word.from_words(words[f"{name}.kernel"]).astype(np.float32)
        bias = precision.bias_word.from_words(words[f"{name}.bias"]).astype(np.float32)
        model.get_layer(name).set_weights([kernel, bias])


def write_weights(path: Path | str, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write meta (JSON-ready) and named arrays; InputError where one holds what is no finite number."""
    for key, array in arrays.items():
        if not np.isfinite(array).all():
            raise InputError(f"{key} with {_first(array, ~np.isfinite(array))}", "finite weights", "train it again")
    with whole_file(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, meta=np.array(json.dumps({"format": FORMAT, **meta})), **arrays)  # type: ignore[arg-type]


def read_weights(
    path: Path | str, shapes: Any, types: Callable[[dict[str, Any]], dict[str, WordType]] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Meta and arrays of a file of write_weights; `shapes(meta)` gives the shape that each array must have.

    types(meta): word type of each array, whose words must be integers in its range; without it, arrays must be finite
    floats. A missing, broken or unfitting file raises InputError.
    """
    arrays = read_arrays(path, *_EXPECTED, ("meta",), says="is no model of f_m")
    meta = parse_table(str(arrays.pop("meta")), f"the record of {path}", remedy="run the quantize stage")
    if not isinstance(meta.get("config"), dict):
        raise _unfit(path, "its record has no config")
    if meta.get("format") != FORMAT:
        raise _unfit(path, f"format {meta.get('format')}, not {FORMAT}")
    found, expected = {key: a.shape for key, a in arrays.items()}, shapes(meta)
    wrong = [k for k in sorted({*found, *expected}) if found.get(k) != expected.get(k)]
    if wrong:
        raise _unfit(path, f"{wrong[0]} of shape {found.get(wrong[0])}, not {expected.get(wrong[0])}")
    words = types(meta) if types else {}
    for key, array in arrays.items():
        _check(path, key, array, words.get(key))
    return meta, arrays


def _check(path: Path | str, key: str, array: np.ndarray, word: WordType | None) -> None:
    """Raise InputError unless the array holds words of the type, or finite floats where there is none."""
    kinds, (low, high) = ("f", (-np.inf, np.inf)) if word is None else ("iu", word.bounds)
    expected = "finite floats" if word is None else f"integers from {low} to {high}"
    if array.dtype.kind not in kinds:
        raise InputError(f"{path}: {key} of type {array.dtype}", expected, "run the quantize stage")
    with np.errstate(over="ignore"):
        # Keras keeps them in float32.
        bad = ~np.isfinite(array.astype(np.float32)) if word is None else (array < low) | (array > high)
    if bad.any():
        raise InputError(f"{path}: {key} with {_first(array, bad)}", expected, "run the quantize stage")


def _first(array: np.ndarray, bad: np.ndarray) -> str:
    return f"{array[bad].flat[0]} in {bad.sum()} of {bad.size} places" if bad.sum() > 1 else str(array[bad].flat[0])


def _unfit(path: Path | str, why: str) -> InputError:
    return InputError(f"{path} is no model of f_m ({why})", *_EXPECTED)
