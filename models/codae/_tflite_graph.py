"""A TF-Lite file as a graph: operations, constants, what makes and what reads a tensor.

It is read from the flatbuffer itself. TensorFlow's interpreter verifies the file, but cannot run one with the
operation FlexConv2D, a grouped convolution of older converters.
"""

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError

_FLOATS = {"FLOAT16": np.dtype("<f2"), "FLOAT32": np.dtype("<f4")}
_TYPES = {**_FLOATS, "INT32": np.dtype("<i4"), "INT64": np.dtype("<i8")}


@dataclass(frozen=True, eq=False)
class Op:
    """kind: CONV_2D, ..., or the custom name, FlexConv2D. inputs, outputs: indices of tensors; -1 where one is missing.

    settings: attributes; of a FlexConv2D those of the TensorFlow operation that it stands for.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    settings: dict[str, Any]


class Graph:
    """The only graph of a .tflite file; name: what errors call the file."""

    def __init__(self, path: Path):
        self.name = path.name
        content = _verified(path)
        from tensorflow.lite.python import schema_py_generated as schema

        model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
        if len(model.subgraphs) != 1:
            raise self.refused(f"{len(model.subgraphs)} graphs", "one")
        (graph,) = model.subgraphs
        kinds = {code: kind for kind, code in vars(schema.BuiltinOperator).items() if not kind.startswith("_")}
        types = {code: kind for kind, code in vars(schema.TensorType).items() if not kind.startswith("_")}
        codes = [_kind(code, kinds) for code in model.operatorCodes]
        self.tensors: list[str] = [tensor.name.decode() for tensor in graph.tensors]
        self._types = [types[tensor.type] for tensor in graph.tensors]
        self._shapes = [() if tensor.shape is None else tuple(map(int, tensor.shape)) for tensor in graph.tensors]
        self._data = [model.buffers[tensor.buffer].data for tensor in graph.tensors]
        self.ops = [_op(codes[op.opcodeIndex], op) for op in graph.operators]
        self.outputs = tuple(map(int, graph.outputs))
        self.used: dict[int, int] = {}

    def refused(self, received: str, expected: str) -> InputError:
        """The error of a graph that is not the published one."""
        return InputError(f"{self.name}: {received}", expected, "take the file of the published model")

    @cached_property
    def makers(self) -> dict[int, Op]:
        """Tensor -> the operation that makes it."""
        return {tensor: op for op in self.ops for tensor in op.outputs}

    @cached_property
    def _readers(self) -> dict[int, list[Op]]:
        found: dict[int, list[Op]] = {}
        for op in self.ops:
            for tensor in dict.fromkeys(op.inputs):
                found.setdefault(tensor, []).append(op)
        return found

    def readers(self, tensor: int, kind: str) -> list[Op]:
        """The operations of a kind that read a tensor."""
        return [op for op in self._readers.get(tensor, []) if op.kind == kind]

    def maker(self, tensor: int, kind: str) -> Op:
        """The operation that makes a tensor; InputError unless it is of a kind."""
        op = self.makers.get(tensor)
        if op is None or op.kind != kind:
            raise self.refused(f"{self._short(tensor)} comes from {op.kind if op else 'no operation'}", kind)
        return op

    def stored(self, tensor: int) -> int | None:
        """Index of the stored tensor that a constant is, or is dequantized from; None where it is computed."""
        while (op := self.makers.get(tensor)) is not None:
            if op.kind != "DEQUANTIZE":
                return None
            tensor = op.inputs[0]
        return tensor if tensor >= 0 and self._data[tensor] is not None and len(self._data[tensor]) else None

    def constant(self, tensor: int, what: str) -> np.ndarray:
        """The values of a constant, float32 where they are floats, and count its use; InputError where it is none.

        what: "kernel of conv-b0", for the error.
        """
        index = self.stored(tensor)
        if index is None:
            raise self.refused(f"the {what} is computed", "a constant")
        kind = self._types[index]
        if kind not in _TYPES:
            raise self.refused(f"the {what} of type {kind}", " or ".join(_TYPES))
        values = np.frombuffer(bytes(self._data[index]), _TYPES[kind])
        shape = self._shapes[index]
        if values.size != np.prod(shape, dtype=int):
            raise self.refused(f"the {what} with {values.size} values for the shape {shape}", "as many as it holds")
        self.used[index] = self.used.get(index, 0) + 1
        return values.reshape(shape).astype(np.float32) if kind in _FLOATS else values.reshape(shape)

    def halves(self, op: Op, what: str) -> tuple[np.ndarray, int]:
        """(constant, other input) of an operation on two tensors of which one is stored."""
        a, b = op.inputs
        if self.stored(a) is None:
            a, b = b, a
        return self.constant(a, what), b

    def other(self, op: Op, tensor: int) -> int:
        """The input of an operation on two tensors that is not the given one."""
        a, b = op.inputs
        return b if a == tensor else a

    def upstream(self, tensors: tuple[int, ...]) -> list[Op]:
        """All operations that some tensors depend on."""
        waiting, found = list(tensors), {}
        while waiting:
            op = self.makers.get(waiting.pop())
            if op is not None and id(op) not in found:
                found[id(op)] = op
                waiting += op.inputs
        return list(found.values())

    def unused(self) -> list[str]:
        """Names of stored floats, more than one number each, whose values nobody has taken."""
        return [
            self._short(i)
            for i, kind in enumerate(self._types)
            if kind in _FLOATS and i not in self.used and self.size(i) > 1 and self.stored(i) == i
        ]

    def size(self, tensor: int) -> int:
        """How many numbers a tensor holds."""
        return int(np.prod(self._shapes[tensor], dtype=int))

    def _short(self, tensor: int) -> str:
        return self.tensors[tensor].split(";")[0]


def _verified(path: Path) -> bytes:
    """The content of a file that TensorFlow accepts as a whole TF-Lite model."""
    import tensorflow as tf

    content = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated", UserWarning)
            tf.lite.Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{path.name} cannot be read ({str(error).splitlines()[0]})", "a whole TF-Lite file", "fetch it again"
        ) from error
    return content


def _kind(code: Any, kinds: dict[int, str]) -> str:
    if code.customCode:
        return code.customCode.decode()
    # Codes above 127 stand in the newer field alone.
    return kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]


def _op(kind: str, op: Any) -> Op:
    settings = dict(vars(op.builtinOptions)) if op.builtinOptions else {}
    if kind == "FlexConv2D":
        settings = _flex_settings(bytes(op.customOptions))
    return Op(kind, tuple(map(int, op.inputs)), tuple(map(int, op.outputs)), settings)


def _flex_settings(options: bytes) -> dict[str, Any]:
    """Attributes of the TensorFlow operation that a FlexConv2D holds, lists of integers and texts alone."""
    import tensorflow as tf
    from flatbuffers import flexbuffers

    node = flexbuffers.GetRoot(options).AsVector[1].AsStringBytes
    attributes = tf.compat.v1.NodeDef.FromString(node).attr
    lists = {name: list(value.list.i) for name, value in attributes.items() if value.list.i}
    return lists | {name: value.s.decode() for name, value in attributes.items() if value.s}
