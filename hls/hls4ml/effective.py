"""The configuration that hls4ml actually uses for every layer, and a sentence for each difference from the request.

hls4ml changes reuse factors, strategies and the pipeline style without stopping. The emulation's words do not show it,
but the cycles and the resources of the synthesis do. It also changes result types and removes layers: an error here.
"""

from typing import Any

# Columns of the printed table: key of a row, title.
_COLUMNS = {
    "name": "layer",
    "class": "class",
    "strategy": "strategy",
    "reuse_factor": "reuse",
    "interval": "clocks",
    "result": "result",
    "weight": "weights",
    "bias": "bias",
    "accum": "accumulator",
}


def effective_table(project: dict[str, Any]) -> str:
    """project.json -> the effective configuration as plain text, the sentences below it."""
    rows = [list(_COLUMNS.values())]
    rows += [[str(row.get(key, "")) for key in _COLUMNS] for row in project["layers"]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    head = (
        f"{project['tool']}, {project['backend']}, {project['io_type']}, pipeline style {project['pipeline_style']}, "
    )
    head += f"{project['part']}, {project['clock_period_ns']:g} ns"
    if project.get("clock_uncertainty"):
        head += f" less {project['clock_uncertainty']} that hls4ml keeps as margin"
    return "\n".join([head, "", *lines, "", *(project["differences"] or ["hls4ml took all as asked."])])
