"""Train systems on events of objects (ADC2021), background alone, and see how well they find signals.

    python scripts/objects.py --background background.h5 --signals a-4l.h5 h-tautau.h5 --out runs/objects
    python scripts/objects.py --generate 16000 --out runs/generated       # generated events (extra `generate`)
    python scripts/objects.py --out runs/generated --firmware anomaly_clr # and its score in firmware

Each system is trained with each seed on 72 % of the background; 8 % choose the epoch, and 20 % are the test with all
events of the signals. No signal enters training or the orientation of a score. Writes OUT/objects.json and objects.md:
of each signal AUC, background rejection and significance improvement (SIC) of each score, of the same network
untrained, and of what is read off the events without learning. --firmware distils the score of a system's first seed
into a network for firmware and proves and maps it (docs/deep_set.md). An interrupted command resumes. --config takes
[systems.anomaly_clr] of a run's TOML. docs/objects.md explains the results.
"""

import argparse
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256, whole_file, write_json
from codae_l1.data.events import QCD
from codae_l1.data.formats.adc2021 import KIND, SLICE, Adc2021
from codae_l1.data.formats.jet_images import split_jets
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.systems.registry import SYSTEMS, SystemsConfig, system_class
from codae_l1.scripts._set_student import StudentPlan, add_firmware_argument, chosen, student_rows, students
from codae_l1.scripts._system_tables import (
    SETTINGS,
    Plan,
    add_common_arguments,
    generated,
    measure,
    over_seeds,
    require_common,
    require_same,
    train,
)
from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.models.systems.base import LabelledEvents

# Fewest events to train on, and of background and signal in the test, so that a number means something.
LEAST_TRAINED, LEAST_TESTED = 100, 20
# Signal efficiency at which rejection and SIC are quoted (arXiv:2301.04660).
EFFICIENCY = 0.3
# Generated signals, and how many times fewer events each has than the background.
SIGNALS, FEWER = ("a-4l", "lq-btau", "h-tautau", "hplus-taunu"), 5
BACKGROUND = "background"


def _command() -> None:
    """Parse the arguments; train, score, write, print the tables."""
    arguments = _arguments()
    cli.output("--out", arguments.out, "folder of trained objects")
    cli.import_tensorflow(stage.check_config(arguments.config))
    from codae_l1.scripts.reports.object_report import markdown

    plans = _make_plans(arguments)
    firmware = _firmware(arguments, plans)
    files = _files(arguments)
    names = ("most", "split_seed") + (() if arguments.background else ("generate", "generation_seed"))
    asked = {"background": sha256(files[BACKGROUND]), **{name: getattr(arguments, name) for name in names}}
    require_same(arguments.out, asked, "--background, --most and seeds of split and generation")
    samples = {name: _objects(path, arguments.most) for name, path in files.items()}
    part = _parts(samples, arguments.split_seed)
    write_json(arguments.out / SETTINGS, asked)
    content = _work(samples, part, plans, arguments.out, firmware) | {"split_seed": arguments.split_seed}
    content["command"] = shlex.join(["python", "scripts/objects.py", *sys.argv[1:]])
    write_json(arguments.out / "objects.json", content)
    text = markdown(content)
    if firmware[0]:
        text += f"\n## In firmware\n\n{student_rows(content['firmware'])}"
    with whole_file(arguments.out / "objects.md") as temporary:
        temporary.write_text(text)
    print(text, end="")


def _make_plans(arguments: argparse.Namespace) -> list[Plan]:
    """What is to be trained."""
    from codae_l1.scripts.run.config import load_config

    systems = load_config(arguments.config).systems if arguments.config else SystemsConfig()
    classes = {name: system_class(name) for name in SYSTEMS}
    known = [name for name, cls in classes.items() if cls.inputs == "objects" or cls.objects_too]
    for name in arguments.models or ():
        if name not in known:
            raise InputError(f"--models {name}", f"some of {', '.join(known)}, which read objects", "correct --models")
    names, seeds = dict.fromkeys(arguments.models or known), tuple(arguments.seeds)
    return [Plan(name, name, getattr(systems, name), seeds) for name in names]


def _parts(samples: dict[str, np.ndarray], split_seed: int) -> np.ndarray:
    """ "train", "validation" or "test" of each background event; InputError where there are too few of anything."""
    part = split_jets(np.full(len(samples[BACKGROUND]), QCD), split_seed)
    _require("train on", int(np.sum(part == "train")), LEAST_TRAINED)
    tested = {name: len(x) for name, x in samples.items()} | {BACKGROUND: int(np.sum(part == "test"))}
    for name, number in tested.items():
        _require(f"measure with, {name}", number, LEAST_TESTED)
    return part


def _firmware(arguments: argparse.Namespace, plans: list[Plan]) -> tuple[list[tuple[Plan, str]], HlsConfig]:
    """Systems and scores that go into firmware, and the [hls] table of --config."""
    from codae_l1.scripts.run.config import load_config

    hls = load_config(arguments.config).hls if arguments.config else HlsConfig()
    return chosen(arguments.firmware, plans), hls


def _work(
    samples: dict[str, np.ndarray],
    part: np.ndarray,
    plans: list[Plan],
    out: Path,
    firmware: tuple[list[tuple[Plan, str]], HlsConfig] = ([], HlsConfig()),
) -> dict[str, Any]:
    """What objects.json holds; samples: "background" and the signals -> objects (N, 19, 3). part: of `_parts`.

    firmware: systems and scores that go into firmware, and how.
    """
    from codae_l1.models.systems.base import LabelledEvents
    from codae_l1.scripts.run.folder import stamp

    background = samples[BACKGROUND]
    signals = {name: x for name, x in samples.items() if name != BACKGROUND}
    events = {p: int(np.sum(part == p)) for p in ("train", "validation", "test")}

    def split() -> "tuple[LabelledEvents, LabelledEvents]":
        train, validation = (
            LabelledEvents(background[part == p], np.full(events[p], QCD)) for p in ("train", "validation")
        )
        return train, validation

    tested = {BACKGROUND: background[part == "test"], **signals}
    baselines = {name: {s: f(x) for s, x in tested.items()} for name, f in _BASELINES.items()}
    return {
        "events": {**events, "signals": {s: len(x) for s, x in signals.items()}},
        "efficiency": EFFICIENCY,
        "models": {plan.title: _model(plan, split, tested, out) for plan in plans},
        "firmware": students(firmware[0], split, tested, partial(StudentPlan.of, "objects", firmware[1]), out),
        "baselines": {name: _measured(scores) for name, scores in baselines.items()},
        "stamp": stamp(plans[0].seeds[0]),
    }


def _model(plan: Plan, split: Any, tested: dict[str, np.ndarray], out: Path) -> dict[str, Any]:
    """Train a plan with its seeds and measure each, beside itself untrained."""
    row: dict[str, Any] = {"system": plan.system, "config": dump(plan.config) if plan.config else {}}
    trials: dict[int, dict[str, Any]] = {}
    for seed in plan.seeds:
        system, trial = train(plan, seed, split, out)
        fresh = system.before_training(*split())
        measured = {}
        for kind, of in (("scores", system), ("untrained", fresh)):
            # All at once, since a network is compiled anew each time.
            found = of.scores(np.concatenate(list(tested.values()))) if of else {}
            ends = np.cumsum([len(x) for x in tested.values()])[:-1]
            measured[kind] = {
                name: _measured(dict(zip(tested, np.split(score, ends), strict=True))) for name, score in found.items()
            }
        trials[seed] = trial | measured
        row |= {"main_score": system.main_score, "parameters": system.parameters, "macs": system.macs}
    row["seeds"], row["summary"] = trials, {}
    for signal in (s for s in tested if s != BACKGROUND):
        kinds = ("scores", "untrained")
        of_signal = [{k: {name: m[signal] for name, m in t[k].items()} for k in kinds} for t in trials.values()]
        row["summary"][signal] = over_seeds(of_signal)
    return row


def _measured(scores: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Scores of the background and of each signal -> signal -> AUC and passing background with their errors."""
    background = scores[BACKGROUND]
    return {s: measure(background, x, EFFICIENCY) for s, x in scores.items() if s != BACKGROUND}


def _multiplicity(objects: np.ndarray) -> np.ndarray:
    """Leptons and jets of events (N, 19, 3): (N,)."""
    return np.count_nonzero(objects[:, 1:, 0], axis=1).astype(np.float64)


# What needs no learning; each counts as the more anomalous, the higher it is.
_BASELINES = {
    "multiplicity": _multiplicity,
    "missing momentum": lambda objects: objects[:, 0, 0],
    "sum of pT": lambda objects: objects[:, 1:, 0].sum(axis=1),
}


def _objects(path: Path, most: int) -> np.ndarray:
    """The first `most` events of a file: (N, 19, 3) float64, pT [GeV], eta, phi."""
    parts, left = [], most

    def tell(line: str) -> None:
        print(f"{path}: {line}", flush=True)

    for part in Adc2021().slices(path, Adc2021.Options(), min(SLICE, most), BACKGROUND, tell):
        parts.append(part["particles"][:left, :, :3])
        left -= len(parts[-1])
        if not left:
            break
    if not parts:
        raise InputError(f"{path} without events", KIND, "name another file")
    objects = np.concatenate(parts)
    if empty := int(np.sum(~objects.any(axis=(1, 2)))):
        print(f"{path}: {empty:,} of {len(objects):,} events are empty, without objects", flush=True)
    return objects


def _require(what: str, number: int, least: int) -> None:
    if number < least:
        remedy = "name larger files, or raise --most or --generate"
        raise InputError(f"{number} events to {what}", f"at least {least}", remedy)


def _files(arguments: argparse.Namespace) -> dict[str, Path]:
    """ "background" and the name of each signal -> its file, generated where none is named."""
    if arguments.background is None:
        kinds = {BACKGROUND: arguments.generate, **dict.fromkeys(SIGNALS, max(1, arguments.generate // FEWER))}
        _parts({kind: np.empty(number) for kind, number in kinds.items()}, arguments.split_seed)
        return {kind: _generated(arguments, kind, number) for kind, number in kinds.items()}
    files = {BACKGROUND: arguments.background, **{path.stem: path for path in arguments.signals}}
    if len(files) != 1 + len(arguments.signals):
        raise InputError(
            f"--signals {' '.join(map(str, arguments.signals))}",
            f"files of different names, none of them {BACKGROUND}: they name the signals",
            "rename them",
        )
    seen: dict[str, Path] = {}
    for path in files.values():
        if (digest := sha256(cli.existing(str(path)))) in seen:
            raise InputError(f"{path}, a copy of {seen[digest]}", "other events in each file", "leave one out")
        seen[digest] = path
    return files


def _generated(arguments: argparse.Namespace, kind: str, number: int) -> Path:
    """OUT/<kind>.h5 of so many events; kept where it is there and was made from the same config."""
    from codae_l1.data.generation.objects import ObjectConfig, generate_objects

    config = ObjectConfig(kind, number, arguments.generation_seed)  # type: ignore[arg-type]
    path = arguments.out / f"{kind}.h5"
    return generated(path, config, generate_objects, Adc2021().generated_from, "python scripts/objects.py")


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--background", type=Path, help="ADC2021 file of the background; without it, it is generated")
    parser.add_argument("--signals", type=Path, nargs="+", default=[], help="ADC2021 files, named after their signals")
    parser.add_argument(
        "--generate", type=int, default=16000, help="background events to generate without --background"
    )
    add_common_arguments(parser, "events", "objects")
    add_firmware_argument(parser)
    parser.add_argument("--most", type=int, default=100_000, help="events to read of each file")
    parser.add_argument("--split-seed", type=int, default=42, help="seed of the background's split")
    parser.add_argument("--config", type=Path, help="TOML with [systems.anomaly_clr]: loss, sizes, training")
    arguments = parser.parse_args()
    require_common(arguments)
    if bool(arguments.signals) != (arguments.background is not None):
        raise InputError("--background and --signals of which one is missing", "both, or neither", "name both")
    return arguments


if __name__ == "__main__":
    cli.run(_command)
