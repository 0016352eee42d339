"""Shapes of Keras layers and of windows."""

from collections.abc import Sequence
from typing import Any

from codae_l1.data.base.errors import InputError


def output_shape(layer: Any) -> tuple[int, ...]:
    """Shape of a Keras layer's output without the batch axis."""
    return tuple(layer.output.shape[1:])


def check_channels_last(layer: Any) -> None:
    """Raise InputError unless the Keras layer's last axis is that of the channels."""
    if layer.data_format != "channels_last":
        raise InputError(f"layer {layer.name} has {layer.data_format}", "channels_last", "build the model with it")


def unread(shape: tuple[int, ...], window: Sequence[int], strides: Sequence[int]) -> int:
    """How many cells (rows, columns) of values (rows, columns, ...) lie in no window.

    >>> unread((18, 15, 1), (4, 4), (4, 4)), unread((18, 15, 1), (3, 3), (3, 3)), unread((5, 5, 1), (3, 3), (1, 1))
    (78, 0, 0)
    """
    axes = zip(shape, window, strides, strict=False)
    # Of each axis every window but the last reads what it advances at most, the last one its own side.
    rows, columns = ((n - k) // s * min(k, s) + k for n, k, s in axes)
    return shape[0] * shape[1] - rows * columns


def windows_after(shape: tuple[int, ...], window: Sequence[int], strides: Sequence[int]) -> tuple[int, int] | None:
    """(rows, columns) of the windows that lie inside values (rows, columns, channels); None of any other shape."""
    if len(shape) != 3:
        return None
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(shape, window, strides, strict=False))
    return rows, columns
