"""The report's section on what a distance looks at: its tables, its images, and its words."""

import jinja2

from codae_l1.scripts.report import TEMPLATE, _looks
from codae_l1.scripts.reports.looks import looks_figure, looks_lines, looks_refusal, looks_tables

HIGH = {"crossing": 7, "score": 15.992, "pt_hat_gev": [300.0, None], "jet_ht_gev": None, "scalar_pt_gev": 1513.1}
HIGH |= {
    "saturated": True,
    "active_pixels": 175,
    "menu": True,
    "weight": 0.00061,
    "inputs": ["tracks"],
    "distance": "rings",
    "row": 4,
}
HIGH |= {"rows": [0.2, 0.0, 0.2, 0.0, 0.6, 0.0], "row_share": 0.6, "rings": [0.1, 0.9], "ring": 1, "ring_share": 0.9}
SILENT = {"score": 0.0, "pt_hat_gev": None, "row": None, "menu": False, "saturated": False}
KEPT = {"name": "as they are", "rate_khz": 27.35, "error_khz": 4.66}
LOOKS = {
    "groups": [
        {"inputs": ["tracks"], "rings": 2, "eta_max": 2.6, "rows": [[[0.5, -0.25]]] * 4, "of_others": 0.0},
        {"inputs": ["ecal"], "rings": 2, "eta_max": 2.6, "rows": [[[0.0, 0.125]]] * 4, "of_others": 0.03},
    ],
    "highest": [{**HIGH, "ring_eta": [0.5235, 1.5705]}, {**HIGH, "pt_hat_gev": [None, 20.0]}, {**HIGH, **SILENT}],
    "stability": {
        "share": 1e-3,
        "threshold": 99,
        "signals": ["h125"],
        "rows": [
            {**KEPT, "efficiency": {"h125": {"value": 0.343, "error": 0.019}}},
            {
                **dict.fromkeys(KEPT),
                "name": "dead sector",
                "efficiency": {"h125": {"value": None, "error": None, "reason": "no crossing fires"}},
            },
        ],
    },
}
LOOKS["highest"][1] |= {"ring_eta": [-1.0, 0.0], "jet_ht_gev": 12.0}


def test_what_the_distance_looks_at_in_tables():
    lines = "\n".join(looks_lines(LOOKS)).splitlines()
    first, second = (line for line in lines if line.startswith("| at least 15.99 |"))
    facts = "| 1,513 | 175 | yes | 0.00061 | tracks: rings | 5 (60 %) |"
    assert first == f"| at least 15.99 | above 300 | - {facts} 0.52 to 1.57 (90 %) |"
    assert second == f"| at least 15.99 | below 20 | 12 {facts} -1.00 to 0.00 (90 %) |"
    assert "| 0.00 | - | - | 1,513 | 175 | no | 0.00061 | - | - | - |" in lines
    assert "| threshold of 0.001 kept | rate [kHz] | SUEP 125 GeV [%] |" in lines
    assert "| as they are | 27.4 ± 4.7 | 34.3 ± 1.9 |" in lines
    assert "| dead sector | - | - |" in lines
    assert looks_lines(None) == []
    refused = {**LOOKS, "stability": {"share": 1e-3, "rows": [], "reason": "no crossing fires"}}
    assert len(looks_tables(refused)) == 1
    assert looks_lines(refused)[-1] == "No stability at 0.001 of zero bias: no crossing fires."


def test_images_stay_in_the_stage_and_are_drawn_on_one_scale():
    (shown,) = _looks({"looks": LOOKS}).values()
    assert shown["groups"][1] == {"inputs": ["ecal"], "rings": 2, "eta_max": 2.6, "of_others": 0.03}
    assert {key: shown[key] for key in ("highest", "stability")} == {
        key: LOOKS[key] for key in ("highest", "stability")
    }
    assert _looks({"looks": None}) == {"looks": None}
    figure = looks_figure(LOOKS["groups"])
    panels = [ax for ax in figure.axes if ax.images]
    titles = [f"{name}: {kind}" for name in ("tracks", "ecal") for kind in ("rings, row 1", "rings, row 2")]
    assert [ax.get_title("left") for ax in panels if "rings" in ax.get_title("left")] == titles
    assert {ax.images[0].get_clim() for ax in panels} == {(-0.5, 0.5)}
    assert [ax.images[0].get_array().tolist() for ax in panels] == [[[0.5, -0.25]]] * 4 + [[[0.0, 0.125]]] * 4


def test_the_page_shows_what_a_distance_looks_at_and_nothing_without_one():
    page = TEMPLATE.read_text()
    section = page[page.index("{% if report.looks is not none %}") : page.index("<h2>Do all executors agree?</h2>")]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(section)
    of = {"looks_tables": looks_tables(LOOKS), "looks_refusal": looks_refusal(LOOKS), "figures": {"looks": "<svg>"}}
    shown, decoded = (
        template.render(report={**_looks({"looks": LOOKS}), "config": {"firmware": {"dense": dense}}}, **of)
        for dense in ([], [1])
    )
    assert "sums around phi; the others read what these leave open." in shown
    assert "what the decoder leaves of each; the others what it leaves of each window." in decoded
    assert "<svg><figcaption>" in shown
    assert "The rows of ecal read other inputs with at most 0.03." in shown
    assert "<tr><td>as they are</td><td>27.4 ± 4.7</td><td>34.3 ± 1.9</td></tr>" in shown
    assert "The 3 zero-bias crossings of the test split with the highest score" in shown
    saturated = "&ldquo;at least&rdquo;: the score is the largest that the word holds."
    assert saturated in shown
    below = [{**row, "saturated": False} for row in LOOKS["highest"]]
    report = {**_looks({"looks": {**LOOKS, "highest": below}}), "config": {"firmware": {"dense": []}}}
    assert saturated not in template.render(report=report, **of)
    assert template.render(report={"looks": None}).strip() == ""
