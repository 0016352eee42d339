"""Systems trained with several seeds on one sample, kept in a folder, and measured against an anomaly.

    OUT/models/<title>/seed-<n>/    the trained system and trial.json: its history, CPU time, timing, config, stamp

What is there is not trained again, unless older code or other package versions trained it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json
from codae_l1.models.systems.registry import create_system
from codae_l1.scripts.run import cli

if TYPE_CHECKING:
    from codae_l1.models.systems.base import LabelledEvents, System

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


def read_table(path: Path, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON table that a command left, with these keys; InputError where it is none."""
    content = read_json(path)
    missing = [key for key in keys if key not in content] if isinstance(content, dict) else ["a table"]
    if missing:
        raise InputError(f"{path} without {', '.join(missing)}", "what this command wrote there", "remove it")
    return content


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
    if done.exists() and read_table(done, ("config",))["config"] != asked:
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
