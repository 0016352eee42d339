"""Convolution: strided windows without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from codae_l1.data.base.errors import InputError
from codae_l1.hls.layers import _adders, _cpp
from codae_l1.hls.layers._cpp import Code, Stored
from codae_l1.hls.layers._shapes import windows_after
from codae_l1.hls.layers.base import Interval, Weighted


@dataclass(frozen=True)
class Conv(Weighted):
    """Kernel (rows, columns, in, out)."""

    kind = "conv"
    keras_names = ("QConv2D",)
    inputs = 1
    hls4ml_class = "Conv2D"
    pixelwise = True

    strides: tuple[int, int] = (1, 1)

    @classmethod
    def check(cls, layer: Any) -> None:
        """Raise InputError unless there is no padding, dilation or group."""
        plain = layer.padding == "valid" and tuple(layer.dilation_rate) == (1, 1) and layer.groups == 1
        if not plain or layer.data_format != "channels_last":
            raise InputError(
                f"layer {layer.name} has padding {layer.padding!r}, dilation {layer.dilation_rate}, "
                f"groups {layer.groups}",
                "padding 'valid', no dilation, one group, channels last",
                "pad the input instead",
            )

    @classmethod
    def read(cls, layer: Any, before: Sequence[Interval]) -> Self:
        """QConv2D -> its record."""
        return cls.reading(layer, before[0], strides=tuple(layer.strides))

    def shape_after(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """(rows, columns, in) -> (rows, columns, out) of the windows inside."""
        inside = windows_after(shape, self.kernel.shape[:2], self.strides)
        return None if inside is None or self.kernel.shape[2] != shape[2] else (*inside, self.kernel.shape[3])

    def trace(self, value: Any) -> Any:
        """Each window times the kernel's matrix."""
        patches = _adders.windows(value, self.kernel.shape[:2], self.strides)  # (rows, columns, kh kw, in)
        flat = _adders.array(patches.reshape(*patches.shape[:2], -1), value)
        return flat @ self.kernel.reshape(-1, self.kernel.shape[-1]) + self.bias

    def emit(self, words: Stored) -> Code:
        """The same, window by window."""
        steps, offsets = _cpp.window(words.shape, self.kernel.shape[:2], self.strides)
        place = {"rows": self.shape[0], "columns": self.shape[1], **steps}, offsets
        kernel = self.kernel.reshape(-1, self.kernel.shape[-1])
        return _cpp.weighted(self.name, kernel, self.bias, words, self.interval.step, place, self.shape)
