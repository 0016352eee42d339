"""What every executor of a trigger network shares: its design record, the words that go in, the words that come out.

An executor computes the network's output words from pooled counts. QKeras, hls4ml's emulation, the C++ emulator,
da4ml's integer interpreter and the simulated RTL are executors of one network and give the same words, compared with
==.

    input word   = count, clipped to the range of the input word      (N, inputs)
    output words = network(input words)                               (N, outputs) int64
    score word   = sign * output word[component]                      (N,) int64, higher is more anomalous
    score        = score word * LSB of the output word                (N,) float64

The record is a JSON file in the executor's folder; no executor but QKeras needs TensorFlow to be read or run.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json
from codae_l1.data.base.words import WordType
from codae_l1.data.pooling import PoolingConfig

D = TypeVar("D", bound="Design")


@dataclass(frozen=True)
class Design:
    """What an executor must know of the network.

    input_shape: of one event's counts, (phi, eta, inputs). outputs: number of output words. sign, component: the score
    word is sign * output word[component]; None in records made before version 0.2, which did not store them.
    """

    input_shape: tuple[int, ...]
    outputs: int
    input_word: WordType
    output_word: WordType
    sign: int | None = None
    component: int | None = None
    ALWAYS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def read(cls: type[D], path: Path | str, remedy: str) -> D:
        """The record in a JSON file; InputError with the remedy where the file is not such a record.

        Keys that this class does not have are ignored: reports keep more next to the record.
        """
        content = read_json(Path(path))
        names = {item.name for item in dataclasses.fields(cls)}
        try:
            table = content if isinstance(content, dict) else {}
            record = parse(cls, {key: value for key, value in table.items() if key in names and value is not None})
            missing = [name for name in cls.ALWAYS if name not in table]
            if missing:
                # Their defaults are for records that are made, not for those that are read.
                raise InputError(f"key {missing[0]} is missing", "it in every record", remedy)
            return record
        except InputError as error:
            raise InputError(
                f"{path} is not a record of this version ({error.received})", f"a {cls.__name__}", remedy
            ) from error

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `read` of it gives an equal record."""
        return dump(self)

    @property
    def inputs(self) -> int:
        """Number of input words per event."""
        return math.prod(self.input_shape)

    def check_counts(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, *input_shape) -> (N, inputs), values unchanged.

        Raises InputError unless they are integers in the shape of the network's input, or flattened to it, and not
        negative where the input word has no sign.
        """
        return self.input_word.check(counts, self.input_shape, "counts").reshape(len(counts), self.inputs)

    def saturated(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, *input_shape) integers -> input words (N, inputs) int32, clipped to the input word's range.

        >>> word = WordType(False, 5, 0)
        >>> Design((2,), 1, word, word).saturated(np.array([[3, 99]])).tolist()
        [[3, 31]]
        """
        low, high = self.input_word.bounds
        return np.clip(self.check_counts(counts), low, high).astype(np.int32)


@dataclass(frozen=True)
class RtlDesign(Design):
    """design.json of a Verilog or VHDL pipeline.

    rtl_output: word on the output port. layers: layer name -> shape. stages: registers from input to output, the
    latency in clock cycles. register_bits: flip-flops of the pipeline. da4ml_cost, operations, operations_by_kind: of
    the traced network. source_sha256: of the Verilog sources, empty for VHDL. language: of src/. namespace: of the
    VHDL's entities; empty where they have da4ml's names.
    """

    rtl_output: WordType = field(default_factory=lambda: WordType(True, 1, 0))
    layers: dict[str, tuple[int, ...]] = field(default_factory=dict)
    stages: int = 0
    register_bits: int = 0
    operations: int = 0
    operations_by_kind: dict[str, int] = field(default_factory=dict)
    da4ml_cost: float = 0.0
    latency_cutoff: float = 0.0
    clock_period_ns: float = 0.0
    part: str = ""
    tool: str = ""
    source_sha256: str = ""
    language: str = "Verilog"
    namespace: str = ""
    ALWAYS: ClassVar[tuple[str, ...]] = ("rtl_output",)

    def __post_init__(self):
        if not self.layers or self.stages < 1:
            raise InputError("a pipeline without layers or stages", "at least one of each", "build the RTL again")

    @property
    def latency_ns(self) -> float:
        """Time from the clock edge that takes an event to the edge that gives its words."""
        return self.stages * self.clock_period_ns

    def port_words(self, raw: np.ndarray) -> np.ndarray:
        """Bits on the output port (N, outputs), as unsigned integers -> output words (N, outputs) int64."""
        sign = int(self.rtl_output.keep_negative) << (self.rtl_output.width - 1)
        extended = (raw.astype(np.int64) ^ sign) - sign
        return extended << (self.output_word.fraction - self.rtl_output.fraction)


@dataclass(frozen=True)
class TracedLayer:
    """A layer whose values the emulator can show: name, shape, fraction bits of its words."""

    name: str
    shape: tuple[int, ...]
    fraction: int


@dataclass(frozen=True)
class EmulatorDesign(Design):
    """emulator.json of a C++ emulator.

    version: of the package that wrote it. network_checksum: of all that decides the words; checksum: of the decision,
    too. namespace: of the C++ code. library: file name of the compiled library. pooling: how images become counts; None
    where the emulator begins at the counts.
    """

    version: str = ""
    checksum: str = ""
    network_checksum: str = ""
    namespace: str = ""
    library: str = ""
    pooling: PoolingConfig | None = None
    layers: tuple[TracedLayer, ...] = ()

    def __post_init__(self):
        if not (self.library and self.namespace and self.layers):
            raise InputError("an emulator without library, namespace or layers", "all three", "build it again")


@dataclass(frozen=True)
class HlsDesign(Design):
    """What the compiled emulation of an hls4ml project needs of project.json.

    library: its path in the folder; the default is that of version 0.1. weights: folder of the weights that the library
    reads, empty where they are inside it. traced: layer name -> shape of the layers that show their values.
    not_compiled: why there is no emulation, empty where there is one.
    """

    library: str = "firmware/libcodae_hls.so"
    weights: str = ""
    traced: dict[str, tuple[int, ...]] = field(default_factory=dict)
    not_compiled: str = ""


class Executor(Protocol):
    """One way of computing a network's output words."""

    @property
    def name(self) -> str:
        """One of qkeras, hls, emulator, interpreter, rtl, vhdl."""
        ...

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, *input_shape) integers -> output words (N, outputs) int64; larger counts saturate."""
        ...


def score_words(words: np.ndarray, sign: int, component: int) -> np.ndarray:
    """Output words (N, outputs) -> score words (N,) int64: sign * words[:, component].

    >>> score_words(np.array([[3, 4], [-5, 6]]), -1, 0).tolist()
    [-3, 5]
    """
    given = WordType.array(words, "output words")
    if given.dtype.kind not in "iu" or given.ndim != 2:
        found = f"output words of shape {given.shape}, {given.dtype}"
        raise InputError(found, "integers (N, outputs)", "give what predict_words gives")
    return sign * given.astype(np.int64, copy=False)[:, component]
