"""What firmware layers and words cost the encoders of a run's full model, measured step by step on the same events.

Nothing is trained by the model's own loss; twins are fitted to the encoders' outputs on background, which is affordable
at the published size. A training in situ (scripts/encoders.py without --costs) gains more.
"""

import dataclasses
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.data.events import BACKGROUNDS, SIGNALS
from codae_l1.data.formats import read_events
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.config import SwapConfig
from codae_l1.quantization.config import Training
from codae_l1.quantization.encoders.config import EncoderConfig
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.events import read_each
from codae_l1.scripts.run.folder import stamp
from codae_l1.scripts.run.tables import markdown_table

if TYPE_CHECKING:
    from codae_l1.models.codae.model import CoDAE
    from codae_l1.scripts.run.run import Run

# Scores that are compared.
_COMPARED = ("z0", "mse")
# Events of background that fix norms and words.
_CALIBRATION = 128
# Events of background for each event of a signal, where the number of test events is limited.
_SHARE = 5
# Signals in the table; the others are told from background by any of the scores.
_SHOWN = ("h125", "h200", "svj2100", "svj4100")
# Name -> a row's model, what else it says, None where the model is the float one.
_Row = tuple[str, Callable[[], "CoDAE"] | None, dict[str, Any]]


def encoder_costs(run: "Run", arguments: Namespace, out: Path) -> dict[str, Any]:
    """Measure row after row, write costs.json and costs.md; what costs.json holds."""
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.codae.scores import codae_scores, orient
    from codae_l1.quantization.encoders.twins import compared

    codae, samples = load_codae(run.path("train", "codae.keras")), _samples(run, arguments)
    signs = run.read("train")["orientation"]

    def scores(model: "CoDAE") -> dict[str, dict[str, np.ndarray]]:
        found = {sample: orient(codae_scores(model, masks, 64), signs) for sample, (masks, _) in samples.items()}
        return {sample: {name: of[name] for name in _COMPARED} for sample, of in found.items()}

    before = scores(codae)
    content: dict[str, Any] = {"bits": arguments.bits, "events": {}, "rows": {}}
    for sample, (_, signal) in samples.items():
        names, numbers = np.unique(signal, return_counts=True)
        content["events"][sample] = dict(zip(names.tolist(), numbers.tolist(), strict=True))
    for name, make, told in _rows(run, codae, arguments, content):
        after = scores(make()) if make else before
        row = {s: compared(before[s], after[s], signal) for s, (_, signal) in samples.items()}
        mse = {
            s: float(np.median(signs["mse"] * after[s]["mse"][np.isin(signal, BACKGROUNDS)]))
            for s, (_, signal) in samples.items()
        }
        content["rows"][name] = {**told, "median_mse": mse, "scores": row}
        content["stamp"] = stamp(run.config.seed)
        write_json(out / "costs.json", content)
        print(f"{name}: median mse of background {', '.join(f'{value:.2f}' for value in mse.values())}", flush=True)
    with whole_file(out / "costs.md") as temporary:
        temporary.write_text(costs_table(content) + "\n")
    return content


def _rows(run: "Run", codae: "CoDAE", arguments: Namespace, content: dict[str, Any]) -> Iterator[_Row]:
    """Swaps alone, all of them, fitted, and each width; content gets the config of the twins."""
    from codae_l1.quantization.encoders.twins import EncoderTwins, swapped

    masks = {split: read_each(run, split, track_mask)[0] for split in ("train", "calibration")}
    train, calibration = masks["train"][: arguments.events], masks["calibration"][:_CALIBRATION]
    yield "float", None, {}
    halves = [np.asarray(w).astype(np.float16).astype(np.float32) for w in codae.get_weights()]
    if all(np.array_equal(a, b) for a, b in zip(halves, codae.get_weights(), strict=True)):
        yield "weights in float16", None, {}
    else:
        yield "weights in float16", lambda: _with_weights(codae, halves), {}
    own = codae.config.swaps
    alone = {
        "norm: batch": {"norm": "batch"},
        "slope: 1/4": {"slope": 0.25},
        "slope: 0": {"slope": 0.0},
        "pooling: 2x2": {"pooling": "2x2"},
        "pooling: strided": {"pooling": "strided"},
    }
    if own == SwapConfig():
        for name, change in alone.items():
            changed = dataclasses.replace(own, **change)
            yield name, lambda changed=changed: swapped(codae, changed, calibration), {}
    names = ("slope", "pooling", "warm_up_steps", "warm_up_rate")
    config = EncoderConfig(tuple(arguments.encoders), **{name: getattr(arguments, name) for name in names})
    training = Training(seed=run.config.seed)
    content |= {"config": dump(config), "qat_steps": arguments.qat_steps, "fitted_on": len(train)}
    twins = EncoderTwins(codae, calibration, config)
    yield "all swaps", lambda: twins.model, {}
    losses = twins.fit(train, training)
    yield "all swaps, fitted", lambda: twins.model, {"loss": losses}
    for bits in arguments.bits:
        try:
            model, _ = twins.quantized(bits, train, arguments.qat_steps, training)
        except InputError as error:
            content["rows"][f"{bits} bits"] = {"refused": error.received}
            print(f"{bits} bits: {error.received}", flush=True)
            continue
        yield f"{bits} bits", lambda model=model: model, {}


def _with_weights(codae: "CoDAE", weights: list[np.ndarray]) -> "CoDAE":
    from codae_l1.models.codae.model import CoDAE

    copy = (
        CoDAE.from_config(codae.get_config()) if type(codae) is CoDAE else type(codae).from_config(codae.get_config())
    )
    copy.set_weights(weights)
    return copy


def _samples(run: "Run", arguments: Namespace) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Sample -> (masks (N, 72, 58, 1), process (N,)): test events of the run, and all of --files."""
    masks, signal = read_each(run, "test", track_mask, background_only=False)
    if arguments.most:
        limits = dict.fromkeys(BACKGROUNDS, arguments.most * _SHARE) | dict.fromkeys(SIGNALS, arguments.most)
        kept = np.sort(np.concatenate([np.flatnonzero(signal == p)[:most] for p, most in limits.items()]))
        masks, signal = masks[kept], signal[kept]
    found = {"the run's test events": (masks, signal)}
    if arguments.files:
        parts = [read_events(cli.existing(str(path))) for path in arguments.files]
        signal = np.concatenate([part.signal for part in parts])
        if not np.isin(signal, BACKGROUNDS).any() or not np.isin(signal, SIGNALS).any():
            raise InputError("--files without background or without a signal", "both", "name more files")
        found["the files"] = np.concatenate([track_mask(part.images) for part in parts]), signal
    return found


def costs_table(content: dict[str, Any]) -> str:
    """Markdown, a table for each sample: AUC in % of z0 and of mse, rank correlations with the float model."""
    text = []
    for sample, numbers in content["events"].items():
        shown = [signal for signal in _SHOWN if signal in numbers]
        head = ["", *(f"{s}: {c}" for s in _COMPARED for c in ("rank", *shown)), "median mse, background"]
        lines = []
        for name, row in content["rows"].items():
            if "refused" in row:
                lines.append([name, row["refused"], *[""] * (len(head) - 2)])
                continue
            cells = [name]
            for score in _COMPARED:
                entry = row["scores"][sample][score]
                cells.append(f"{entry['rank_correlation']:.3f}")
                cells += [f"{100 * entry['auc'][signal]['quantized']:.1f}" for signal in shown]
            lines.append([*cells, f"{row['median_mse'][sample]:.2f}"])
        background = sum(numbers.get(name, 0) for name in BACKGROUNDS)
        events = f"{sum(numbers.values()):,} events, {background:,} of background"
        text += [f"AUC in % on {sample} ({events}):", "", markdown_table(head, lines), ""]
    return "\n".join(text).rstrip()
