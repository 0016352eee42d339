"""The hls4ml project of a QKeras model (Vitis backend) and its bit-accurate C++ emulation.

Folder (whole or not there): hls4ml's project as a vendor tool takes it (build_prj.tcl, firmware/, ...),
firmware/libcodae_hls.so, the emulation; project.json, the effective configuration of every layer; hls4ml.log.
"""

import concurrent.futures
import ctypes
import json
import math
import subprocess
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.artifact import read_json
from codae_l1.data.errors import InputError, ToolError
from codae_l1.data.exact import exact_words
from codae_l1.data.words import WordType
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.folders import keep_log, output_to, tail, whole_folder
from codae_l1.hls.network import Network, read_network
from codae_l1.hls.rtl import input_words
from codae_l1.hls.verilator import find_compiler

# Name of the project and of its top function.
TOP = "codae"
_LIBRARY = Path("firmware") / "libcodae_hls.so"
_LOG = "hls4ml.log"
# One call for many events; hls4ml's own bridge takes one.
_BATCH = f"""#include "{TOP}_bridge.cpp"
#include <cstddef>
extern "C" void predict_batch(double *in, double *out, size_t n, size_t n_in, size_t n_out) {{
    for (size_t i = 0; i < n; i++) {TOP}_double(in + i * n_in, out + i * n_out);
}}
"""


class HlsProject:
    """hls4ml's compiled emulation; `HlsProject(folder)` reopens what `convert` left there."""

    name = "hls"

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.design = read_json(self.folder / "project.json")
        library = self.folder / _LIBRARY
        if not library.is_file():
            raise InputError(f"{library} does not exist", "a compiled hls4ml project", "run the convert stage first")
        self._library = ctypes.CDLL(str(library.resolve()))
        pointer = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
        self._library.predict_batch.argtypes = [pointer, pointer, *[ctypes.c_size_t] * 3]
        self._library.predict_batch.restype = None

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64; counts beyond the input word saturate."""
        return exact_words(self._predict(counts), WordType(**self.design["output_word"]), self.name)

    def predict_layers(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Counts (N, ...) -> {layer name: values (N, *shape) float64} of the layers that hls4ml kept."""
        shapes = self.design["traced"]
        layers = {name: np.empty((len(counts), *shape)) for name, shape in shapes.items()}
        slots = (_TraceData * len(shapes))()
        self._library.allocate_trace_storage(ctypes.c_size_t(8))
        try:
            for event in range(len(counts)):
                self._predict(counts[event : event + 1])
                self._library.collect_trace_output(slots)
                for slot in slots:
                    name = slot.name.decode()
                    data = ctypes.cast(slot.data, ctypes.POINTER(ctypes.c_double))
                    layers[name][event] = np.ctypeslib.as_array(data, shape=(math.prod(shapes[name]),)).reshape(
                        shapes[name]
                    )
        finally:
            self._library.free_trace_storage()
        return layers

    def _predict(self, counts: np.ndarray) -> np.ndarray:
        values = np.ascontiguousarray(input_words(self.design, counts), np.float64)
        values *= WordType(**self.design["input_word"]).lsb
        out = np.zeros((len(values), self.design["outputs"]))
        self._library.predict_batch(values, out, len(values), self.design["inputs"], self.design["outputs"])
        return out


class _TraceData(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.c_void_p))


def convert(
    firmware: Any, config: HlsConfig, folder: Path | str, progress: Callable[[int, int, str], None] | None = None
) -> HlsProject:
    """FirmwareModel -> hls4ml project, compiled; what stood in the folder is replaced when all went well.

    Raises ToolError where there is no compiler or hls4ml or the compiler fails.
    """
    from codae_l1.quantization.firmware import input_word, output_word

    network = read_network(firmware.model, input_word(firmware.config))
    return convert_network(firmware.model, network, output_word(firmware.config), config, folder, progress=progress)


def convert_network(
    model: Any,
    network: Network,
    output: WordType,
    config: HlsConfig,
    folder: Path | str,
    io_type: str = "io_parallel",
    progress: Callable[[int, int, str], None] | None = None,
) -> HlsProject:
    """QKeras model and its records -> hls4ml project, compiled; io_type: "io_parallel" or "io_stream"."""
    say = progress or (lambda done, total, text: None)
    compiler = find_compiler()
    with whole_folder(folder) as temporary:
        say(0, 2, "converting the network with hls4ml")
        project = _write_project(model, network, output, config, temporary, io_type)
        (temporary / "project.json").write_text(json.dumps(project, indent=1) + "\n")
        say(1, 2, "compiling the emulation")
        _compile(compiler, temporary, config)
        say(2, 2, "hls4ml project ready")
    return HlsProject(folder)


def _write_project(
    model: Any, network: Network, output: WordType, config: HlsConfig, folder: Path, io_type: str
) -> dict[str, Any]:
    log = folder / _LOG
    try:
        with output_to(log), warnings.catch_warnings():
            # NumPy 2 warns of how hls4ml and Keras copy weights; neither is ours to change.
            warnings.simplefilter("ignore")
            graph = _convert_graph(model, network, config, folder, io_type)
            graph.write()
    except OSError:
        # A full disk is no fault of the network; whole_folder says what it is.
        raise
    except Exception as error:
        with open(log, "a") as handle:
            traceback.print_exc(file=handle)
        raise ToolError(
            f"hls4ml stopped: {str(error) or type(error).__name__}",
            "a network that hls4ml takes",
            f"read the log {keep_log(log)}",
        ) from error
    return _describe(graph, network, output, config, io_type)


def _convert_graph(model: Any, network: Network, config: HlsConfig, folder: Path, io_type: str) -> Any:
    import hls4ml

    from codae_l1.hls.qactivation import register

    register()
    settings = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
    for name, layer in settings["LayerName"].items():
        layer["Trace"] = name != network.input_name
    settings["LayerName"][network.input_name]["Precision"]["result"] = _precision(network.input_word)
    for layer in network.layers:
        # hls4ml drops a linear QActivation, its rounding and clipping too, behind a layer of open precision.
        if layer.kind in ("conv", "dense", "average_pool", "add"):
            settings["LayerName"][layer.name]["Precision"]["result"] = _precision(layer.interval.word)
        # hls4ml makes ap_uint of a word without fraction bits, which neither rounds nor saturates.
        if layer.quantizer is not None:
            word = _precision(layer.quantizer.word, layer.quantizer.symmetric)
            settings["LayerName"][layer.name]["Precision"]["result"] = word
    graph = hls4ml.converters.convert_from_keras_model(
        model,
        hls_config=settings,
        backend="Vitis",
        io_type=io_type,
        part=config.part,
        clock_period=config.clock_period_ns,
        output_dir=str(folder),
        project_name=TOP,
        allow_da_fallback=False,
        # Weights inside the code: the library then needs no file beside it and can be moved.
        write_weights_txt=False,
    )
    graph.config.trace_output = True
    return graph


def _precision(word: WordType, symmetric: bool = False) -> str:
    """hls4ml's spelling of a word.

    >>> _precision(WordType(True, 2, 3, "RND_CONV", "SAT"))
    'fixed<6,3,RND_CONV,SAT>'
    """
    overflow = "SAT_SYM" if symmetric else word.overflow
    sign, integer = "" if word.keep_negative else "u", word.integer + word.keep_negative
    return f"{sign}fixed<{word.width},{integer},{word.rounding},{overflow}>"


def _describe(graph: Any, network: Network, output: WordType, config: HlsConfig, io_type: str) -> dict[str, Any]:
    import hls4ml

    layers, traced = [], {}
    for layer in graph.get_layers():
        variable = layer.get_output_variable()
        row = {"name": layer.name, "class": layer.class_name, "shape": [int(n) for n in variable.shape]}
        row["result"] = str(variable.type.precision)
        row |= {weight.name: str(weight.type.precision) for weight in layer.get_weights()}
        for key in ("strategy", "reuse_factor"):
            if layer.get_attr(key) is not None:
                row[key] = layer.get_attr(key)
        if layer.get_attr("accum_t") is not None:
            row["accum"] = str(layer.get_attr("accum_t").precision)
        layers.append(row)
        if layer.get_attr("function_cpp", None) and layer.get_attr("trace", False):
            traced[layer.name] = row["shape"]
    return {
        "tool": f"hls4ml {hls4ml.__version__}",
        "backend": "Vitis",
        "io_type": io_type,
        "part": config.part,
        "clock_period_ns": config.clock_period_ns,
        "input_shape": list(network.input_shape),
        "inputs": math.prod(network.input_shape),
        "outputs": math.prod(network.layers[-1].shape),
        "input_word": vars(network.input_word),
        "output_word": vars(output),
        "traced": traced,
        "layers": layers,
    }


def _compile(compiler: str, folder: Path, config: HlsConfig) -> None:
    log = folder / _LOG
    (folder / f"{TOP}_batch.cpp").write_text(_BATCH)
    flags = ["-O3", "-fPIC", "-std=c++17", "-w", "-Ifirmware/ap_types/", "-I."]

    def call(*arguments: str) -> None:
        with open(log, "a") as handle:
            print("+", compiler, *arguments, file=handle, flush=True)
            try:
                done = subprocess.run(
                    [compiler, *arguments], cwd=folder, stdout=handle, stderr=handle, timeout=config.tool_timeout_s
                )
                ending = f"ended with status {done.returncode}" if done.returncode else ""
            except subprocess.TimeoutExpired:
                ending = f"took longer than hls.tool_timeout_s = {config.tool_timeout_s:g}"
        if ending:
            raise ToolError(
                f"{compiler} {ending} on the hls4ml project: {tail(log)}",
                "a C++17 compiler",
                f"read the log {keep_log(log)}",
            )

    sources = (f"firmware/{TOP}.cpp", f"{TOP}_batch.cpp")
    with concurrent.futures.ThreadPoolExecutor(config.jobs) as pool:
        list(pool.map(lambda source: call(*flags, "-c", source, "-o", Path(source).stem + ".o"), sources))
    objects = [Path(source).stem + ".o" for source in sources]
    call("-shared", *objects, "-o", str(_LIBRARY))
    for name in objects:
        (folder / name).unlink(missing_ok=True)
    if not (folder / _LIBRARY).is_file():
        raise ToolError(f"{compiler} made no {_LIBRARY}", "a shared library", f"read the log {keep_log(log)}")
