"""Stage report: report.json and the self-contained report.html, from the stages' JSON alone.

Writes report/report.json, report/report.html, report/report.md and report.json in the run folder.
"""

from pathlib import Path
from typing import Any

from codae_l1.scripts import stage

TEMPLATE = Path(__file__).with_name("report.html.j2")
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
)
# Keys of latency and interval, taken over from the synthesize stage.
TIMING = ("latency_ns", "latency_cycles", "interval_cycles", "latency_how", "interval_how")


def work(run: Any) -> dict[str, Any]:
    """Collect, judge, draw, write."""
    from codae_l1.data.artifact import whole_file, write_json

    stages = {name: run.read(name) for name in ("make_data", "train", "quantize", "convert", "synthesize", "evaluate")}
    report = collect(run, stages)
    page = render(run, report, stages)
    write_json(run.path("report", "report.json"), report)
    for name, text in (("report.html", page), ("report.md", markdown(report))):
        with whole_file(run.path("report", name)) as temporary:
            temporary.write_text(text)
    return {"summary": str(run.path("report", "report.html")), **report}


def collect(run: Any, stages: dict[str, Any]) -> dict[str, Any]:
    """The report as JSON: stable keys first (mismatches, resources, latency, part, auc), then the rest."""
    from codae_l1.data.config import dump
    from codae_l1.models.evaluation import rate_khz
    from codae_l1.scripts.run_folder import stamp

    synthesis, evaluation = stages["synthesize"], stages["evaluate"]
    report = {
        "mismatches": evaluation["mismatches"],
        "resources": synthesis["resources"],
        **{key: synthesis[key] for key in TIMING},
        "clock_period_ns": run.config.hls.clock_period_ns,
        "part": run.config.hls.part,
        "auc": evaluation["auc"],
        "quantization_loss": evaluation["quantization_loss"],
        "tpr": evaluation["tpr"],
        "working_points": [{"fpr": f, "rate_khz": rate_khz(f)} for f in run.config.evaluation.fprs],
        "estimates": synthesis["estimates"],
        "vendor": synthesis["vendor"],
        "events": {**stages["make_data"]["events"], **evaluation["events"]},
        "training": {k: stages["train"]["history"][k] for k in ("best_validation_loss", "best_epoch")},
        "parameters": {**stages["train"]["parameters"], "firmware": stages["quantize"]["parameters"]},
        "stages": {name: stages[name]["stamp"] for name in stages},
        "stamp": stamp(run.config.seed),
        "config": dump(run.config),
    }
    report["verdict"] = verdict(report)
    return report


def verdict(report: dict[str, Any]) -> dict[str, Any]:
    """Each requirement with its limit and what was reached; `fits` where all hold."""
    from codae_l1.hls.parts import BUDGET, part

    resources, available = report["resources"], part(report["part"])
    how = f"{resources['tool']}, {resources['kind']}"
    different = sum(m["different"] for m in report["mismatches"].values())
    loss = max(row["value"] for row in report["quantization_loss"].values())
    below = [s for s, row in report["auc"].items() if row["rtl"]["value"] < row["active_pixels"]["value"] - 0.01]
    n = len(report["auc"])
    rows = [
        ("LUT", f"{BUDGET.lut:,}", f"{resources['LUT']:,}", resources["LUT"] <= BUDGET.lut, how),
        ("DSP", BUDGET.dsp, resources["DSP"], resources["DSP"] <= BUDGET.dsp, how),
        ("BRAM_18K", BUDGET.bram, resources["BRAM_18K"], resources["BRAM_18K"] <= BUDGET.bram, how),
        (
            "latency [ns]",
            f"{BUDGET.latency_ns:g}",
            f"{report['latency_ns']:g}",
            report["latency_ns"] <= BUDGET.latency_ns,
            f"{report['latency_cycles']} cycles, {report['latency_how']}; closing the clock needs place and route",
        ),
        (
            "initiation interval [cycles]",
            BUDGET.interval_cycles,
            report["interval_cycles"],
            report["interval_cycles"] <= BUDGET.interval_cycles,
            report["interval_how"],
        ),
        ("mismatches between executors", 0, different, different == 0, "words compared with =="),
        (
            "signals with RTL AUC >= active pixels - 0.01",
            f"{n} of {n}",
            f"{n - len(below)} of {n}",
            not below,
            "test events of this run" + (f"; below on {', '.join(below)}" if below else ""),
        ),
    ]
    checks = [dict(zip(("name", "limit", "value", "ok", "how"), row, strict=True)) for row in rows]
    missed = [check["name"] for check in checks if not check["ok"]]
    headline = "Fits the Level-1 budget, and sees at least what counting pixels sees."
    if missed:
        headline = f"Misses: {', '.join(missed)}."
    sentence = (
        f"The firmware f_m costs {resources['LUT']:,} LUT ({100 * resources['LUT'] / available.lut:.1f} % of "
        f"{report['part']}), {resources['DSP']} DSP and {resources['BRAM_18K']} BRAM, answers after "
        f"{report['latency_ns']:g} ns and takes a new event every {report['interval_cycles']} cycle(s); its words are "
        f"{'equal' if different == 0 else 'NOT equal'} in QKeras, HLS emulation and RTL; going from float to firmware "
        f"costs at most {100 * max(loss, 0):.2f} % AUC."
    )
    better = [s for s, row in report["auc"].items() if row["n_tracks"]["value"] > row["rtl"]["value"]]
    baseline = f"The number of tracks, which the image does not hold, is the better score on {', '.join(better)}."
    if not better:
        baseline = "The number of tracks is the better score on no signal."
    return {
        "fits": not missed,
        "baseline": baseline,
        "headline": headline,
        "sentence": sentence,
        "missed": missed,
        "checks": checks,
    }


def markdown(report: dict[str, Any]) -> str:
    """The AUC table and the costs in Markdown, with the commit and seed that made them."""
    resources, stamp = report["resources"], report["stamp"]
    lines = [
        f"Seed {stamp['seed']}, commit {stamp['commit']}: {resources['LUT']:,} LUT, {resources['FF']:,} FF, "
        f"{resources['DSP']} DSP, {resources['BRAM_18K']} BRAM ({resources['tool']}, {resources['kind']}), "
        f"{report['latency_cycles']} cycles = {report['latency_ns']:g} ns at {report['clock_period_ns']:g} ns, "
        f"II = {report['interval_cycles']}; {sum(m['different'] for m in report['mismatches'].values())} mismatches in "
        f"{max(m['compared'] for m in report['mismatches'].values()):,} events.",
        "",
        "| AUC in % | " + " | ".join(title for _, title in COLUMNS) + " |",
        "|---|" + "---|" * len(COLUMNS),
    ]
    for signal, row in report["auc"].items():
        cells = (f"{100 * row[key]['value']:.1f} ± {100 * row[key]['error']:.1f}" for key, _ in COLUMNS)
        lines.append(f"| {signal} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def render(run: Any, report: dict[str, Any], stages: dict[str, Any]) -> str:
    """The HTML page, figures inside."""
    import jinja2

    from codae_l1.hls.parts import part
    from codae_l1.scripts import figures

    evaluation = stages["evaluate"]
    drawn = {
        "roc": figures.roc_figure(evaluation["roc"]),
        "latent": figures.latent_figure(evaluation["latents"]),
        "scatter": figures.scatter_figure(stages["quantize"]["comparison"]["scatter"]),
        "history": figures.history_figure(stages["train"]["history"]),
        "gallery": figures.gallery_figure(evaluation["gallery"]),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text()).render(
        name=run.folder.name,
        run_folder=str(run.folder),
        report=report,
        columns=COLUMNS,
        titles=figures.TITLES,
        available=part(report["part"]).available,
        compared=max(m["compared"] for m in report["mismatches"].values()),
        different=sum(m["different"] for m in report["mismatches"].values()),
        figures={name: figures.to_html(figure) for name, figure in drawn.items()},
    )


if __name__ == "__main__":
    stage.main("report", work, __doc__)
