"""The executors of a run's firmware f_m: the same counts in, scores and integer words out.

float        the float twin of the firmware network (no words)
qkeras       the quantized Keras model
hls          hls4ml's bit-accurate C++ emulation
emulator     the C++ emulator that is exported for trigger emulations
interpreter  da4ml's integer interpreter of the traced network
rtl          the Verilog, simulated cycle by cycle
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.scripts.run import cli

if TYPE_CHECKING:
    from codae_l1.scripts.run.folder import RunFolder

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


def open_executor(run: "RunFolder", name: str) -> Any:
    """The executor of a finished run; it reopens what its stage made, nothing is converted again."""
    run.require(MADE_BY[name])
    if name in ("float", "qkeras"):
        cli.import_tensorflow()
    if name == "float":
        from codae_l1.quantization.f_m.float_model import FloatModel

        return FloatModel.load(run.path("quantize", "f_m_float.npz"))
    if name == "qkeras":
        from codae_l1.quantization.f_m.network import FirmwareModel

        return FirmwareModel.load(run.path("quantize", "f_m.npz"))
    if name == "hls":
        from codae_l1.hls.hls4ml.project import HlsProject

        return HlsProject(run.path("convert", "hls4ml"))
    if name == "emulator":
        from codae_l1.hls.trigger.emulator import Emulator

        return Emulator(run.path("convert", "emulator"))
    from codae_l1.hls.rtl.build import Interpreter, RtlSimulation

    return (Interpreter if name == "interpreter" else RtlSimulation)(
        run.path("synthesize", "rtl"), threads=run.config.hls.simulation_threads
    )


def score(run: "RunFolder", name: str, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Counts (N, 18, 15, inputs) int64 -> firmware_score (N,) float64 and firmware_word (N,) int64, None for float.

    Both are oriented: higher is more anomalous.
    """
    executor = open_executor(run, name)
    if name == "float":
        return executor.predict_scores(counts), None
    firmware = executor if name == "qkeras" else open_executor(run, "qkeras")
    words = executor.predict_words(counts)
    return firmware.firmware_score(words), firmware.firmware_word(words)
