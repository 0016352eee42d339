"""What the trigger wrapper adds to the network's pipeline: LUT and FF by Yosys, as `codae_l1.hls.cost.synthesis` maps.

One row of cells is mapped separately and counted as often as it occurs in the wrapper; the rest is mapped with this row
and the pipeline as black boxes. The sum with the pipeline's own report is therefore the whole.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from codae_l1.data.base.files import scratch_folder, writing
from codae_l1.hls.cost.synthesis import black_box, count_resources, map_module
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger._wrapper import TriggerRtl


def wrapper_resources(folder: Path, trigger: TriggerRtl, config: HlsConfig) -> dict[str, Any]:
    """Map the wrapper's Verilog in a folder that holds the pipeline's, too.

    Returns {"pooling", "control", "wrapper"}, each as `count_resources` counts (LUT, FF ...), with tool and how.
    Raises ToolError where Yosys fails or takes longer than config.tool_timeout_s.
    """
    top = trigger.namespace
    pool, cell = folder / f"{top}_pool.v", folder / f"{top}_cell.v"
    rows = trigger.pooling.shape[0] // trigger.slices
    with scratch_folder() as scratch, writing(scratch):
        boxes = Path(scratch) / "black_boxes.v"
        boxes.write_text("\n".join(black_box(path) for path in (pool, folder / f"{top}_wrapper.v")))
        jobs = {f"{top}_pool": [pool, cell], f"{top}_trigger": [folder / f"{top}_trigger.v", boxes]}
        mapped = [map_module(name, files, Path(scratch), Path(scratch), config) for name, files in jobs.items()]
    row, control = (Counter(found["cells"]) for found in mapped)
    pooling = Counter({cell: rows * number for cell, number in row.items()})
    return {
        "pooling": count_resources(dict(pooling)),
        "control": count_resources(dict(control)),
        "wrapper": count_resources(dict(pooling + control)),
        "tool": " ".join(mapped[0]["creator"].split()[:2]),
        "kind": "synthesis",
        "how": f"pooling: {rows} rows of cells; control: registers of towers and slices, thresholds, handshake. To be "
        "added to the network's own resources",
    }
