"""A small run that scores: the stages quantize, convert and synthesize on the shipped events, without a training."""

import numpy as np

from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import build_rtl
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import build_emulator
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder

CONFIG = FirmwareConfig(
    conv=(ConvConfig(2, (6, 5), (6, 5)),),
    precision={"output": LayerPrecision(weight_bits=5, output_bits=10, output_integer=5)},
)


def random_firmware(config: FirmwareConfig = CONFIG) -> FirmwareModel:
    """The firmware of the run, untrained, its weights so large that words overflow."""
    rng, model = np.random.default_rng(4), build_qkeras(config, seed=4)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    return FirmwareModel.rounded(model, config, sign=-1)


def make_scoring_run(folder, whole: bool = False, config: FirmwareConfig = CONFIG):
    """Write the run folder and give it; whole: with hls4ml's emulation and the simulated RTL, which are compiled."""
    firmware = random_firmware(config)
    network, word = firmware_network(firmware)
    with EventFile(SAMPLE) as file:
        checksum = file.checksum

    def quantize(run):
        firmware.save(run.path("quantize", "f_m.npz"))
        return {"summary": "made"}

    def convert(run):
        build_emulator(network, word, HlsConfig(), run.path("convert", "emulator"), config.pooling)
        if whole:
            from codae_l1.hls.hls4ml.project import convert as write_hls

            write_hls(firmware, HlsConfig(), run.path("convert", "hls4ml"))
        return {"summary": "made"}

    def synthesize(run):
        build_rtl(network, word, HlsConfig(), run.path("synthesize", "rtl"), simulate=whole)
        return {"summary": "made"}

    run = RunFolder(folder, RunConfig(firmware=config))
    run.do("make_data", lambda run: {"events": {"checksum": checksum}})
    run.do("train", lambda run: {"summary": "made"})
    for stage, work in {"quantize": quantize, "convert": convert, "synthesize": synthesize}.items():
        run.do(stage, work)
    return folder
