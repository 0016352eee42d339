"""What a scan says: scan.json with every trial, scan.md with the table, pareto.svg, and the winners as configs."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.config import dump
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.hls.cost.lut_model import METHODS, calibration_of
from codae_l1.quantization.search import design
from codae_l1.scripts.reports.figures import pareto_figure, save_svg
from codae_l1.scripts.run.folder import stamp
from codae_l1.scripts.studies.scan_data import ScanData
from codae_l1.scripts.studies.scan_results import baselines, loss, summary

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


def write_report(run: "Run", data: Path, trials: list[dict[str, Any]], finals: list[dict[str, Any]]) -> str:
    """Write everything to scan/; return the table and where the files are."""
    rows = [summary(final) for final in finals if any("merit" in r for r in final["results"])]
    if not rows:
        on_front = {final["number"] for final in finals}
        extra = {"yosys": False, "merit_spread": None}
        rows = [{**t, **extra, "loss": loss([t])} for t in trials if t["number"] in on_front]
    # The search ordered them by estimates.
    rows.sort(key=lambda row: row["lut"])
    winners, config = _choose(run, rows), run.config.scan
    measure = "AUC"
    if crossings := config.space.on_crossings:
        measure = f"efficiency at {run.config.trigger.points[0]} of zero bias, {', '.join(config.signals)}"
    trained = next((t for t in trials if t["state"] == "trained"), {"baselines": {}})
    content = {
        "measure": measure,
        "baselines": trained["baselines"] if crossings else baselines(run, ScanData(data)),
        "front": rows,
        "winners": {str(budget): row["number"] for budget, row in winners.items()},
        "trials": [_portable(t) for t in trials],
        "finals": [{**final, "results": [_portable(r) for r in final["results"]]} for final in finals],
        "estimates": {m: dict(zip(("a", "b", "sigma"), calibration_of(m), strict=True)) for m in METHODS},
        "config": dump(run.config),
        "stamp": stamp(run.config.seed),
    }
    folder = run.path("scan")
    write_json(folder / "scan.json", content)
    text = _markdown(content)
    _write_text(folder / "scan.md", text)
    save_svg(pareto_figure(content), folder / "pareto.svg")
    for budget, row in winners.items():
        _write_text(folder / f"best_{budget}.toml", _winner_toml(run, budget, row, measure))
    return f"{text}\n{folder}: scan.json, scan.md, pareto.svg" + "".join(f", best_{b}.toml" for b in winners)


def _choose(run: "Run", rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """For each LUT budget the design of the highest merit within it, the latency and the loss allowed; none in situ."""
    config, winners = run.config.scan, {}
    for budget in config.lut_budgets:
        fitting = [r for r in rows if r["lut"] <= budget and r["latency_ns"] <= config.max_latency_ns]
        fitting = [r for r in fitting if r["choices"]["training"] != "in situ" and r["loss"] <= config.max_loss]
        if fitting:
            winners[budget] = max(fitting, key=lambda r: r["merit_mean"])
    return winners


def _describe(choices: dict[str, Any]) -> str:
    """A design in a few words.

    >>> _describe({"training": "distilled", "scores": {"mse": 1.0}, "inputs": ["tracks"], "pool": 4, "count_bits": 5,
    ...     "tied": True, "sparsity": 0.25, "convs": 1, "dense": 0, "conv1.filters": 4, "conv1.kernel": 3,
    ...     "conv1.weight_bits": 6, "conv1.word_bits": 7, "output.weight_bits": 5})
    'tracks, pool 4, 5 bits; conv 4 x 3x3/3 w6 o7; out w5; tied; 25 % pruned; mse'
    """
    parts = [f"{' + '.join(choices['inputs'])}, pool {choices['pool']}, {choices['count_bits']} bits"]
    if choices["training"] == "zero_bias":
        parts.append(f"windows {' x '.join(map(str, choices['windows']))}")
        parts += [f"auto-encoder of {choices['dense']}"] if choices["dense"] else []
        return "; ".join([*parts, f"squared w{choices['weight_bits']} o{choices['word_bits']}"])
    for i in range(choices["convs"]):
        name = f"conv{i + 1}"
        side = choices[f"{name}.kernel"]
        bits = f"w{choices[f'{name}.weight_bits']} o{choices[f'{name}.word_bits']}"
        parts.append(f"conv {choices[f'{name}.filters']} x {side}x{side}/{side} {bits}")
    if choices["dense"]:
        parts.append(f"dense {choices['dense']} w{choices['dense1.weight_bits']} o{choices['dense1.word_bits']}")
    parts.append(f"out w{choices['output.weight_bits']}")
    parts += ["tied"] if choices["tied"] else []
    parts += [f"{choices['sparsity']:.0%} pruned".replace("%", " %")] if choices["sparsity"] else []
    scores = " + ".join(name if w == 1 else f"{w:g} {name}" for name, w in choices["scores"].items())
    parts.append("in situ" if choices["training"] == "in situ" else scores)
    parts += ["given energies"] if choices.get("given_energies") else []
    return "; ".join(parts)


def _markdown(content: dict[str, Any]) -> str:
    """The table: baselines, then the front, cheapest first; merits in %."""
    rows = [row for row in (*content["baselines"].values(), *content["front"]) if "merit" in row]
    signals = list(rows[0]["merit"]) if rows else []
    # What crossings add to the menu is a column where there is such a rate.
    pure = any("pure_khz" in row for row in content["front"])
    heads = ["", "design", "LUT", "FF", "latency [ns]", *["pure [kHz]"] * pure, f"mean {content['measure']}", "loss"]
    heads += signals
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * (len(heads) - 2)]
    for name, row in content["baselines"].items():
        if "merit" not in row:
            lines.append("| " + " | ".join(["", f"{name}: not carried", *[""] * (len(heads) - 2)]) + " |")
            continue
        rate = [f"{row['pure_khz']:.1f}" if row["pure_khz"] is not None else ""] if pure else []
        values = [_percent(row["merit"][s]["value"], row["merit"][s]["error"]) for s in signals]
        lines.append(
            "| " + " | ".join(["", name, "", "", "", *rate, f"{100 * row['merit_mean']:.2f}", "", *values]) + " |"
        )
    won: dict[int, list[str]] = {}
    for budget, number in content["winners"].items():
        won.setdefault(number, []).append(f"{int(budget):,}")
    for row in content["front"]:
        mark = f"**#{row['number']}** best of {', '.join(won[row['number']])}" if row["number"] in won else ""
        values = [_percent(row["merit"][s]["value"], row["merit"][s]["error"]) for s in signals]
        cells = [mark or f"#{row['number']}", _describe(row["choices"]), f"{row['lut']:,.0f}", f"{row['ff']:,}"]
        rate = [f"{row['pure_khz']:.1f}"] if pure else []
        cells += [f"{row['latency_ns']:g}", *rate, _percent(row["merit_mean"], row["merit_spread"], 2)]
        cells.append(f"{100 * row['loss']:.2f}" if "loss" in row else "")
        lines.append("| " + " | ".join([*cells, *values]) + " |")
    return "\n".join(lines) + "\n" + _notes(content)


def _notes(content: dict[str, Any]) -> str:
    states = [t["state"] for t in content["trials"]]
    config, rows = content["config"], content["front"]
    seeds = rows[0].get("seeds", 1) if rows else 1
    how = "Yosys" if rows and rows[0]["yosys"] else "estimated from da4ml's cost (FF: its register bits)"
    return (
        f"\n{states.count('trained')} designs trained, {states.count('rejected')} refused before training or without "
        f"a result, {states.count('repeated')} asked for again. LUT and FF: {how}; latency: da4ml's stages x "
        f"{config['hls']['clock_period_ns']:g} ns. Mean: {content['measure']}. In % of validation events, chosen on "
        f"them: mean over {seeds} seed(s), error of the events; error of the mean: spread over seeds; loss: the "
        "largest loss of the words against their float twin on a signal (winners: at most "
        f"{100 * config['scan']['max_loss']:g}). Firmware rows are integer words. Seed {config['seed']}, commit "
        f"{content['stamp']['commit']}.\n"
    )


def _winner_toml(run: "Run", budget: int, row: dict[str, Any], measure: str) -> str:
    """The run's config with the design in it, as run_chain.py reads it."""
    firmware, distill = design(row["choices"], run.config.distill)
    table = dump(dataclasses.replace(run.config, firmware=firmware, distill=distill))
    table.pop("scan")
    head = (
        f"# Design #{row['number']} of the scan in {run.folder}: the best within {budget:,} LUT.\n"
        f"#   {_describe(row['choices'])}\n"
        f"#   {row['lut']:,.0f} LUT, {row['latency_ns']:g} ns; mean {measure}, on validation events:\n"
        f"#   {100 * row['merit_mean']:.2f} %\n"
    )
    return head + _to_toml(table)


def _to_toml(table: dict[str, Any]) -> str:
    """A config as TOML: one table a section, what lies deeper inline.

    >>> print(_to_toml({"seed": 1, "hls": {"part": "a", "sizes": [1, 2], "deep": {"x": True}}}))
    seed = 1
    <BLANKLINE>
    [hls]
    part = "a"
    sizes = [1, 2]
    deep = { x = true }
    <BLANKLINE>
    """
    plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
    sections = {k: v for k, v in table.items() if isinstance(v, dict)}
    lines = [f"{key} = {_inline(value)}" for key, value in plain.items()]
    for name, section in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {_inline(value)}" for key, value in section.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_inline(v)}" for key, v in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(v) for v in value) + "]"
    # Strings, numbers and booleans are written as in JSON.
    return json.dumps(value)


def _portable(record: dict[str, Any]) -> dict[str, Any]:
    """A record without the full model's path, which is another on each machine."""
    request = {key: value for key, value in record.get("request", {}).items() if key != "codae"}
    return {**record, "request": request} if request else record


def _percent(value: float, error: float | None, digits: int = 1) -> str:
    text = f"{100 * value:.{digits}f}"
    return text if error is None else f"{text} ± {100 * error:.{digits}f}"


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text)
