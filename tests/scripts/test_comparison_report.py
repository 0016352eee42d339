"""Tables, page and figures of a comparison, from handmade numbers."""

import numpy as np
import pytest

from codae_l1.scripts.reports import comparison_figures
from codae_l1.scripts.reports.comparison_report import _cell, markdown, page
from codae_l1.scripts.studies.comparison import checks


def handmade() -> dict:
    """A comparison of three models with known numbers."""

    def row(model, score, learning, value, main=True, **more):
        found = {"value": value, "error": 0.01, "spread": 0.002, "values": [value, value]}
        by = {"h125": found, "svj3100": {**found, "spread": None}}
        missing = {"value": None, "reason": "too few"}
        record = {"model": model, "score": score, "learning": learning, "main": main, "seeds": [1, 2]}
        record |= {"parameters": 1234, "macs": 5000, "cpu_ms": 0.25, "how": "TF-Lite float16", "seconds": [60, 30]}
        numbers = {"auc": by, "fpr_at_tpr": by, "tpr_at_fpr": {"h125": found, "svj3100": missing}}
        curve = np.linspace(0, 1, 61).tolist()
        return {**record, **numbers, "roc": {"h125": curve, "svj3100": curve}, "rate": {**found, "value": 0.5}, **more}

    before = {s: {"value": 0.6, "error": 0.02, "spread": None} for s in ("h125", "svj3100")}
    classes = {"auc": {"value": 0.9496, "error": None, "spread": 0.01}}

    return {
        "command": "python scripts/compare.py --run runs/demo",
        "seeds": [1, 2],
        "background": "qcd",
        "events": {"what": "the run's test events", "background": 1728, "signals": {"h125": 300, "svj3100": 300}},
        "luminosity_cm2s": 2e34,
        "rows": [
            row("codae", "mse", "background", 0.766, untrained=before),
            row("codae", "z_norm", "background", 0.5, main=False),
            row("observables", "block_power", "none", 0.926, main=False, macs=0),
            row("bdt", "log_odds", "signals", 0.972, macs=0),
            row("firmware", "rtl", "background", 0.91, lut=6025, latency_ns=20.0),
        ],
        "checks": checks([row("cct_three_class", "signal", "signals", 0.9, classification=classes)]),
        "complexity_bias": {
            "h125": {name: {"value": 0.25, "error": 0.01} for name in ("from_background", "from_signal")},
            "svj3100": {"reason": "3 validation events"},
        },
        "stamp": {"commit": "abc", "time": "2026-11-22T09:00:00Z"},
    }


def test_the_tables_of_a_handmade_comparison():
    text = markdown(handmade())
    lines, paragraphs = text.splitlines(), text.split("\n\n")
    assert text.startswith(
        "Events: the run's test events: 1,728 QCD events; signals:\n300 h125, 300 svj3100.\nNumbers in %: "
    )
    assert lines[lines.index("## AUC") + 2 :][:8] == [
        "|  | learned from | h125 | svj3100 |",
        "|---|---:|---:|---:|",
        "| codae: mse | QCD | 76.6 ± 1.0 / 0.2 | 76.6 ± 1.0 |",
        "| codae: mse, untrained | nothing | 60.0 ± 2.0 | 60.0 ± 2.0 |",
        "| block_power | nothing | 92.6 ± 1.0 / 0.2 | 92.6 ± 1.0 |",
        "| bdt: log_odds (supervised) | QCD and signals: **supervised** | 97.2 ± 1.0 / 0.2 | 97.2 ± 1.0 |",
        "| firmware: rtl | QCD | 91.0 ± 1.0 / 0.2 | 91.0 ± 1.0 |",
        "",
    ]
    assert "| codae: mse | QCD | 76.6 ± 1.0 / 0.2 | - | 0.500 ± 0.010 / 0.002 |" in lines
    assert "No number: too few." in lines
    assert "Left out: svj3100, 3 validation events." in lines
    assert paragraphs[1].startswith("**Warning: 2 of at least 3 seeds;")
    assert "cct_three_class, AUC of its classes, mean over 2 seeds, above 0.95: 0.950, DOES NOT HOLD." in paragraphs[2]
    assert "| fitted to the signal, flags QCD | 25.0 ± 1.0 |" in lines
    assert "| firmware: rtl | 1,234 | 5,000 | 0.25 | TF-Lite float16 | 45 | 6,025 | 20 |" in lines
    assert lines[lines.index("## Further scores, AUC") + 4 :] == [
        "| codae: z_norm | QCD | 50.0 ± 1.0 / 0.2 | 50.0 ± 1.0 |"
    ]
    assert _cell({"value": 0.5, "error": None}, 1, 2) == "0.50"
    assert _cell({"value": 0.0, "error": 0.1, "limit": 0.0013}, 100, 2) == "< 0.13"
    assert _cell({"value": None, "reason": "few", "effective": 3.94}) == "[3.9]"


def test_the_page_names_command_commit_and_seeds():
    text = page(handmade(), {"a plot": "comparison-auc.svg"})
    assert "`python scripts/compare.py --run runs/demo`,\ncommit abc, seeds 1, 2, 2026-11-22." in text
    assert "Training and scoring took 4 minutes." in text
    assert "![a plot](comparison-auc.svg)" in text
    assert "(jets.md)" in text


def test_the_figures_show_every_row_once():
    content = handmade()
    figure = comparison_figures._auc_figure(content)
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()][::3] == ["codae: mse", "firmware: rtl"]
    assert panel.get_title(loc="left") == "SUEP 125 GeV"
    cost = comparison_figures._cost_figure(content)
    assert {t.get_text() for t in cost.axes[0].texts} == {"codae", "firmware, 6,025 LUT"}
    assert [t.get_text() for t in cost.legends[0].get_texts()] == ["block_power"]
    curves = comparison_figures._roc_figure(content).axes
    assert [panel.get_title(loc="left") for panel in curves] == ["SUEP 125 GeV", "SVJ 3.1 TeV"]
    assert len(curves[0].lines) == 4


@pytest.mark.parametrize("model", ["observables", "bdt", "codae", "firmware"])
def test_figures_of_one_system_alone_are_drawn(model):
    content = handmade()
    content["rows"] = [row for row in content["rows"] if row["model"] == model and (row["main"] or not row["macs"])]
    assert content["rows"]
    for _, draw in comparison_figures.FIGURES.values():
        draw(content).canvas.draw()


def test_a_page_of_zero_bias_does_not_speak_of_qcd():
    content = handmade() | {"background": "zero_bias"}
    text = page(content, {"AUC": "a.svg"})
    told = text[: text.index("## Complexity bias")]
    assert "1,728 zero-bias crossings; signals:" in told
    assert "zero bias and signals: **supervised**" in told
    assert "## TPR where 1 % of zero bias passes" in told
    assert "## TPR where 0.1 %" not in told
    # An example from jets, and a system's name.
    assert "QCD" not in told.replace("fails to tag QCD", "").replace("QCD above HT = 500 GeV", "")
    for row in content["rows"]:
        row["tpr_at_low_fpr"] = row["tpr_at_fpr"]
    assert "## TPR where 0.1 % of zero bias passes" in page(content, {"AUC": "a.svg"})
    curves = comparison_figures._roc_figure(content).axes
    assert curves[0].get_xlabel() == "FPR (zero bias)"
