"""Stage train: the full model (CoDAE or CoDVAE) on background masks, best validation loss kept; --model: a system.

    python scripts/train.py --run runs/demo                                # the run's full model
    python scripts/train.py --run runs/demo --model dirichlet --seed 2     # a system that it is compared with

Reads the run's events. Writes train/codae.keras, train/history.json and train.json; with --model, the same into
systems/NAME/seed-N/. docs/training.md says how to choose the model and its config.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.spool import Spool
from codae_l1.models.systems.registry import create_system, system_class
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


# Of each class, one event in so many is kept apart from a supervised training, to choose the epoch.
KEPT_APART = 5


def command() -> None:
    """Parse the arguments; the stage, or one system."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument("--model", metavar="NAME", help="a system to train (default: the run's full model, as a stage)")
    parser.add_argument("--seed", type=int, help="seed of the system's training (default: the run's)")
    arguments = parser.parse_args()
    if arguments.model is None:
        if arguments.seed is not None:
            raise InputError("--seed without --model", "both, or neither", "set seed in the config of the run")
        stage.do(stage.open_run(arguments.run, arguments.config, arguments.update), "train", work)
        return
    cli.import_tensorflow(stage.check_config(arguments.config, arguments.run or Path(stage.DEFAULT_RUN)))
    from codae_l1.data.base.files import read_table
    from codae_l1.scripts import make_data
    from codae_l1.scripts.studies.comparison import EXPECTED_AUC

    _check_model(arguments.model)
    run = stage.open_run(arguments.run, arguments.config, arguments.update)
    seed = run.config.seed if arguments.seed is None else arguments.seed
    require_seeds("--seed", [seed])
    stage.do(run, "make_data", make_data.work, kept=True)
    system, seconds = train_system(run, arguments.model, seed)
    folder = _system_folder(run, arguments.model, seed)
    print(f"{arguments.model}: {system.parameters:,} parameters, {seconds:.0f} s, {folder / system.file}", flush=True)
    record = read_table(folder / "system.json")
    if "test" in record:
        test = record["test"]
        expected = f", expected above {EXPECTED_AUC[arguments.model]}" if arguments.model in EXPECTED_AUC else ""
        print(f"test events by class: accuracy {test['accuracy']:.3f}, AUC {test['auc']:.3f}{expected}", flush=True)


def work(run: "Run") -> dict[str, Any]:
    """Train the full model, go on from a checkpoint where there is one; or take the weights that were imported."""
    cli.import_tensorflow(run.config.training.deterministic)
    if run.imported:
        return _imported(run)
    from codae_l1.data.pooling import track_mask
    from codae_l1.models.codae.codvae import create_model
    from codae_l1.models.codae.model import save_codae
    from codae_l1.models.codae.scores import codae_scores, orientations
    from codae_l1.models.training.loop import train
    from codae_l1.scripts.run.events import read_each

    # On disk: they take 4 kB per event.
    folder = run.path("train")
    masks = {split: read_each(run, split, track_mask, into=Spool(folder))[0] for split in ("train", "validation")}
    model = create_model(run.config.model, run.config.seed)
    with cli.Progress("train") as progress:
        history = train(model, masks["train"], masks["validation"], run.config.training, folder, progress)
    save_codae(model, run.path("train", "codae.keras"))
    parts = _parameters(model)
    return {
        "summary": f"{sum(parts.values()):,} parameters, best validation loss {history['best_validation_loss']:.2f} "
        f"at epoch {history['best_epoch']} of {len(history['loss'])}",
        "parameters": parts,
        "events": {split: len(m) for split, m in masks.items()},
        "history": history,
        "orientation": orientations(codae_scores(model, masks["validation"])),
    }


def _imported(run: "Run") -> dict[str, Any]:
    """The full model from the files of weights/, which scripts/import_weights.py has put there; nothing is trained."""
    from codae_l1.data.base.files import read_table, sha256
    from codae_l1.data.pooling import track_mask
    from codae_l1.models.codae.model import save_codae
    from codae_l1.models.codae.published import read_published
    from codae_l1.models.codae.scores import codae_scores, orientations
    from codae_l1.scripts.run.events import read_each

    source = next((path for path in run.imported if path.name == "source.json"), None)
    if source is None:
        raise InputError(
            f"{run.folder}/weights without source.json", "what import_weights.py wrote", "import them again"
        )
    told = read_table(source, ("kind", "files", "verified"), "import them again")
    files = [path for path in run.imported if path != source]
    if {file.name: sha256(file) for file in files} != told["files"]:
        raise InputError(
            f"{source.parent} with other files than were imported",
            "those whose sums source.json has",
            "put them back, or import into a new run",
        )
    found = read_published(told["kind"], files, run.config.model, run.config.seed)
    masks, _ = read_each(run, "validation", track_mask)
    save_codae(found.model, run.path("train", "codae.keras"))
    parts = _parameters(found.model)
    return {
        "summary": f"{sum(parts.values()):,} parameters, imported, {told['verified']}",
        "parameters": parts,
        "events": {"validation": len(masks)},
        "imported": told,
        "orientation": orientations(codae_scores(found.model, masks)),
    }


def _parameters(model: Any) -> dict[str, int]:
    """Part of a full model -> its parameters."""
    parts = {name: getattr(model, name) for name in ("f_m", "f_r", "decoder", "prior")}
    return {name: part.count_params() for name, part in parts.items() if part is not None}


def train_system(run: "Run", name: str, seed: int) -> tuple[Any, float]:
    """(A trained system, seconds that its training took): kept from before where nothing changed, else trained now.

    A training that was killed goes on. The run's full model is not trained twice.
    """
    from codae_l1.data.base.keep import keep

    _check_model(name)
    folder = _system_folder(run, name, seed)
    system: Any = create_system(name, system_class(name).configured_by(run.config), seed)
    if not (folder / system.file).exists():
        (folder / "system.json").unlink(missing_ok=True)
    inputs = system_inputs(run, name, seed)
    with run.alone():
        content = keep(folder, inputs, lambda folder: _train_now(run, system, name, seed, folder), "system.json")
    system.load(folder / system.file)
    return system, content["stamp"]["seconds"]


def _train_now(run: "Run", system: Any, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train and save a system in its folder; what system.json holds."""
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.systems.base import LabelledEvents
    from codae_l1.models.training.loop import BEST, CHECKPOINT
    from codae_l1.scripts.run.events import read_split
    from codae_l1.scripts.run.folder import stamp

    if system.encoder_of:
        system.use_encoder(train_system(run, system.encoder_of, seed)[0].model)
    events, started, before = _system_events(run, type(system)), time.time(), 0.0
    if _is_full_model(run, name, seed):
        stage_train = run.read("train")
        history = stage_train.get("history", {"imported": stage_train.get("imported")})
        before = stage_train["stamp"]["seconds"]
        system.adopt(load_codae(run.path("train", "codae.keras")), events[1])
    else:
        with cli.Progress(f"{name}, seed {seed}") as progress:
            history = system.fit(*events, folder, progress)
    system.save(folder / system.file)
    seconds = round(before + time.time() - started, 1)
    content: dict[str, Any] = {
        "name": name,
        "supervised": system.learning == "signals",
        "main_score": system.main_score,
    }
    content |= {"parameters": system.parameters, "macs": system.macs, "events": [len(part) for part in events]}
    content |= {"orientation": system.signs, "history": history}
    if system.learning == "signals":
        test = read_split(run, "test", background_only=False)
        if measures := system.classification(LabelledEvents(test.images, test.signal)):
            content["test"] = measures
    for of_training in (CHECKPOINT, BEST):
        (folder / of_training).unlink(missing_ok=True)
    return {**content, "stamp": {"seconds": seconds, **stamp(seed)}}


def untrained_scores(run: "Run", system: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of images by the same network before training, oriented in the same way: what training adds to.

    None of a system that is not a random network of its own: those on the CoDAE's latents have the system `untrained`.
    """
    fresh = system.before_training(*_system_events(run, type(system)))
    return fresh.scores(images) if fresh else {}


def _is_full_model(run: "Run", name: str, seed: int) -> bool:
    """Whether a system is the run's own full model, which the stage `train` has trained already."""
    is_its_model = system_class(name).is_stage_train(run.config) and seed == run.config.seed
    return is_its_model and run.is_done("train")


def _system_folder(run: "Run", name: str, seed: int) -> Path:
    """Where a trained system lies: systems/NAME/seed-N of the run folder."""
    return run.path("systems", name, f"seed-{seed}")


def system_inputs(run: "Run", name: str, seed: int) -> str:
    """SHA-256 of all that a system's training depends on: events, config, seed, code, versions."""
    from codae_l1.data.base.config import dump
    from codae_l1.data.base.keep import digest
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.scripts.run.events import events_path
    from codae_l1.scripts.run.folder import versions
    from codae_l1.scripts.run.stages import code_of

    cls = system_class(name)
    config = cls.configured_by(run.config)
    before = system_inputs(run, cls.encoder_of, seed) if cls.encoder_of else EventFile(events_path(run)).checksum
    return digest([name, seed, dump(config) if config else {}, before, versions(), code_of(cls.__module__)])


def _system_events(run: "Run", system: Any) -> tuple[Any, Any]:
    """(Events to train on, events to choose the epoch by).

    Unsupervised: QCD of the training and the validation split. Supervised: both classes from the validation split, so
    that no pool of pile-up tells them apart, every fifth event of each process kept apart.
    """
    from codae_l1.models.systems.base import LabelledEvents
    from codae_l1.scripts.run.events import read_split

    if system.learning != "signals":
        train, validation = (read_split(run, split) for split in ("train", "validation"))
        return LabelledEvents(train.images, train.signal), LabelledEvents(validation.images, validation.signal)
    events = read_split(run, "validation", background_only=False)
    apart = np.zeros(len(events), bool)
    for process in np.unique(events.signal):
        apart[np.flatnonzero(events.signal == process)[KEPT_APART - 1 :: KEPT_APART]] = True
    train, validation = (LabelledEvents(events.images[part], events.signal[part]) for part in (~apart, apart))
    return train, validation


def _check_model(name: str) -> None:
    """InputError unless the name is that of a system that reads events."""
    inputs = system_class(name).inputs
    if inputs != "events":
        raise InputError(
            f"--model {name}, which reads {inputs}", "a system of events", f"python scripts/{inputs}.py --models {name}"
        )


if __name__ == "__main__":
    cli.run(command)
