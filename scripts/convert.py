"""Stage convert: the firmware f_m's hls4ml project and its C++ emulator, both compiled and compared with QKeras.

    python scripts/convert.py --run runs/demo

Reads quantize/f_m.npz and the test events. Writes convert/hls4ml/, convert/emulator/ and convert.json.
"""

import functools
from typing import TYPE_CHECKING, Any

from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


def work(run: "Run") -> dict[str, Any]:
    """Check that the network can fit the part, convert, compile, compare."""
    cli.import_tensorflow()
    import numpy as np

    from codae_l1.data.base.files import read_json
    from codae_l1.data.pooling import input_counts
    from codae_l1.hls.hls4ml.project import convert
    from codae_l1.hls.network.mismatch import adversarial_counts, compare
    from codae_l1.hls.network.records import firmware_network
    from codae_l1.hls.target.size import check_size
    from codae_l1.hls.trigger.emulator import Emulator, build_emulator
    from codae_l1.scripts.run.cli import Progress
    from codae_l1.scripts.run.events import read_each
    from codae_l1.scripts.run.executors import open_firmware

    firmware = open_firmware(run)
    forecast = check_size(firmware.config, run.config.hls)
    with Progress("convert") as progress:
        project = convert(firmware, run.config.hls, run.path("convert", "hls4ml"), progress)
    (network, word), folder = firmware_network(firmware), run.path("convert", "emulator")
    emulator = build_emulator(network, word, run.config.hls, folder, firmware.config.pooling)
    counts, _ = read_each(run, "test", functools.partial(input_counts, config=firmware.config.pooling))
    inputs = np.concatenate([counts, adversarial_counts(firmware.config, run.config.seed)])
    mismatches = [compare(firmware, executor, inputs) for executor in (project, Emulator(folder))]
    return {
        "summary": "; ".join(map(str, mismatches)),
        "forecast": forecast.as_dict(),
        "mismatch": mismatches[0].as_dict(),
        "emulator_mismatch": mismatches[1].as_dict(),
        "project": read_json(project.folder / "project.json"),
        "emulator": emulator.as_dict(),
    }


if __name__ == "__main__":
    stage.main("convert", work, __doc__)
