"""The emulator: the trigger network as C++17 that needs nothing but its own headers, and its compiled library.

The folder (written whole or not at all) has <namespace>.h and .cpp, the network; <namespace>_pooling.h and .cpp, from
towers to its inputs; <namespace>_network.h, the trained words; <namespace>_layers.h, the arithmetic;
<namespace>_vectors.h, its two sets of instructions; emulator.json, its record; lib<namespace>-<checksum>.so.
"""

import ctypes
import hashlib
import json
import math
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import reading, whole_folder
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.data.pooling import PoolingConfig
from codae_l1.hls.network.executor import EmulatorDesign, TracedLayer
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.compiler import call_logged, find_compiler, load_library
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger._emulator_code import TEMPLATES, network_code, pooling_values
from codae_l1.hls.trigger.export_config import NAMESPACE, check_namespace
from codae_l1.hls.trigger.thresholds import Decision

# Portable: no instructions beyond those that every x86-64 or ARM64 machine has.
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared")
# Template -> end of the file's name after the namespace.
_FILES = {
    "emulator.h": ".h",
    "emulator.cpp": ".cpp",
    "network.h": "_network.h",
    "layers.h": "_layers.h",
    "vectors.h": "_vectors.h",
}
# C function -> types of what it takes and gives.
_TYPES = {
    "predict": (np.int64, np.int64),
    "predict_each": (np.int32, np.int64),
    "trace": (np.int64, np.int64),
    "predict_images": (np.float32, np.int64),
    "pool_images": (np.float32, np.int32),
    "pool_towers": (np.int32, np.int32),
    "pool_towers16": (np.uint16, np.int32),
    "pool_towers8": (np.uint8, np.int32),
    "predict_towers": (np.int32, np.int64),
    "predict_towers16": (np.uint16, np.int64),
    "predict_towers8": (np.uint8, np.int64),
}
# Types of towers that are taken as they are -> end of the function's name.
_TOWERS = {np.dtype(np.int32): "", np.dtype(np.uint16): "16", np.dtype(np.uint8): "8"}
# Around the network's own code in its header (hls/cpp/network.h).
_BEFORE, _AFTER = "namespace {\n\n", "\n\n}  // namespace\n}"
# Functions of an emulator that begins at the counts, and of one with its pooling; stored runs have no more.
_ALWAYS = ("predict", "predict_each", "trace")
_POOLED = (*_ALWAYS, "predict_images", "pool_images", "pool_towers")
_AGAIN = "run the convert stage again"
_DESIGN, _LOG = "emulator.json", "emulator.log"


class Emulator:
    """The compiled emulator; `Emulator(folder)` reopens what `build_emulator` left there.

    each: events one at a time through the entry point that CMS emulators call, instead of in blocks.
    """

    name = "emulator"

    def __init__(self, folder: Path | str, each: bool = False):
        self.folder, self.each = Path(folder), each
        self.design = EmulatorDesign.read(self.folder / _DESIGN, _AGAIN)
        path = self.folder / self.design.library
        if not path.is_file():
            raise InputError(f"{path} does not exist", "a compiled emulator", "run the convert stage first")
        self._check_record()
        names = _POOLED if self.design.pooling else _ALWAYS
        self._library = load_library(path, _AGAIN, [f"{self.design.namespace}_{name}" for name in names])
        # Libraries of stored runs may be older, and say nothing of their inputs: those are checked before.
        self._says_inputs = hasattr(self._library, f"{self.design.namespace}_use_avx2")

    def _check_record(self) -> None:
        """Raise InputError unless emulator.json is of the C++ beside it, if that is there, whose sum it holds."""
        design, header = self.design, self.folder / f"{self.design.namespace}_network.h"
        if not header.is_file():
            return
        with reading(header, "the C++ of the emulator", _AGAIN):
            body = header.read_text().split(_BEFORE, 1)[1].rsplit(_AFTER, 1)[0]
        body = body.replace(f"{design.namespace.upper()}_INLINE", "@GUARD@_INLINE")
        sum_ = _digest(
            [body, _facts_of(design.input_shape, design.outputs, design.input_word, design.output_word, design.pooling)]
        )
        if sum_ != design.network_checksum:
            raise InputError(
                f"{self.folder / _DESIGN} and {header.name} are not of one network (SHA-256 {sum_[:12]}, "
                f"{design.network_checksum[:12]} in the record)",
                "what was written together",
                _AGAIN,
            )

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64; counts beyond the input word saturate."""
        if self.each:
            return self._call("predict_each", self.design.saturated(counts), self.design.outputs)[0]
        given = WordType.array(counts, "counts")
        if not (self._says_inputs and given.dtype == np.int64 and _has_shape(given, self.design.input_shape)):
            given = self.design.check_counts(counts)
        words, bits = self._call("predict", given, self.design.outputs)
        if self._says_inputs and bits >> 63:
            # A count is below zero, which not every input word has.
            self.design.check_counts(counts)
        return words

    def predict_towers(self, towers: np.ndarray) -> np.ndarray:
        """Tower words as `pool_towers` takes them -> output words (N, outputs) int64."""
        if not self._says_inputs:
            return self.predict_words(self.pool_towers(towers))
        return self._from_towers("predict_towers", towers, self.design.outputs)

    def predict_images(self, images: np.ndarray) -> np.ndarray:
        """Images (N, 72, 58, 3) GeV -> output words (N, outputs) int64, pooled in C++, too."""
        return self._call("predict_images", self._pooling.check_images(images), self.design.outputs)[0]

    def pool_images(self, images: np.ndarray) -> np.ndarray:
        """Images (N, 72, 58, 3) GeV -> counts (N, *input_shape) int32, saturated."""
        inputs = self._call("pool_images", self._pooling.check_images(images), self.design.inputs)[0]
        return inputs.reshape(-1, *self.design.input_shape)

    def pool_towers(self, towers: np.ndarray) -> np.ndarray:
        """Tower words (N, 72, 58, inputs) of pT or ET in TOWER_LSB_GEV -> counts (N, *input_shape) int32.

        For the tracks, any word that is not 0 counts as one: 1, or the word of their pT. uint8, uint16 and int32 are
        read as they are, the shorter the faster; other integers are converted.
        """
        return self._from_towers("pool_towers", towers, self.design.inputs).reshape(-1, *self.design.input_shape)

    def predict_layers(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Counts (N, ...) -> {layer name: values (N, *shape) float64}, in the order of the layers."""
        sizes = [math.prod(layer.shape) for layer in self.design.layers]
        flat, _ = self._call("trace", self.design.check_counts(counts), sum(sizes))
        parts = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
        return {
            layer.name: words.reshape(-1, *layer.shape) * 2.0**-layer.fraction
            for layer, words in zip(self.design.layers, parts, strict=True)
        }

    @property
    def _pooling(self) -> PoolingConfig:
        if self.design.pooling is None:
            raise InputError("pooling None", "an emulator with its pooling", "give the pooling to build_emulator")
        return self.design.pooling

    def _from_towers(self, function: str, towers: np.ndarray, columns: int) -> np.ndarray:
        given = WordType.array(towers, "tower words")
        shape = (N_PHI, N_ETA, len(self._pooling.inputs))
        if not (self._says_inputs and given.dtype in _TOWERS and _has_shape(given, shape)):
            given = self._pooling.check_towers(given).astype(np.int32)
        results, bits = self._call(function + _TOWERS[given.dtype], given, columns)
        if self._says_inputs and bits >> 20:
            # A word is below zero or at least 2^20, of which 2^20 alone is one.
            self._pooling.check_towers(given)
        return results

    def _call(self, function: str, inputs: np.ndarray, columns: int) -> tuple[np.ndarray, int]:
        """Inputs (N, ...) -> results (N, columns) of a C function of the library; which bits any input has set.

        Only `predict`, as 64 bits, and those that take int32 towers, as 32, look at the bits; 0 of others.
        """
        given, made = _TYPES[function]
        results = np.empty((len(inputs), columns), made)
        entry = getattr(self._library, f"{self.design.namespace}_{function}")
        entry.argtypes, entry.restype = [_pointer(given), ctypes.c_size_t, _pointer(made)], ctypes.c_uint64
        return results, entry(np.ascontiguousarray(inputs, given), len(inputs), results)


def _has_shape(given: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether an array that has no mask is (N, *shape), or flattened to it."""
    return type(given) is np.ndarray and given.shape[1:] in (shape, (math.prod(shape),))


def _pointer(kind: type) -> Any:
    return np.ctypeslib.ndpointer(kind, flags="C_CONTIGUOUS")


def build_emulator(
    network: Network,
    output_word: WordType,
    config: HlsConfig,
    folder: Path | str,
    pooling: PoolingConfig | None = None,
    namespace: str = NAMESPACE,
) -> EmulatorDesign:
    """Write a network's emulator and compile it; return emulator.json.

    pooling: how images become the network's inputs; None leaves it out.
    Raises ToolError where there is no compiler or it fails.
    """
    compiler = find_compiler()
    sources, design = emulator_sources(network, output_word, pooling, namespace)
    with whole_folder(folder) as temporary:
        for name, text in sources.items():
            (temporary / name).write_text(text)
        (temporary / _DESIGN).write_text(json.dumps(design.as_dict(), indent=1) + "\n")
        arguments = [compiler, *FLAGS, *(name for name in sources if name.endswith(".cpp")), "-o", design.library]
        call_logged(arguments, temporary, temporary / _LOG, config, "The compiler")
    return design


def emulator_sources(
    network: Network,
    output_word: WordType,
    pooling: PoolingConfig | None = None,
    namespace: str = NAMESPACE,
    decision: Decision | None = None,
    ports: Any = None,
) -> tuple[dict[str, str], EmulatorDesign]:
    """({file name: text}, emulator.json) of a network, with its decision where there is one.

    network_checksum is of all that decides the words; checksum is of the decision, too, and of `ports`: what else an
    RTL depends on (JSON-ready).
    """
    check_namespace(namespace)
    if pooling is not None and pooling.shape != tuple(network.input_shape):
        raise InputError(
            f"a pooling to {pooling.shape}", f"{tuple(network.input_shape)}, the network's input", "give its own"
        )
    body, fractions = network_code(network, output_word)
    shape, outputs = tuple(network.input_shape), math.prod(network.layers[-1].shape)
    facts = _facts_of(shape, outputs, network.input_word, output_word, pooling)
    network_checksum = _digest([body, facts])
    checksum = _digest([body, facts, str(decision), ports]) if decision else network_checksum
    design = EmulatorDesign(
        input_shape=shape,
        outputs=outputs,
        input_word=network.input_word,
        output_word=output_word,
        sign=network.sign,
        component=network.component,
        version=version("codae-l1"),
        checksum=checksum,
        network_checksum=network_checksum,
        namespace=namespace,
        # A process that has loaded a library of this path is given that one again, whatever the file holds by now.
        library=f"lib{namespace}-{checksum[:12]}.so",
        pooling=pooling,
        layers=tuple(TracedLayer(layer.name, tuple(layer.shape), fractions[layer.name]) for layer in network.layers),
    )
    values = {
        "NETWORK": body.replace("@GUARD@", namespace.upper()),
        **values_of(design),
        **(pooling_values(pooling) if pooling else {}),
    }
    names = _FILES | ({"pooling.h": "_pooling.h", "pooling.cpp": "_pooling.cpp"} if pooling else {})
    if decision:
        values |= _decision_values(decision)
        names["decision.h"] = "_decision.h"
    return {f"{namespace}{end}": fill(name, values) for name, end in names.items()}, design


def _facts_of(
    shape: tuple[int, ...], outputs: int, given: WordType, made: WordType, pooling: PoolingConfig | None
) -> dict[str, Any]:
    """What decides the words beside the network's own code, JSON-ready."""
    return {
        "input_shape": list(shape),
        "inputs": math.prod(shape),
        "outputs": outputs,
        "input_word": vars(given),
        "output_word": vars(made),
        "pooling": dump(pooling) if pooling else None,
    }


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _decision_values(decision: Decision) -> dict[str, Any]:
    """@NAME@ -> value of the decision's template."""
    points = [
        f'{{"{p.name}", {str(p.threshold is not None).lower()}, {0 if p.threshold is None else p.threshold}}},'
        for p in decision.points
    ]
    return {
        "POINTS": len(points),
        "WORKING_POINTS": "\n    ".join(points),
        "SIGN": decision.sign,
        "COMPONENT": decision.component,
    }


def values_of(design: EmulatorDesign) -> dict[str, Any]:
    """@NAME@ -> value of the emulator's templates, from emulator.json."""
    given, made = design.input_word, design.output_word
    return {
        "NAMESPACE": design.namespace,
        "GUARD": design.namespace.upper(),
        "VERSION": design.version,
        "VERSION_WORD": f"0x{version_word(design.version):08x}",
        "CHECKSUM": design.checksum,
        "SHAPE": f"({', '.join(map(str, design.input_shape))})",
        "INPUTS": design.inputs,
        "OUTPUTS": design.outputs,
        "INPUT_WORD": given,
        "INPUT_LOW": given.bounds[0],
        "INPUT_HIGH": given.bounds[1],
        "OUTPUT_WORD": made,
        "OUTPUT_WIDTH": made.width,
        "OUTPUT_FRACTION": made.fraction,
    }


def version_word(version: str) -> int:
    """A version as the integer that the RTL shows: major, minor (8 bits each), patch (16 bits).

    >>> hex(version_word("1.2.3"))
    '0x1020003'
    """
    parts = [int(part) for part in re.findall(r"\d+", version)[:3]]
    major, minor, patch = (*parts, 0, 0, 0)[:3]
    return (major & 255) << 24 | (minor & 255) << 16 | patch & 65535


def fill(template: str, values: dict[str, Any]) -> str:
    """A file of hls/cpp with its @NAMES@ replaced."""
    text = (TEMPLATES / template).read_text()
    return re.sub(r"@([A-Z_]+)@", lambda match: str(values[match[1]]), text)
