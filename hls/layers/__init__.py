"""The kinds of firmware layers, one class each, and their registry, which is used wherever layers are read or
written."""

import inspect
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers._cpp import Stored, c_type
from codae_l1.hls.layers._shapes import unread, windows_after
from codae_l1.hls.layers.activation import Activation, Quantizer
from codae_l1.hls.layers.add import Add
from codae_l1.hls.layers.base import Interval, Layer, Weighted
from codae_l1.hls.layers.conv import Conv
from codae_l1.hls.layers.dense import Dense
from codae_l1.hls.layers.flatten import Flatten
from codae_l1.hls.layers.pool import AveragePool, MaxPool
from codae_l1.hls.layers.relu import Relu
from codae_l1.hls.layers.square import Square

__all__ = [
    "KINDS",
    "Activation",
    "Add",
    "AveragePool",
    "Conv",
    "Dense",
    "Flatten",
    "Interval",
    "Layer",
    "MaxPool",
    "Quantizer",
    "Relu",
    "Square",
    "Stored",
    "Weighted",
    "c_type",
    "reader",
    "registry",
    "unread",
    "windows_after",
]


def registry(*classes: type[Layer]) -> dict[str, type[Layer]]:
    """{kind: class}; TypeError where a class lacks what every kind states, or two are of one kind.

    >>> list(registry(Conv, Dense))
    ['conv', 'dense']
    """
    found: dict[str, type[Layer]] = {}
    for cls in classes:
        stated = [name for name in Layer.__annotations__ if name not in Layer.__dataclass_fields__]
        missing = [name for name in stated if not hasattr(cls, name)]
        missing += sorted(cls.__abstractmethods__) if inspect.isabstract(cls) else []
        if missing:
            raise TypeError(f"{cls.__name__} has no {', '.join(missing)}, which every kind of layer states")
        if cls.kind in found:
            raise TypeError(f"{cls.__name__} and {found[cls.kind].__name__} are both of kind {cls.kind}")
        found[cls.kind] = cls
    return found


KINDS = registry(Conv, Dense, Activation, Flatten, MaxPool, AveragePool, Relu, Square, Add)


def reader(layer: Any, branches: bool = False) -> type[Layer]:
    """The kind that reads a Keras layer, InputError where there is none; branches: also kinds that read several."""
    known = {name: cls for cls in KINDS.values() if branches or cls.inputs == 1 for name in cls.keras_names}
    name = type(layer).__name__
    if name not in known:
        raise InputError(
            f"layer {layer.name} is a {name}", f"one of {', '.join(known)}", "build the firmware model of these"
        )
    return known[name]
