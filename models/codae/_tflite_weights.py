"""The weights of one part of a published CoDAE or CoDVAE out of its TF-Lite file, with all that gives them a meaning.

Layers are found by the names of what their operations make, since the names of weights are fused or numbers. Each
convolution is followed to its norm, activation and neighbours; whatever differs from the model here (models/codae/
model.py) is refused with the name of the layer: a stride, slope, epsilon, pooling, upsampling, coordinate or crop.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae._published_layout import HEADS, LayerWeights, Part, PartWeights, layer_feeds
from codae_l1.models.codae._tflite_graph import Graph, Op
from codae_l1.models.codae.config import LEAKY_SLOPE, CoDAEConfig
from codae_l1.models.codae.layers import NORM_EPSILON, SpatialBroadcast

# The first layer of each part, by which a file is recognised.
_FIRST: dict[str, Part] = {"conv-b0": "f_m", "dconv-b0": "f_r", "up_conv-b0": "decoder"}
# Operation -> axes by which a kernel becomes (height, width, in / groups, out), or (in, out).
_KERNELS = {"CONV_2D": (1, 2, 3, 0), "FlexConv2D": (0, 1, 2, 3), "FULLY_CONNECTED": (1, 0)}
# Float16 has 11 bits; epsilon and coordinates are rounded to it.
_HALF = 2.0**-10
# What following a graph raises where bits of the file are flipped, which TensorFlow's verifier lets pass.
_DAMAGED = (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error)


def read_tflite(path: Path, config: CoDAEConfig) -> PartWeights:
    """The part that a .tflite file holds and its weights, as Keras has them; InputError where it is none.

    config: the model that the file must be of; shapes are left to whoever assigns the weights.
    """
    from google.protobuf.message import DecodeError

    try:
        return _read(path, config)
    except (DecodeError, *_DAMAGED) as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{path.name} is damaged ({reason})", "a whole TF-Lite file", "fetch it again") from error


def _read(path: Path, config: CoDAEConfig) -> PartWeights:
    graph = Graph(path)
    words = {word for op in graph.ops for tensor in op.outputs for word in _words(graph, tensor)}
    parts: list[Part] = [part for first, part in _FIRST.items() if first in words]
    if len(parts) != 1:
        raise graph.refused("none of the layers conv-b0, dconv-b0, up_conv-b0", "one part of a published model")
    reader = _Reader(graph, parts[0], config)
    return PartWeights(parts[0], path.name, reader.read())


def _words(graph: Graph, tensor: int) -> list[str]:
    return graph.tensors[tensor].replace(";", "/").split("/")


class _Reader:
    """Reads one part of a graph, one layer after the other."""

    def __init__(self, graph: Graph, part: Part, config: CoDAEConfig):
        self.graph, self.config = graph, config
        self.part: Part = part
        self.feeds = layer_feeds(part, config)
        # Convolution -> its layer, layer -> convolution.
        self.named: dict[int, str] = {}
        self.convolutions: dict[str, Op] = {}

    def read(self) -> dict[str, LayerWeights]:
        """All layers; every stored float of more than one number is used once."""
        for op in (op for op in self.graph.ops if op.kind in _KERNELS):
            name = self._name(op)
            if name in self.convolutions:
                raise self.graph.refused(f"two convolutions {name}", "one")
            self.convolutions[name], self.named[id(op)] = op, name
        if missing := [name for name in self.feeds if name not in self.convolutions]:
            raise self.graph.refused(f"no convolution {missing[0]}", f"{', '.join(self.feeds)} of {self.part}")
        found = {name: self._layer(name, self.convolutions[name]) for name in self.feeds}
        self._check_counts()
        if unused := self.graph.unused():
            raise self.graph.refused(f"the weights {unused[0]}, which no layer uses", "no weights but the model's")
        if twice := [i for i, times in self.graph.used.items() if times > 1 and self._is_weight(i)]:
            raise self.graph.refused(f"the weights {self.graph.tensors[twice[0]]} of two layers", "weights of one each")
        return found

    def _is_weight(self, stored: int) -> bool:
        # Shared on purpose: epsilon, axes, the ones of a softplus.
        return self.graph.size(stored) > 2

    def _name(self, op: Op) -> str:
        """The layer of a convolution: the first known name in what it makes; the last layer of a part has none."""
        words = _words(self.graph, op.outputs[0])
        of_codvae = () if self.config.categorical else ("logits", "temperature")
        name = next((word for word in words if word in self.feeds or word in of_codvae), HEADS[self.part])
        if name not in self.feeds:
            ends = "temperature and logits" if self.config.categorical else "latents"
            raise self.graph.refused(
                f"the layer {name} of a {'CoDAE' if self.config.categorical else 'CoDVAE'}",
                f"a {'CoDVAE' if self.config.categorical else 'CoDAE'}, whose f_R ends with {ends}",
            )
        return name

    def _layer(self, name: str, op: Op) -> LayerWeights:
        self._check_convolution(name, op)
        kernel = self.graph.constant(op.inputs[1], f"kernel of {name}")
        axes = _KERNELS[op.kind]
        if kernel.ndim != len(axes):
            raise self.graph.refused(f"the kernel of {name} of shape {kernel.shape}", f"{len(axes)} axes")
        bias, y = self._bias(name, op)
        found = {"kernel": np.ascontiguousarray(kernel.transpose(axes)), "bias": bias}
        if name in ("z", "latents", "logits", "output"):
            self._check_head(name, op)
            return found
        if name == "temperature":
            self._check_softplus(y)
            return found
        if name.startswith("conditioning"):
            self._check_field(name, op, y)
            return found
        return found | self._norm(name, y)

    def _bias(self, name: str, op: Op) -> tuple[np.ndarray, int]:
        """(bias (C,), the tensor with it added)."""
        if op.kind == "FlexConv2D":
            (add,) = self._only(op.outputs[0], "ADD", f"bias of {name}")
            bias, _ = self.graph.halves(add, f"bias of {name}")
            return bias.ravel(), add.outputs[0]
        if len(op.inputs) < 3 or op.inputs[2] < 0:
            raise self.graph.refused(f"{name} without a bias", "a bias")
        return self.graph.constant(op.inputs[2], f"bias of {name}").ravel(), op.outputs[0]

    def _norm(self, name: str, y: int) -> LayerWeights:
        """Scale and shift (C,) of the InstanceNorm of y: y m + (shift - mean m), m = scale / sqrt(variance + eps)."""
        graph = self.graph
        (scaled,) = self._only(y, "MUL", f"norm of {name}")
        factor = graph.other(scaled, y)
        scale, root = graph.halves(graph.maker(factor, "MUL"), f"scale of {name}")
        epsilon, variance = graph.halves(graph.maker(graph.maker(root, "RSQRT").inputs[0], "ADD"), f"epsilon of {name}")
        square = graph.maker(self._mean(variance, name), "SQUARED_DIFFERENCE")
        mean = graph.other(square, y)
        (added,) = self._only(scaled.outputs[0], "ADD", f"shift of {name}")
        difference = graph.maker(graph.other(added, scaled.outputs[0]), "SUB")
        shift = graph.constant(difference.inputs[0], f"shift of {name}")
        product = graph.maker(difference.inputs[1], "MUL")
        if y not in square.inputs or self._mean(mean, name) != y or {*product.inputs} != {mean, factor}:
            raise graph.refused(f"the norm of {name}", "mean and variance of each event and channel")
        self._same(float(epsilon), NORM_EPSILON, f"epsilon of {name}")
        (leaky,) = self._only(added.outputs[0], "LEAKY_RELU", f"activation of {name}")
        self._same(leaky.settings["alpha"], LEAKY_SLOPE, f"slope of {name}")
        if self.part == "f_m":
            (pool,) = self._only(leaky.outputs[0], "MAX_POOL_2D", f"pooling of {name}")
            window = [pool.settings[k] for k in ("filterHeight", "filterWidth", "strideH", "strideW", "padding")]
            if window != [3, 3, 2, 2, 0]:
                raise graph.refused(f"pooling of {name} {window[:2]}, strides {window[2:4]}", "3x3, stride 2, 'same'")
        return {"scale": scale.ravel(), "shift": shift.ravel()}

    def _mean(self, tensor: int, name: str) -> int:
        """What a mean over the pixels of each channel is taken of."""
        op = self.graph.maker(tensor, "MEAN")
        axes = self.graph.constant(op.inputs[1], f"axes of the norm of {name}").ravel().tolist()
        if axes != [1, 2]:
            raise self.graph.refused(f"the norm of {name} over the axes {axes}", "[1, 2], the pixels")
        return op.inputs[0]

    def _check_convolution(self, name: str, op: Op) -> None:
        """Strides, padding, and the layers that feed it."""
        if op.kind != "FULLY_CONNECTED":
            stride = 2 if name.startswith("dconv") else 1
            if (found := _convolution(op)) != (stride, stride, 1, 1, True):
                raise self.graph.refused(
                    f"{name} with strides {found[:2]}, dilations {found[2:4]}, "
                    f"{'' if found[4] else 'not '}padded to the same size",
                    f"strides of {stride}, padding 'same', nothing fused to it",
                )
        fed = frozenset(self._fed_by(op.inputs[0]))
        if fed != self.feeds[name]:
            raise self.graph.refused(
                f"{name} is fed by {', '.join(sorted(fed)) or 'no layer'}",
                ", ".join(sorted(self.feeds[name])) or "no layer",
            )
        if name.startswith("up_conv"):
            resize = self.graph.maker(op.inputs[0], "RESIZE_BILINEAR")
            if resize.settings != {"alignCorners": False, "halfPixelCenters": True}:
                raise self.graph.refused(f"upsampling of {name} {resize.settings}", "half-pixel centres")
            self.graph.maker(resize.inputs[0], "MUL")

    def _fed_by(self, tensor: int) -> set[str]:
        """The layers from which a tensor comes by way of no other layer."""
        waiting, seen, found = [tensor], set(), set()
        while waiting:
            tensor = waiting.pop()
            op = self.graph.makers.get(tensor)
            if op is None or tensor in seen:
                continue
            seen.add(tensor)
            if id(op) in self.named:
                found.add(self.named[id(op)])
            else:
                waiting += op.inputs
        return found

    def _check_field(self, name: str, op: Op, y: int) -> None:
        """A conditioning field: z, column and row coordinate go in, and it multiplies what the decoder has."""
        joined = self.graph.maker(op.inputs[0], "CONCATENATION")
        tiles = [self.graph.maker(tensor, "TILE").inputs[0] for tensor in joined.inputs]
        if len(tiles) != 3 or self.graph.stored(tiles[0]) is not None:
            raise self.graph.refused(f"the input of {name}", "z, then two coordinates")
        column, row = (self.graph.constant(tile, f"coordinates of {name}") for tile in tiles[1:])
        height, width = column.shape[1:3] if column.ndim == 4 else (0, 0)
        expected = SpatialBroadcast(height, width).coordinates[0]
        for axis, (what, values) in enumerate((("column", column), ("row", row))):
            if (
                values.size != height * width
                or np.abs(values.reshape(height, width) - expected[..., axis]).max() > _HALF
            ):
                raise self.graph.refused(f"the {what} coordinate of {name}", "linspace(-1, 1), column before row")
        self._only(y, "MUL", f"product with the field {name}")

    def _check_head(self, name: str, op: Op) -> None:
        """What lies before the last layer: flattened row by row, or cropped at the centre."""
        if name == "z":
            self.graph.maker(self.graph.maker(op.inputs[0], "RESHAPE").inputs[0], "MAX_POOL_2D")
        elif name == "output":
            crop = self.graph.maker(op.inputs[0], "SLICE")
            start = self.graph.constant(crop.inputs[1], "crop").ravel().tolist()
            if start != [0, 4, 3, 0]:
                raise self.graph.refused(f"a crop from {start}", "[0, 4, 3, 0], the centre of 80 x 64")

    def _check_softplus(self, y: int) -> None:
        """tau = 1 + log(1 + exp(y))."""
        (exponential,) = self._only(y, "EXP", "softplus of the temperature")
        (inner,) = self._only(exponential.outputs[0], "ADD", "softplus of the temperature")
        (logarithm,) = self._only(inner.outputs[0], "LOG", "softplus of the temperature")
        (outer,) = self._only(logarithm.outputs[0], "ADD", "base temperature")
        for add in (inner, outer):
            one, _ = self.graph.halves(add, "base temperature")
            self._same(float(one), 1.0, "base temperature")

    def _check_counts(self) -> None:
        """As many activations and poolings as layers have them: none more, such as one after a residual block."""
        heads = tuple(self.convolutions[name].outputs[0] for name in self.feeds)
        operations = self.graph.upstream(heads)
        if fused := [op for op in operations if op.settings.get("fusedActivationFunction")]:
            raise self.graph.refused(f"an activation fused to {self.graph.tensors[fused[0].outputs[0]]}", "none")
        kinds = [op.kind for op in operations]
        normed = sum(name.partition("-")[0] in ("conv", "dconv", "up_conv", "conv1", "conv2") for name in self.feeds)
        residuals = sum(name.startswith("conv2") for name in self.feeds)
        levels = len(self.config.f_m_filters)
        expected = {"LEAKY_RELU": normed, "MAX_POOL_2D": levels * (self.part == "f_m"), "RELU": 0}
        expected |= {"RESIZE_BILINEAR": levels * (self.part == "decoder"), "RSQRT": normed}
        for kind, number in expected.items():
            if kinds.count(kind) != number:
                raise self.graph.refused(f"{kinds.count(kind)} operations {kind}", f"{number} in {self.part}")
        # Each residual block adds its input to what its second layer's activation gives.
        sums = [op for op in self.graph.ops if op.kind == "ADD" and self._is_leaky(op)]
        if len(sums) != residuals:
            raise self.graph.refused(f"{len(sums)} sums of an activation and its block's input", f"{residuals}")

    def _is_leaky(self, op: Op) -> bool:
        made = [self.graph.makers.get(tensor) for tensor in op.inputs]
        return any(maker is not None and maker.kind == "LEAKY_RELU" for maker in made)

    def _only(self, tensor: int, kind: str, what: str) -> list[Op]:
        found = self.graph.readers(tensor, kind)
        if len(found) != 1:
            raise self.graph.refused(f"{len(found)} operations {kind} for the {what}", "one")
        return found

    def _same(self, value: float, expected: float, what: str) -> None:
        if not abs(value - expected) <= _HALF * expected:
            raise self.graph.refused(f"{what} {value:g}", f"{expected:g}")


def _convolution(op: Op) -> tuple[Any, ...]:
    """(stride down, stride right, dilation down, dilation right, whether it keeps the size and has no activation)."""
    s = op.settings
    if op.kind == "FlexConv2D":
        kept = s.get("padding") == "SAME" and s.get("data_format", "NHWC") == "NHWC"
        return (*s["strides"][1:3], *s.get("dilations", (1, 1, 1, 1))[1:3], kept)
    kept = s["padding"] == 0 and s["fusedActivationFunction"] == 0
    return s["strideH"], s["strideW"], s["dilationHFactor"], s["dilationWFactor"], kept
