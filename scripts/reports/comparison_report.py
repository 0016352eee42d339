"""comparison.json as Markdown: tables of AUC, working points and cost, and the page docs/comparison.md around them."""

import textwrap
from collections.abc import Callable
from typing import Any

from codae_l1.scripts.studies.comparison import FPR, LOW_FPR, TPR

# Scores that the main tables show in addition to each system's main one: what the firmware learns, and what represents
# an encoder that has learned nothing. Of the systems in SHOWN_WHOLE all scores are shown.
SHOWN = {("codae", "block_power"), *(("untrained", score) for score in ("block_power", "z_m_norm", "z_m_mahalanobis"))}
SHOWN_WHOLE = ("observables", "firmware", "published CoDAE", "published CICADA")
# A background in words, and what its events are.
_BACKGROUNDS = {"qcd": "QCD", "zero_bias": "zero bias"}
_EVENTS = {"qcd": "QCD events", "zero_bias": "zero-bias crossings"}
_ABOUT = {
    "qcd": """AUC, FPR and TPR are fractions of the generated events, each counted once. QCD is generated with a bias in
  pTHat. The weights that undo this bias are not used in these numbers, but only in the column of rates.""",
    "zero_bias": """AUC, FPR and TPR are fractions of zero-bias crossings and of signals, nothing selected; each
  counts once, all have the same weight. A collision is in several crossings, so that the errors are somewhat too small
  ([rates.md](rates.md) counts collisions). The run's data.background is "zero_bias": all that learns without signals
  learns from zero bias, its epoch and the signs of its scores are chosen by zero bias of the validation split.
  Nothing was chosen by these figures: the systems have the settings that they have elsewhere. No signal was kept
  blind.""",
}

_INTRODUCTION = """# Comparison with other methods on the same events

This page is made by the command below, not by hand. `codae_l1.models.systems.registry` and the modules that it names
describe the systems. All of them are trained on the run's own splits and scored on the same events. Jet images, with
PCA, auto-encoders and their complexity bias (an auto-encoder trained on tops fails to tag QCD), are compared in
[jets.md](jets.md).{other}

How to read it:

- No label and no signal event decides the sign of an unsupervised score. Observables count activity, and more activity
  is called anomalous; densities are high where {background} is rare; reconstruction errors count as defined, and the
  other scores of a network follow their rank correlation with one on {background}. An AUC below 50 % stays below 50 %.
- **supervised** systems have seen signals: both of their classes come from the validation split, part of which is set
  aside to choose the epoch or the number of trees. They are shown as an upper bound, not as competitors.
- `untrained` is the CoDAE with random weights, for which the same scores are computed. Below each other network whose
  training is random stands the AUC that the same network had before its training, oriented in the same way. Whatever a
  trained network does not do better was not learned. The observables need no network at all; `pca_events` (principal
  components) and `raw_ae` (a small dense auto-encoder) read only the firmware's pooled counts.
- `mahalanobis`, `gaussian_mixture`, `isolation_forest` and `latent_norm` read the latent z_m of the CoDAE of the same
  seed (the mean of z_R: further scores).
- `firmware` is the run's trigger network in its words. With `firmware.preset = "distilled"` (481 parameters) it has
  learned a score of the CoDAE, `block_power` by default; else it is an auto-encoder of zero bias or a distance from it.
- {about}
- ± is the standard deviation over bootstrap samples of the test events of both classes, so that it includes the
  fluctuation of the threshold (where none or all events of a class pass: the 68 % Wilson interval); for a rate it is
  that of the sum of weights. The number after the slash is the spread of the trainings: the standard deviation over
  the seeds (ddof 1). Systems without randomness have none.

Other systems and events are chosen with `--models NAME ...` and `--events FILE ...` (any format that scripts/score.py
takes; for files of the public sample the published CoDAE's MSE is a row, too). An interrupted comparison resumes.
"""

_OTHER = {
    "qcd": " With zero bias as background: [comparison_zero_bias.md](comparison_zero_bias.md).",
    "zero_bias": " With QCD above HT = 500 GeV as background: [comparison.md](comparison.md).",
}
_BIAS = """Does an auto-encoder flag what it has not seen, or what is complicated? Five principal components of the
pooled track mask (18 x 15 counts) are fitted to equally many validation events of {background} or of a signal; the
table gives the AUC of the squared error in %. Fitted to a signal, they should flag {background}; below 50 % they flag
the signal to which they were fitted."""


def markdown(content: dict[str, Any]) -> str:
    """The tables of a comparison, without page around them."""
    rows = [row for row in content["rows"] if is_shown(row)]
    signals = list(content["events"]["signals"])
    first, number = content["seeds"][0], len(content["seeds"])
    legend = (
        f"Numbers in %: mean over the seeds ± error of seed {first} (bootstrap of both classes)\n/ spread over "
        f"{number} seeds (standard deviation, ddof 1)."
    )
    legend = legend if number > 1 else "Numbers in % ± error (bootstrap of both classes)."
    few = f"**Warning: {number} of at least 3 seeds; so few do not show well how much trainings differ.**"
    background = _BACKGROUNDS[content["background"]]
    counts = f"{content['events']['background']:,} {_EVENTS[content['background']]}; signals:\n" + ", ".join(
        f"{n:,} {s}" for s, n in content["events"]["signals"].items()
    )
    parts = [
        f"Events: {content['events']['what']}: {counts}.\n{legend}",
        *([few] if number < 3 else []),
        *_checks(content["checks"]),
        "## AUC",
        _table(_with_untrained(rows), signals, "auc", background),
        f"## FPR where {100 * TPR:.0f} % of the signal passes",
        "Lower is better. Where no event of background passes, the 90 % confidence limit is given.",
        _table(rows, signals, "fpr_at_tpr", background),
        f"## TPR where {100 * FPR:.0f} % of {background} passes",
        *_rate_text(content),
        _table(rows, signals, "tpr_at_fpr", background, rate=content["background"] == "qcd"),
        *_low_fpr(rows, signals, background),
        *_reasons(rows, content["background"] == "qcd"),
        "## What they cost",
        "Parameters and multiply-accumulates (MACs) are those of the quoted score. The CPU time is that of one event\n"
        "alone in one thread, for latent systems that of the encoder alone. The run's report has LUT and latency, and\n"
        "how they were determined.",
        _costs(rows),
    ]
    if content["complexity_bias"]:
        parts += [
            "## Complexity bias",
            _BIAS.format(background=background),
            *_bias(content["complexity_bias"], background),
        ]
    further = [row for row in content["rows"] if not is_shown(row)]
    if further:
        parts += ["## Further scores, AUC", _table(further, signals, "auc", background)]
    return "\n\n".join(parts) + "\n"


def page(content: dict[str, Any], figures: dict[str, str]) -> str:
    """The page in docs/: introduction, the command that made it, figures (title -> file beside it), tables."""
    stamp = content["stamp"]
    seeds = ", ".join(map(str, content["seeds"]))
    command = textwrap.fill(content["command"], 110, break_long_words=False, break_on_hyphens=False)
    how = f"`{command}`,\ncommit {stamp['commit']}, seeds {seeds}, {stamp['time'][:10]}."
    seconds = sum(sum(s or 0 for s in row["seconds"]) for row in content["rows"] if row["main"])
    how += f" Training and scoring took {seconds / 60:.0f} minutes."
    shown = "\n\n".join(f"![{title}]({file})" for title, file in figures.items())
    background = content["background"]
    told = {"background": _BACKGROUNDS[background], "about": _ABOUT[background], "other": _OTHER[background]}
    return "\n".join([_INTRODUCTION.format(**told), how, "", shown, "", markdown(content)])


def _rate_text(content: dict[str, Any]) -> list[str]:
    """What the column of rates is, where there is one."""
    if content["background"] != "qcd":
        return []
    return [
        f"The rate is that of weighted QCD above the same threshold, at {content['luminosity_cm2s']:.0e} cm^-2 s^-1."
    ]


def _low_fpr(rows: list[dict[str, Any]], signals: list[str], background: str) -> list[str]:
    """The table at LOW_FPR, where the events carry it for any score."""
    known = [row for row in rows if any(cell["value"] is not None for cell in row.get("tpr_at_low_fpr", {}).values())]
    if not known:
        return []
    return [
        f"## TPR where {100 * LOW_FPR:g} % of {background} passes",
        _table(known, signals, "tpr_at_low_fpr", background),
    ]


def is_shown(row: dict[str, Any]) -> bool:
    """Whether a row stands in the main tables and figures."""
    return row["main"] or row["model"] in SHOWN_WHOLE or (row["model"], row["score"]) in SHOWN


def title(row: dict[str, Any]) -> str:
    """The name of a row: system and score."""
    name = row["score"] if row["model"] == "observables" else f"{row['model']}: {row['score']}"
    return name + (" (supervised)" if row["learning"] == "signals" else "")


def _cell(value: dict[str, Any], scale: float = 100.0, digits: int = 1) -> str:
    """A measured number, its error and spread, scaled.

    >>> _cell({"value": 0.81, "error": 0.012, "spread": 0.004}), _cell({"value": None, "reason": "too few"})
    ('81.0 ± 1.2 / 0.4', '-')
    """
    if value["value"] is None:
        return f"[{value['effective']:.1f}]" if "effective" in value else "-"
    if "limit" in value:
        return f"< {scale * value['limit']:.{digits}f}"
    text = f"{scale * value['value']:.{digits}f}"
    text += "" if value.get("error") is None else f" ± {scale * value['error']:.{digits}f}"
    return text + ("" if value.get("spread") is None else f" / {scale * value['spread']:.{digits}f}")


def _table(rows: list[dict[str, Any]], signals: list[str], key: str, background: str, rate: bool = False) -> str:
    learning = {"none": "nothing", "background": background, "cms": "CMS data"}
    learning["signals"] = f"{background} and signals: **supervised**"
    columns: list[tuple[str, Callable[[dict], str]]] = [
        ("", title),
        ("learned from", lambda r: learning[r["learning"]]),
    ]
    columns += [(s, lambda r, s=s: _cell(r[key][s], digits=2 if key == "fpr_at_tpr" else 1)) for s in signals]
    if rate:
        columns.append(("rate [kHz]", lambda r: _cell(r["rate"], 1, 3)))
    return _lines(rows, columns)


def _costs(rows: list[dict[str, Any]]) -> str:
    def number(key: str, form: str) -> Callable[[dict], str]:
        return lambda r: "" if r.get(key) is None else format(r[key], form)

    def seconds(row: dict[str, Any]) -> str:
        known = [s for s in row["seconds"] if s]
        return f"{sum(known) / len(known):.0f}" if known else ""

    columns = [("", title), ("parameters", number("parameters", ",")), ("MACs", number("macs", ","))]
    columns += [("CPU ms", number("cpu_ms", ".3g")), ("as", number("how", "")), ("seconds per seed", seconds)]
    columns += [("LUT", number("lut", ",")), ("latency [ns]", number("latency_ns", "g"))]
    return _lines([row for row in rows if row["main"]], columns)


def _with_untrained(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows, and below each network's what it scored before training."""
    result = []
    for row in rows:
        result.append(row)
        if "untrained" in row:
            score = f"{row['score']}, untrained"
            result.append({"model": row["model"], "score": score, "learning": "none", "auc": row["untrained"]})
    return result


def _checks(found: list[dict[str, Any]]) -> list[str]:
    """A line for each expectation."""
    return [
        f"Expected: {c['what']}, above {c['least']:g}: {c['value']:.3f}, {'HOLDS' if c['holds'] else 'DOES NOT HOLD'}."
        for c in found
    ]


def _bias(entries: dict[str, Any], background: str) -> list[str]:
    """The table, and why a signal is not in it."""
    found = {name: entry for name, entry in entries.items() if "reason" not in entry}
    reasons = [f"Left out: {name}, {entry['reason']}." for name, entry in entries.items() if "reason" in entry]
    if not found:
        return reasons
    rows = [
        (f"fitted to {background}, flags the signal", "from_background"),
        (f"fitted to the signal, flags {background}", "from_signal"),
    ]
    head = [f"|  | {' | '.join(found)} |", "|---|" + "---:|" * len(found)]
    lines = [f"| {name} | {' | '.join(_cell(v[key]) for v in found.values())} |" for name, key in rows]
    return ["\n".join(head + lines), *reasons]


def _lines(rows: list[dict[str, Any]], columns: list[tuple[str, Callable[[dict], str]]]) -> str:
    head = [f"| {' | '.join(name for name, _ in columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join(head + [f"| {' | '.join(of(row) for _, of in columns)} |" for row in rows])


def _reasons(rows: list[dict[str, Any]], rate: bool) -> list[str]:
    """What a number in brackets is, and why a cell is empty, each reason once."""
    missing = [
        v for r in rows for v in (*r["tpr_at_fpr"].values(), *([r["rate"]] if rate else [])) if v["value"] is None
    ]
    found = dict.fromkeys(v["reason"] for v in missing if "effective" not in v)
    lines = ["Brackets give the effective number of weighted QCD events that pass if these are too few for a rate."]
    lines = lines if any("effective" in v for v in missing) else []
    return [*lines, f"No number: {'; '.join(found)}."] if found else lines
