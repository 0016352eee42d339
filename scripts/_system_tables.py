"""Systems trained with several seeds on one sample, kept in a folder, and measured against an anomaly.

    OUT/models/<title>/seed-<n>/    the trained system and trial.json: its history, CPU time, timing, config, stamp

    OUT/settings.json               the checksum of the file that they were trained on, and the options of its split

What is there is not trained again, unless older code or other package versions trained it.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_table
from codae_l1.models.systems.registry import create_system
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli

if TYPE_CHECKING:
    from codae_l1.models.systems.base import LabelledEvents, System

# Of OUT: what all trainings there have in common.
SETTINGS = "settings.json"
# Events of which each is timed as TF-Lite and held against Keras.
TIMED = 20


@dataclass(frozen=True)
class Plan:
    """A system to train. title: its name here. system: in the registry. seeds: of its trainings."""

    title: str
    system: str
    config: Any
    seeds: tuple[int, ...]

    def create(self, seed: int = 0) -> "System":
        """The system, untrained."""
        return create_system(self.system, self.config, seed)


def add_common_arguments(parser: argparse.ArgumentParser, what: str, inputs: str) -> None:
    """--generation-seed, --out, --models and --seeds of a command that trains systems of `inputs`."""
    parser.add_argument("--generation-seed", type=int, default=20260, help=f"seed of the generated {what}")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--models", nargs="+", metavar="NAME", help=f"default: all that read {inputs}")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of the trainings")


def require_common(arguments: argparse.Namespace) -> None:
    """InputError unless seeds and numbers of both commands are what they can be."""
    for name, least in (("most", 1), ("generate", 1), ("split_seed", 0), ("generation_seed", 0)):
        if getattr(arguments, name) < least:
            raise InputError(
                f"--{name.replace('_', '-')} {getattr(arguments, name)}", f"a number >= {least}", "correct it"
            )
    require_seeds("--seeds", arguments.seeds, different=True)


def generated(path: Path, config: Any, generate: Callable, generated_from: Callable, command: str) -> Path:
    """The file that `generate(config, path, work)` makes; kept where it was made from the same config.

    generated_from: path -> that config as a table. InputError where the file is of another one, or where its folder
    holds trainings on another file.
    """
    from codae_l1.data.generation.config import Work

    if not path.exists():
        if (path.parent / SETTINGS).exists() and "generate" not in read_table(path.parent / SETTINGS):
            received = f"{path.parent}, whose trainings are on other files, to generate {path.name} into"
            raise InputError(received, "a new folder", "choose another --out")
        with cli.Progress(f"generate {path.stem}") as progress:
            generate(config, path, Work(progress=progress, command=command))
    elif (kept := generated_from(path)) != (asked := dump(config)):
        raise InputError(
            f"{path} generated with other options (different: {_different(asked, kept)})",
            "what these --generate and --generation-seed make",
            "choose another --out, or remove the file",
        )
    return path


def require_same(out: Path, asked: dict[str, Any], expected: str) -> None:
    """InputError where OUT holds trainings on something else than asked (SETTINGS, JSON)."""
    path = out / SETTINGS
    if not path.exists():
        return
    if (kept := read_table(path, remedy="remove it")) != asked:
        received = f"{out} made with other files or options (different: {_different(asked, kept)})"
        raise InputError(received, f"the same {expected}", "choose another --out")


def _different(asked: dict[str, Any], kept: dict[str, Any]) -> str:
    return ", ".join(name for name in asked if asked[name] != kept.get(name))


def train(
    plan: Plan, seed: int, events: "Callable[[], tuple[LabelledEvents, LabelledEvents]]", out: Path
) -> "tuple[System, dict[str, Any]]":
    """The trained system, from its folder where it is there, and how it was trained.

    events: gives those to train on and those to choose the epoch by.
    """
    from codae_l1.data.base.keep import keep
    from codae_l1.scripts.run.folder import stamp, versions
    from codae_l1.scripts.run.stages import code_of

    folder = out / "models" / plan.title / f"seed-{seed}"
    system = plan.create(seed)
    done, asked = folder / "trial.json", dump(plan.config)
    if done.exists() and read_table(done, ("config",), "remove it")["config"] != asked:
        raise InputError(
            f"{folder} of another configuration of {plan.system}",
            "the configuration that it was made with",
            "choose another --out, or remove the folder",
        )

    def make(folder: Path) -> dict[str, Any]:
        trained, validation = events()
        started = time.process_time()
        with cli.Progress(f"{plan.title}, seed {seed}") as progress:
            history = system.fit(trained, validation, folder, progress)
        trial = {"history": history, "cpu_s": round(time.process_time() - started, 1)}
        trial["tflite"] = _timing(system, validation.images)
        system.save(folder / system.file)
        return {**trial, "config": asked, "stamp": stamp(seed)}

    inputs = [plan.system, seed, asked, versions(), code_of(type(system).__module__)]
    trial = keep(folder, inputs, make, "trial.json")
    system.load(folder / system.file)
    return system, {key: value for key, value in trial.items() if key not in ("config", "stamp")}


def _timing(system: "System", images: np.ndarray) -> dict[str, Any]:
    """A network event by event as TF-Lite float16 in one thread (models/evaluation/tflite.py); {} without a network."""
    from codae_l1.models.evaluation.tflite import time_one

    made = system.predict_function(images[:TIMED])
    if made is None:
        return {}
    with cli.silent_stderr():
        return time_one(*made)


def measure(background: np.ndarray, anomaly: np.ndarray, efficiency: float) -> dict[str, float]:
    """Scores (N,) and (M,) -> AUC, and the share of background passing at an efficiency, each with its error."""
    from codae_l1.models.evaluation.roc import auc_with_error, fpr_at_tpr

    auc, auc_error = auc_with_error(background, anomaly)
    fpr, fpr_error = fpr_at_tpr(background, anomaly, efficiency)
    return {"auc": auc, "auc_error": auc_error, "fpr": fpr, "fpr_error": fpr_error}


def over_seeds(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Trials with `scores` and `untrained`, score -> what `measure` gives; score -> mean and standard deviation over
    the seeds of AUC, passing background, and AUC untrained."""
    summary = {}
    for name in trials[0]["scores"]:
        values = {key: [t["scores"][name][key] for t in trials] for key in ("auc", "fpr")}
        if trials[0]["untrained"]:
            values["untrained_auc"] = [t["untrained"][name]["auc"] for t in trials]
        summary[name] = {
            key: {"mean": float(np.mean(x)), "spread": float(np.std(x, ddof=1)) if len(x) > 1 else None}
            for key, x in values.items()
        }
    return summary
