"""What hls4ml took for each layer, and a sentence wherever it is not what was asked."""

from typing import Any

from codae_l1.data.base.errors import ToolError
from codae_l1.hls.target.config import HlsConfig

# Backends whose convolutions compute some pixels at once and the rest after them.
_SPLITTING = ("Vitis", "Vivado", "Catapult")


def layer_rows(graph: Any, config: HlsConfig) -> list[dict[str, Any]]:
    """hls4ml's ModelGraph -> one JSON-ready row per layer.

    result, weight, bias, accum: number types. strategy, reuse_factor: of layers with weights. interval: clocks that a
    layer is busy with one event at least, reuse factor x pixels that come one after the other; only in io_parallel and
    of backends that split a convolution so.
    """
    rows, counted = [], config.io_type == "io_parallel" and config.backend in _SPLITTING
    for layer in graph.get_layers():
        variable = layer.get_output_variable()
        row = {"name": layer.name, "class": layer.class_name, "shape": [int(n) for n in variable.shape]}
        row["result"] = str(variable.type.precision)
        row |= {name: str(weight.type.precision) for name, weight in layer.weights.items()}
        # In distributed arithmetic the weights are adders, and no longer listed.
        multiplies = layer.class_name.endswith(("Conv2D", "Dense"))
        if multiplies:
            row |= {key: layer.get_attr(key) for key in ("strategy", "reuse_factor")}
        if multiplies and counted:
            row["interval"] = int(layer.get_attr("n_partitions", 1)) * int(row.get("reuse_factor", 1))
        if layer.get_attr("accum_t") is not None:
            row["accum"] = str(layer.get_attr("accum_t").precision)
        rows.append(row)
    return rows


def check_words(rows: list[dict[str, Any]], asked: dict[str, str]) -> None:
    """Raise ToolError where hls4ml took another word for a layer's result than asked, or removed the layer.

    asked: layer -> spelling of its result word.
    """
    taken = {row["name"]: row["result"] for row in rows}
    for name, word in asked.items():
        if name not in taken or not _same_word(taken[name], word):
            took = f"took {taken[name]}" if name in taken else "removed the layer"
            raise ToolError(
                f"layer {name}: asked for words {word}, hls4ml {took}",
                "the words that were asked, or results would differ",
                "take another backend, or a network without such a layer",
            )


def differences(rows: list[dict[str, Any]], pipeline: str, config: HlsConfig) -> list[str]:
    """A sentence for each thing that hls4ml took otherwise than asked; pipeline: the project's pipeline style."""
    found = []
    for row in (row for row in rows if "strategy" in row):
        if row["strategy"] != config.strategy:
            found.append(f"{row['name']}: asked for strategy {config.strategy}, hls4ml took {row['strategy']}.")
        if row["reuse_factor"] != config.reuse(row["name"]):
            wanted = config.reuse(row["name"])
            found.append(f"{row['name']}: asked for reuse factor {wanted}, hls4ml took {row['reuse_factor']}.")
    slow = [row for row in rows if row.get("interval", 1) > row.get("reuse_factor", 1)]
    if slow:
        row = max(slow, key=lambda row: row["interval"])
        found.append(
            f"pipeline style {pipeline}: {row['name']} computes {config.parallel_pixels} of its pixels at once, so "
            f"events may follow each other every {row['interval']} clocks at best; parallel_pixels = 0 computes all."
        )
    return found


def _same_word(taken: str, asked: str) -> bool:
    """Whether two spellings mean one word: modes that are left out are TRN, WRAP and no saturation bits.

    >>> _same_word("fixed<6,3,TRN,WRAP,0>", "fixed<6,3>"), _same_word("ufixed<6,3,TRN,SAT,0>", "fixed<6,3,TRN,SAT>")
    (True, False)
    """
    return _parts(taken) == _parts(asked)


def _parts(word: str) -> tuple[str, ...]:
    kind, _, inside = word.rstrip(">").partition("<")
    numbers = inside.split(",")
    if kind in ("int", "uint"):
        kind, numbers = kind.replace("int", "fixed"), [numbers[0], numbers[0]]
    return kind, *numbers[:2], *(numbers[2:4] or ["TRN", "WRAP"])
