"""The executors of a run's trigger network: the same counts in, scores and integer words out.

float        the float model of the same topology (no words)
qkeras       the quantized Keras model
hls          hls4ml's bit-accurate C++ emulation
emulator     the C++ emulator that is exported for trigger emulations
interpreter  da4ml's integer interpreter of the traced network
rtl          the Verilog, simulated cycle by cycle

Only float and qkeras import TensorFlow.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import parse_table, read_arrays
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import EventImages
from codae_l1.hls.network.executor import EmulatorDesign, Executor, HlsDesign, score_words
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word, output_word
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.folder import RunFolder

if TYPE_CHECKING:
    from codae_l1.quantization.f_m.float_model import FloatModel
    from codae_l1.quantization.f_m.network import FirmwareModel

# Executors that give integer words, the reference first.
INTEGER_EXECUTORS = ("qkeras", "hls", "emulator", "interpreter", "rtl")
EXECUTORS = ("float", *INTEGER_EXECUTORS)
# Stage that makes an executor.
MADE_BY = {
    "float": "quantize",
    "qkeras": "quantize",
    "hls": "convert",
    "emulator": "convert",
    "interpreter": "synthesize",
    "rtl": "synthesize",
}
_AGAIN = "run the convert stage again"


@dataclass(frozen=True)
class Trained:
    """What scoring needs of the trained network: score word = sign * output word[component].

    config: with the word sizes that calibration chose.
    """

    config: FirmwareConfig
    sign: int
    component: int

    @classmethod
    def read(cls, run: RunFolder) -> "Trained":
        """What quantize/f_m.npz says of itself; reads no weights and imports no TensorFlow."""
        path = run.path("quantize", "f_m.npz")
        expected, remedy = "a trained trigger network", "run the quantize stage"
        meta = read_arrays(path, expected, remedy, ("meta",))["meta"]
        record = parse_table(str(meta), f"the record of {path}", ("config", "sign", "component"), remedy)
        config = FirmwareConfig.stored(record["config"])
        return cls(config, *config.check_score(record["sign"], record["component"]))

    def score_words(self, words: np.ndarray) -> np.ndarray:
        """Output words (N, outputs) -> score words (N,) int64, higher is more anomalous."""
        return score_words(words, self.sign, self.component)

    def scores(self, words: np.ndarray) -> np.ndarray:
        """Output words (N, outputs) -> scores (N,) float64 in units of the training target."""
        return self.score_words(words) * output_word(self.config).lsb


class _FloatModel(Protocol):
    def predict_scores(self, counts: np.ndarray) -> np.ndarray: ...


class RunExecutor:
    """One executor of a run, ready for events; `Run.executor` makes it.

    Events are given as EventImages, as images (N, 72, 58, 3) of energies in GeV, or as pooled counts (N, phi, eta,
    inputs) of integers. Anything else raises InputError.
    """

    def __init__(self, name: str, opened: Executor | _FloatModel, trained: Trained):
        self.name, self.trained, self._opened = name, trained, opened

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, phi, eta, inputs) integers -> output words (N, outputs) int64; larger counts saturate."""
        return self._integer.predict_words(counts)

    def words(self, events: EventImages | np.ndarray) -> np.ndarray:
        """Events -> output words (N, outputs) int64."""
        return self.predict_words(counts_of(events, self.trained.config))

    def score_words(self, events: EventImages | np.ndarray) -> np.ndarray:
        """Events -> score words (N,) int64, higher is more anomalous."""
        return self.trained.score_words(self.words(events))

    def scores(self, events: EventImages | np.ndarray) -> np.ndarray:
        """Events -> scores (N,) float64, higher is more anomalous; equal bits for all integer executors."""
        counts = counts_of(events, self.trained.config)
        if self.name == "float":
            return self._opened.predict_scores(counts)  # type: ignore[union-attr]
        return self.trained.scores(self.predict_words(counts))

    @property
    def _integer(self) -> Executor:
        if self.name == "float":
            raise InputError(
                "the executor float, which has no words", f"one of {', '.join(INTEGER_EXECUTORS)}", "ask for its scores"
            )
        return self._opened  # type: ignore[return-value]


def counts_of(events: EventImages | np.ndarray, firmware: FirmwareConfig) -> np.ndarray:
    """EventImages, images in GeV (N, 72, 58, 3) or pooled counts (N, phi, eta, inputs) -> counts, integers."""
    from codae_l1.data.pooling import input_counts

    array = events.images if isinstance(events, EventImages) else WordType.array(events, "events")
    expected = (
        f"EventImages, energies in GeV (N, {', '.join(map(str, IMAGE_SHAPE))}) as floats, or counts "
        f"(N, {', '.join(map(str, firmware.input_shape))}) as integers"
    )
    if array.dtype.kind in "iu" and array.shape[1:] == firmware.input_shape:
        return input_word(firmware).check(array, firmware.input_shape, "counts")
    if array.dtype.kind != "f" or array.shape[1:] != IMAGE_SHAPE:
        raise InputError(f"an array of shape {array.shape}, {array.dtype}", expected, "give one of these")
    return input_counts(array, firmware.pooling)


def open_executor(run: RunFolder, name: str) -> Executor:
    """An integer executor of a finished run; it reopens what its stage made, nothing is converted again."""
    run.require(MADE_BY[name])
    if name == "qkeras":
        return open_firmware(run)
    if name == "hls":
        from codae_l1.hls.hls4ml.project import HlsProject

        folder = run.path("convert", "hls4ml")
        run.library("convert", folder / HlsDesign.read(folder / "project.json", _AGAIN).library)
        return HlsProject(folder)
    if name == "emulator":
        from codae_l1.hls.trigger.emulator import Emulator

        folder = run.path("convert", "emulator")
        run.library("convert", folder / EmulatorDesign.read(folder / "emulator.json", _AGAIN).library)
        return Emulator(folder)
    from codae_l1.hls.rtl.build import Interpreter, RtlSimulation
    from codae_l1.hls.rtl.verilator import SIMULATION_LIBRARY

    folder, threads = run.path("synthesize", "rtl"), run.config.hls.jobs
    if name == "interpreter":
        return Interpreter(folder, threads)
    run.library("synthesize", folder / SIMULATION_LIBRARY)
    return RtlSimulation(folder, threads, run.config.hls)


def open_firmware(run: RunFolder) -> "FirmwareModel":
    """The quantized Keras model of a run whose stage quantize is done."""
    run.require("quantize")
    cli.import_tensorflow()
    from codae_l1.quantization.f_m.network import FirmwareModel

    return FirmwareModel.load(run.path("quantize", "f_m.npz"))


def open_float(run: RunFolder) -> "FloatModel":
    """The float model of the trigger network of a run whose stage quantize is done."""
    run.require("quantize")
    cli.import_tensorflow()
    from codae_l1.quantization.f_m.float_model import FloatModel

    return FloatModel.load(run.path("quantize", "f_m_float.npz"))
