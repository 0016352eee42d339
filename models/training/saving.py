"""Keras models in one `.keras` file each: written whole or not at all, read back equal to the bit."""

import zipfile
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import reading, whole_file
from codae_l1.models.training.ambient import check_keras

M = TypeVar("M", bound=keras.Model)


def save_model(model: Any, path: Path | str) -> None:
    """Write configuration and weights to one `.keras` file, whole or not at all."""
    if Path(path).suffix != ".keras":
        raise InputError(f"model file {path}", "a name that ends in .keras", "rename it")
    with whole_file(path) as temporary:
        model.save(temporary)


def load_model(path: Path | str, cls: type[M], custom_objects: dict[str, Any] | None = None) -> M:
    """Read a `cls` that save_model wrote; predictions are equal to the bit."""
    check_keras()
    if not Path(path).is_file():
        raise InputError(f"{path} does not exist", f"a {cls.__name__} written by save_model", "train one first")
    with reading(path, "a whole .keras file", "train the model again"):
        if not zipfile.is_zipfile(path):
            # Keras says of a file cut short that it does not find it.
            raise ValueError("no whole zip archive")
        model = keras.saving.load_model(path, custom_objects=custom_objects, compile=False)
    if not isinstance(model, cls):
        raise InputError(f"{path} holds a {type(model).__name__}", f"a {cls.__name__}", "choose another file")
    for variable in model.weights:
        bad = ~np.isfinite(np.asarray(variable))
        if bad.any():
            raise InputError(
                f"{path}: {variable.path} with {bad.sum()} of {bad.size} weights that are no finite numbers",
                "finite weights",
                "train the model again",
            )
    return model
