"""The hls4ml project of a QKeras model, for any backend, and its bit-accurate C++ emulation.

The folder (written whole or not at all) has hls4ml's project as a vendor tool takes it (build_prj.tcl, firmware/, ...),
emulation/libcodae_hls-*.so, the emulation; project.json, the effective configuration of every layer; hls4ml.log.
"""

import ctypes
import json
import math
import shutil
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.files import whole_folder
from codae_l1.data.base.logs import keep_log, output_to
from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType, exact_words
from codae_l1.hls.hls4ml import _qactivation, _square
from codae_l1.hls.hls4ml._compile import LOG, TOP, compile_emulation
from codae_l1.hls.hls4ml._qactivation import leaky_clip, leaky_word
from codae_l1.hls.hls4ml._rows import check_words, differences, layer_rows
from codae_l1.hls.hls4ml.backends import BACKENDS
from codae_l1.hls.hls4ml.check import check_project
from codae_l1.hls.layers import Activation, MaxPool, Square, Weighted
from codae_l1.hls.network.executor import HlsDesign
from codae_l1.hls.network.records import Network, firmware_network
from codae_l1.hls.target.compiler import find_compiler, load_library
from codae_l1.hls.target.config import HlsConfig

# Files of which each folder of a project has one, HLS or RTL.
MARKS = ("project.json", "design.json")
# Most weights that are written into the code of the emulation: a compiler takes minutes for a hundred thousand.
_EMBEDDED_WEIGHTS = 20_000


class HlsProject:
    """hls4ml's compiled emulation; `HlsProject(folder)` reopens what `convert` left there, however often."""

    name = "hls"

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.design = HlsDesign.read(self.folder / "project.json", "run the convert stage again")
        if self.design.not_compiled:
            raise InputError(
                f"{self.folder} was {self.design.not_compiled}", "a compiled project", "take another backend"
            )
        library = self.folder / self.design.library
        if not library.is_file():
            raise InputError(f"{library} does not exist", "a compiled hls4ml project", "run the convert stage first")
        self._library = load_library(library, "run the convert stage again", ["predict_batch"])
        pointer = np.ctypeslib.ndpointer(np.float64, flags="C_CONTIGUOUS")
        self._library.predict_batch.argtypes = [pointer, pointer, *[ctypes.c_size_t] * 3]
        self._library.predict_batch.restype = None
        if self.design.weights:
            weights = self.folder / self.design.weights
            if not any(weights.glob("*.txt")):
                raise InputError(f"{weights} holds no weights", "a whole hls4ml project", "convert it again")
            self._library.set_weights(str(weights.resolve()).encode())

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64; counts beyond the input word saturate."""
        return exact_words(self._predict(counts), self.design.output_word, self.name)

    def predict_layers(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Counts (N, ...) -> {layer name: values (N, *shape) float64} of the layers that hls4ml kept."""
        shapes = self.design.traced
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
        values = np.ascontiguousarray(self.design.saturated(counts), np.float64)
        values *= self.design.input_word.lsb
        out = np.zeros((len(values), self.design.outputs))
        self._library.predict_batch(values, out, len(values), self.design.inputs, self.design.outputs)
        return out


class _TraceData(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("data", ctypes.c_void_p))


def convert(firmware: Any, config: HlsConfig, folder: Path | str, progress: Progress | None = None) -> HlsProject:
    """FirmwareModel -> hls4ml project, compiled; what stood in the folder is replaced when all went well.

    Raises ToolError where there is no compiler or hls4ml or the compiler fails.
    """
    network, output = firmware_network(firmware)
    return convert_network(firmware.model, network, output, config, folder, progress)


def convert_network(
    model: Any,
    network: Network,
    output: WordType,
    config: HlsConfig,
    folder: Path | str,
    progress: Progress | None = None,
) -> HlsProject:
    """QKeras model and its records -> hls4ml project, compiled."""
    project = write_project(model, network, output, config, folder, progress)
    if project["not_compiled"]:
        raise InputError(
            f"hls.backend = {config.backend!r}: {project['not_compiled']}",
            "a backend whose emulation compiles",
            f"take {', '.join(name for name, row in BACKENDS.items() if not row.needs)}",
        )
    return HlsProject(folder)


def write_project(
    model: Any,
    network: Network,
    output: WordType,
    config: HlsConfig,
    folder: Path | str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the hls4ml project, compile its emulation where the backend can be; return project.json.

    not_compiled: why there is no emulation, empty where there is one.
    """
    say, backend, folder = progress or (lambda done, total, text: None), BACKENDS[config.backend], Path(folder)
    check_project(network, config)
    compiler = "" if backend.needs else find_compiler()
    with whole_folder(folder, MARKS) as temporary:
        say(0, 2, "converting the network with hls4ml")
        project = _write_project(model, network, output, config, temporary)
        _name_final_folder(temporary, folder)
        if backend.needs:
            project["not_compiled"] = f"written, not compiled: needs {backend.needs}"
        else:
            say(1, 2, f"compiling the emulation of {backend.name}")
            project["library"] = compile_emulation(compiler, temporary, backend, config)
        (temporary / "project.json").write_text(json.dumps(project, indent=1) + "\n")
        say(2, 2, "hls4ml project ready")
    return project


def _write_project(model: Any, network: Network, output: WordType, config: HlsConfig, folder: Path) -> dict[str, Any]:
    log = folder / LOG
    asked = _asked_words(network)
    try:
        with output_to(log), warnings.catch_warnings():
            # NumPy 2 warns of how hls4ml and Keras copy weights; neither is ours to change.
            warnings.simplefilter("ignore")
            graph, embed = _convert_graph(model, network, asked, config, folder)
            squared = _square.squares(graph)
            _square.include(squared)
            _write(graph, folder)
            if squared:
                utils = folder / BACKENDS[config.backend].source / "firmware" / "nnet_utils"
                _square.write_header(utils, config.backend, config.io_type)
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
    project = _describe(graph, network, output, config, embed)
    check_words(project["layers"], asked)
    return project


def _asked_words(network: Network) -> dict[str, str]:
    """Layer -> spelling of the word asked for its result.

    hls4ml drops a linear QActivation, its rounding and clipping too, behind a layer of open precision; and it makes
    ap_uint of a word without fraction bits, which neither rounds nor saturates.
    """
    asked = {network.input_name: _precision(network.input_word)}
    # The finest grid so far: the records of networks with branches do not say who reads whom.
    finest = network.input_word.fraction
    for layer in network.layers:
        quantizer = layer.quantizer if isinstance(layer, Activation) else None
        if layer.own_word:
            asked[layer.name] = _precision(layer.word, quantizer is not None and quantizer.symmetric)
        if quantizer is not None and quantizer.negative_slope:
            asked[leaky_clip(layer.name)] = _precision(leaky_word(quantizer.word, finest))
        finest = max(finest, layer.interval.word.fraction)
    return asked | _squared_words(network)


def _squared_words(network: Network) -> dict[str, str]:
    """Words of what only passes values on to a square, whose code needs exactly their bits; hls4ml takes wider ones."""
    asked, squared = {}, False
    for layer in reversed(network.layers):
        if isinstance(layer, Square) or layer.own_word:
            squared = isinstance(layer, Square)
        elif squared and layer.hls4ml_class is not None:
            asked[layer.name] = _precision(layer.word)
    return asked


def _convert_graph(
    model: Any, network: Network, asked: dict[str, str], config: HlsConfig, folder: Path
) -> tuple[Any, bool]:
    import hls4ml

    _qactivation.register()
    _square.register()
    weights = sum(layer.kernel.size for layer in network.layers if isinstance(layer, Weighted))
    embed = config.backend != "Catapult" and weights <= _EMBEDDED_WEIGHTS
    traced = config.io_type in BACKENDS[config.backend].traced
    settings = hls4ml.utils.config_from_keras_model(model, granularity="name", backend=config.backend)
    settings["Model"] |= {"Strategy": config.strategy, "ReuseFactor": config.reuse_factor}
    for name, layer in settings["LayerName"].items():
        layer["Trace"] = traced and name != network.input_name
        if name in asked:
            layer["Precision"]["result"] = asked[name]
    for layer in network.layers:
        own = settings["LayerName"].get(layer.name, {})
        if isinstance(layer, MaxPool) and config.backend == "Catapult":
            # Left open, it is the object of the layer before, whose word Catapult then widens together with it.
            own["Precision"]["accum"] = _precision(layer.word)
        if not isinstance(layer, Weighted):
            continue
        own["ReuseFactor"] = config.reuse(layer.name)
        # Libero's check of a layer's own strategy refuses every one; it takes the model's.
        own.pop("Strategy", None)
        if config.backend != "Libero":
            own["Strategy"] = config.strategy
        if layer.pixelwise:
            own["ParallelizationFactor"] = config.parallel_pixels or math.prod(layer.shape[:-1])
    graph = hls4ml.converters.convert_from_keras_model(
        model,
        hls_config=settings,
        backend=config.backend,
        output_dir=str(folder),
        project_name=TOP,
        allow_da_fallback=False,
        # Small weights inside the code: the library then needs no other file.
        **_conversion_arguments(config, embed),
    )
    graph.config.trace_output = traced
    return graph, embed


def _conversion_arguments(config: HlsConfig, embed: bool) -> dict[str, Any]:
    """Arguments of hls4ml's convert_from_keras_model that depend on the backend; embed: weights inside the code."""
    given: dict[str, Any] = {"part": config.part, "clock_period": config.clock_period_ns, "io_type": config.io_type}
    if config.backend in ("Vitis", "Vivado", "Libero"):
        given["write_weights_txt"] = not embed
    if config.backend == "Libero":
        found = shutil.which("shls")
        given["smarthls_path"] = Path(found).parent.parent if found else Path("SmartHLS")
    return given


def _write(graph: Any, folder: Path) -> None:
    try:
        graph.write()
    except FileNotFoundError as error:
        # The wheel of hls4ml 1.3.0 lacks Libero's build_lib.sh, which only compiles; all else is written before it.
        if not str(error.filename).endswith("templates/libero/build_lib.sh"):
            raise
        writer = graph.config.backend.writer
        writer.write_nnet_utils(graph)
        writer.write_generated_code(graph)
        writer.write_yml(graph)
    # Catapult's writer always packs the project next to its folder.
    Path(f"{folder}.tar.gz").unlink(missing_ok=True)


def _name_final_folder(temporary: Path, folder: Path) -> None:
    """hls4ml writes the path of the project into some of its files: make it the one that the project will have."""
    before, after = str(temporary).encode(), str(folder.resolve()).encode()
    for path in temporary.rglob("*"):
        if path.suffix in (".yml", ".cpp", ".tcl", ".sh", ".compile") and before in (content := path.read_bytes()):
            path.write_bytes(content.replace(before, after))


def _precision(word: WordType, symmetric: bool = False) -> str:
    """hls4ml's spelling of a word.

    >>> _precision(WordType(True, 2, 3, "RND_CONV", "SAT"))
    'fixed<6,3,RND_CONV,SAT>'
    """
    overflow = "SAT_SYM" if symmetric else word.overflow
    sign, integer = "" if word.keep_negative else "u", word.integer + word.keep_negative
    return f"{sign}fixed<{word.width},{integer},{word.rounding},{overflow}>"


def _describe(graph: Any, network: Network, output: WordType, config: HlsConfig, embed: bool) -> dict[str, Any]:
    import hls4ml

    rows, backend = layer_rows(graph, config), BACKENDS[config.backend]
    shown = config.io_type in backend.traced
    traced = {layer.name for layer in graph.get_layers() if shown and layer.get_attr("function_cpp", None)}
    style = str(graph.config.pipeline_style)
    project = {
        "tool": f"hls4ml {hls4ml.__version__}",
        "backend": config.backend,
        "io_type": config.io_type,
        "asked": {
            "strategy": config.strategy,
            "reuse_factor": {
                layer.name: config.reuse(layer.name) for layer in network.layers if isinstance(layer, Weighted)
            },
            "parallel_pixels": config.parallel_pixels,
        },
        "pipeline_style": style,
        "part": config.part,
        "clock_period_ns": config.clock_period_ns,
        # Share of the period that the vendor's scheduler does not use; hls4ml's default, where the backend has one.
        "clock_uncertainty": graph.config.get_config_value("ClockUncertainty", ""),
        "input_shape": list(network.input_shape),
        "inputs": math.prod(network.input_shape),
        "outputs": math.prod(network.layers[-1].shape),
        "input_word": vars(network.input_word),
        "output_word": vars(output),
        "sign": network.sign,
        "component": network.component,
        "traced": {row["name"]: row["shape"] for row in rows if row["name"] in traced},
        "layers": rows,
        "differences": differences(rows, style, config),
        "not_compiled": "",
    }
    return project if embed or backend.needs else project | {"weights": "firmware/weights"}
