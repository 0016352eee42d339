"""Stage convert: the hls4ml project of the firmware f_m and its compiled emulation, compared with QKeras word by word.

Reads quantize/f_m.npz and the test events. Writes convert/hls4ml/ and convert.json.
"""

from typing import Any

from codae_l1.scripts import stage


def work(run: Any) -> dict[str, Any]:
    """Check that the network can fit the part, convert, compile, compare."""
    import numpy as np

    from codae_l1.data.pooling import PoolingConfig, active_counts
    from codae_l1.hls.hls4ml_project import convert
    from codae_l1.hls.mismatch import adversarial_counts, compare
    from codae_l1.hls.preflight import check_size
    from codae_l1.scripts.cli import Progress
    from codae_l1.scripts.dataset import read_split
    from codae_l1.scripts.executors import open_executor

    firmware = open_executor(run, "qkeras")
    forecast = check_size(firmware.config, run.config.hls)
    with Progress("convert") as progress:
        project = convert(firmware, run.config.hls, run.path("convert", "hls4ml"), progress)
    counts = active_counts(read_split(run, "test").images, PoolingConfig(run.config.firmware.pool))
    mismatch = compare(
        firmware, project, np.concatenate([counts, adversarial_counts(firmware.config, run.config.seed)])
    )
    return {
        "summary": str(mismatch),
        "forecast": forecast.as_dict(),
        "mismatch": mismatch.as_dict(),
        "project": project.design,
    }


if __name__ == "__main__":
    stage.main("convert", work, __doc__)
