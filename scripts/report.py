"""Stage report: report.json and the self-contained report.html, from the stages' JSON alone.

    python scripts/report.py --run runs/demo

Writes report/report.json, report/report.html, report/report.md and report.json in the run folder.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run import stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


TEMPLATE = Path(__file__).parent / "reports" / "report.html.j2"
# Columns of the AUC table: key in the JSON, title.
COLUMNS = (
    ("codae_mse", "full CoDAE, MSE"),
    ("teacher", "teacher score"),
    ("in_situ", "in situ QKeras"),
    ("float", "float f_m"),
    ("qkeras", "QKeras"),
    ("hls", "HLS"),
    ("rtl", "RTL"),
    ("n_tracks", "n_tracks"),
    ("active_pixels", "active pixels"),
    ("block_power", "block power"),
)
# Columns of the overflow counters: events, model.
OVERFLOWS = (("background", "qkeras"), ("all", "qkeras"), ("background", "float"), ("all", "float"))
# What the report shows of hls4ml's project.json, which the convert stage stores.
HLS_PROJECT = ("tool", "backend", "io_type", "pipeline_style", "layers", "differences")
# Keys of latency and interval, taken over from the synthesize stage.
TIMING = ("latency_ns", "latency_cycles", "interval_cycles", "latency_how", "interval_how")

# Parts of the trigger's section that figures show, and the report's JSON leaves out.
TRIGGER_CURVES = ("curves", "turn_on")


def work(run: "Run") -> dict[str, Any]:
    """Collect, judge, draw, write."""
    from codae_l1.data.base.files import whole_file, write_json

    stages = {name: run.read(name) for name in ("make_data", "train", "quantize", "convert", "synthesize", "evaluate")}
    report = _collect(run, stages)
    page = _render(run, report, stages)
    write_json(run.path("report", "report.json"), report)
    for name, text in (("report.html", page), ("report.md", _markdown(report))):
        with whole_file(run.path("report", name)) as temporary:
            temporary.write_text(text)
    return {"summary": str(run.path("report", "report.html")), **report}


def _collect(run: "Run", stages: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON: stable keys first (mismatches, resources, latency, part, trigger, auc), then the rest."""
    from codae_l1.data.base.config import dump
    from codae_l1.models.evaluation.roc import rate_khz
    from codae_l1.scripts.reports.verdict import verdict
    from codae_l1.scripts.run.folder import stamp

    synthesis, evaluation = stages["synthesize"], stages["evaluate"]
    report = {
        "mismatches": evaluation["mismatches"],
        "resources": synthesis["resources"],
        **{key: synthesis[key] for key in TIMING},
        "clock_period_ns": run.config.hls.clock_period_ns,
        "part": run.config.hls.part,
        **_trigger(evaluation),
        **_looks(evaluation),
        "auc": evaluation["auc"],
        "quantization_loss": evaluation["quantization_loss"],
        "tpr": evaluation["tpr"],
        "fprs": [{"fpr": f, "rate_if_all_crossings_khz": rate_khz(f)} for f in run.config.evaluation.fprs],
        "rates": evaluation["rates"],
        "numerics": evaluation["numerics"],
        "hls_project": {key: stages["convert"]["project"][key] for key in HLS_PROJECT},
        "estimates": synthesis["estimates"],
        "vendor": synthesis["vendor"],
        "further": run.rows(),
        "background": run.config.data.background,
        "events": {**stages["make_data"]["events"], **evaluation["events"]},
        # What a distance was learned from; None where the firmware learned from the full model.
        "distance": stages["quantize"]["distance"] if run.config.firmware.distance else None,
        **_training(stages["train"]),
        "parameters": {**stages["train"]["parameters"], "firmware": stages["quantize"]["parameters"]},
        "weights_made_on": _weights_made_on(stages["quantize"]["stamp"]),
        "stages": {name: stages[name]["stamp"] for name in stages},
        "stamp": stamp(run.config.seed),
        "config": dump(run.config),
    }
    report["verdict"] = verdict(report)
    return report


def _weights_made_on(stamp: dict[str, Any]) -> str:
    """Processor and mode of the stage that made the weights."""
    return stamp["machine"]["text"] if "machine" in stamp else "a processor that was not recorded"


def _training(train: dict[str, Any]) -> dict[str, Any]:
    """How the full model's training went; None, and where its weights come from, where they were imported."""
    if "history" not in train:
        return {"training": None, "imported": train["imported"]}
    return {"training": {key: train["history"][key] for key in ("best_validation_loss", "best_epoch")}}


def _trigger(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Rates on zero-bias crossings without the curves, which stay in evaluate.json; None, and why, where none are."""
    section = evaluation["trigger"]
    if section is None:
        return {"trigger": None, "trigger_reason": evaluation["trigger_reason"]}
    return {"trigger": {key: value for key, value in section.items() if key not in TRIGGER_CURVES}}


def _looks(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the distance looks at without its images, which stay in evaluate.json; None without one or crossings."""
    section = evaluation["looks"]
    shown = (
        {"groups": [{k: v for k, v in group.items() if k != "rows"} for group in section["groups"]]} if section else {}
    )
    return {"looks": {**section, **shown} if section else None}


def _columns(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Key and title of each score that the run has."""
    found = next(iter(report["auc"].values()))
    return [(key, title) for key, title in COLUMNS if key in found]


def _markdown(report: dict[str, Any]) -> str:
    """The AUC table and the costs in Markdown, with the commit and seed that made them."""
    from codae_l1.scripts.reports.looks import looks_lines

    resources, stamp, columns = report["resources"], report["stamp"], _columns(report)
    lines = [
        f"Seed {stamp['seed']}, commit {stamp['commit']}: {resources['LUT']:,} LUT, {resources['FF']:,} FF, "
        f"{resources['DSP']} DSP, {resources['BRAM_18K']} BRAM ({resources['tool']}, {resources['kind']}), "
        f"{report['latency_cycles']} cycles = {report['latency_ns']:g} ns at {report['clock_period_ns']:g} ns, "
        f"II = {report['interval_cycles']}; {sum(m['different'] for m in report['mismatches'].values())} mismatches in "
        f"{max(m['compared'] for m in report['mismatches'].values()):,} events. "
        f"Weights made on {report['weights_made_on']}.",
        "",
        "| AUC in % | " + " | ".join(title for _, title in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for signal, row in report["auc"].items():
        cells = (f"{100 * row[key]['value']:.1f} ± {100 * row[key]['error']:.1f}" for key, _ in columns)
        lines.append(f"| {signal} | " + " | ".join(cells) + " |")
    lines += [*_trigger_lines(report), *looks_lines(report["looks"])]
    events = report["numerics"]["events"]
    titles = " | overflows, ".join(_overflow_titles(report))
    lines += ["", f"| word | type | used bits | zeros in % | overflows, {titles} |"]
    lines.append("|---|---|---|---|" + "---|" * len(OVERFLOWS))
    for row in _overflow_rows(report):
        cells = (row["layer"], f"`{row['word']}`", f"{row['used_bits']} of {row['width']}", f"{100 * row['zeros']:.1f}")
        lines.append("| " + " | ".join((*cells, *(f"{n:,}" for n in row["overflows"]))) + " |")
    lines.append(
        f"\nOverflows: values saturated or wrapped, of {events[report['background']]:,} events of background and "
        f"{events['all']:,} test events."
    )
    return "\n".join(lines) + "\n"


def _trigger_lines(report: dict[str, Any]) -> list[str]:
    """Efficiency of each signal, and beyond the menu, at each point: a table in Markdown, or why there is none."""
    trigger = report["trigger"]
    if trigger is None:
        return ["", f"No trigger rates: {report['trigger_reason']}."]
    signals = list(next(iter(trigger["points"].values()))["menu"]["efficiency"])
    lines = ["", report["verdict"]["trigger"], ""]
    lines += ["| efficiency (beyond the menu) in % | rate, pure [kHz] | " + " | ".join(signals) + " |"]
    lines.append("|---|---|" + "---|" * len(signals))
    for point, rows in trigger["points"].items():
        for score, row in rows.items():
            if row["efficiency"] is None:
                lines.append(f"| {point}: {score} | not carried |" + " |" * len(signals))
                continue
            cells = (row["efficiency"][name] for name in signals)
            rates = ", ".join("-" if row[key] is None else _three(row[key]) for key in ("rate_khz", "pure_khz"))
            shown = (f"{100 * cell['value']:.0f} ({100 * cell['beyond_menu']:.0f})" for cell in cells)
            lines.append(f"| {point}: {score} | {rates} | " + " | ".join(shown) + " |")
    return lines


def _three(khz: float) -> str:
    """A rate to three digits.

    >>> _three(21.04), _three(273.4)
    ('21.0', '273')
    """
    return f"{khz:,.0f}" if khz >= 99.95 else f"{khz:#.3g}"


def _overflow_titles(report: dict[str, Any]) -> list[str]:
    """Titles of OVERFLOWS, which name the background: of QCD "QCD", "all", "QCD, float", "all, float"."""
    from codae_l1.scripts.reports.figures import TITLES

    named = {"background": TITLES[report["background"]]}
    return [named.get(events, events) + (", float" if model == "float" else "") for events, model in OVERFLOWS]


def _overflow_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """A row a layer: the QKeras model's record on all test events, and `overflows` in the order of OVERFLOWS."""
    rows, profiles = [], report["numerics"]["profiles"]
    profiles = profiles | {"background": profiles[report["background"]]}
    for i, row in enumerate(profiles["all"]["qkeras"]):
        records = [profiles[events][model][i] for events, model in OVERFLOWS]
        rows.append({**row, "overflows": [record["saturated"] + record["wrapped"] for record in records]})
    return rows


def _render(run: "Run", report: dict[str, Any], stages: dict[str, Any]) -> str:
    """The HTML page, figures inside."""
    import jinja2

    from codae_l1.hls.target.parts import part
    from codae_l1.scripts.reports import figures
    from codae_l1.scripts.reports.looks import looks_figure, looks_refusal, looks_tables

    evaluation = stages["evaluate"]
    drawn = {
        "roc": figures.roc_figure(
            evaluation["roc"], evaluation["events"]["test"][report["background"]], report["background"]
        ),
        "latent": figures.latent_figure(evaluation["latents"]),
        "scatter": figures.scatter_figure(stages["quantize"]["comparison"]["scatter"]),
        "gallery": figures.gallery_figure(evaluation["gallery"]),
    }
    if report["training"]:
        drawn["history"] = figures.history_figure(stages["train"]["history"])
    if evaluation["trigger"]:
        drawn["trigger"] = figures.trigger_figure(evaluation["trigger"])
    if evaluation["looks"]:
        drawn["looks"] = looks_figure(evaluation["looks"]["groups"])
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text())
    try:
        return template.render(
            name=run.folder.name,
            run_folder=str(run.folder),
            report=report,
            columns=_columns(report),
            overflows=_overflow_titles(report),
            words=_overflow_rows(report),
            titles=figures.TITLES,
            looks_tables=looks_tables(report["looks"]) if report["looks"] else [],
            looks_refusal=looks_refusal(report["looks"]) if report["looks"] else "",
            available=part(report["part"]).available,
            compared=max(m["compared"] for m in report["mismatches"].values()),
            different=sum(m["different"] for m in report["mismatches"].values()),
            figures={name: figures.to_html(figure) for name, figure in drawn.items()},
        )
    except jinja2.UndefinedError as error:
        raise InputError(
            f"a stage's JSON in {run.folder} without a value that the report shows ({error})",
            "all that the stages write",
            "make the stage again: remove its JSON and start run_chain.py with this run folder",
        ) from None


if __name__ == "__main__":
    stage.main("report", work, __doc__)
