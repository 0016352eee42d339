"""Train systems on QCD jets, and see how well they find top jets or dark-shower jets, for any top-tagging file.

    python scripts/jets.py --jets train.h5 --out runs/jets                  # a file of the top-tagging reference set
    python scripts/jets.py --out runs/jets --generate 12000                 # or generated jets (extra `generate`)
    python scripts/jets.py --jets jets.h5 --out runs/tops --train-on top    # complexity bias: train on tops
    python scripts/jets.py --jets dark.h5 --out runs/dark --score r50.h5 z4.h5      # model dependence: other signals

Each system is trained with each seed; no label enters training or the orientation of a score. Writes OUT/jets.json,
jets.md and pictures: reconstructions.png, scores.png, roc.png, latents.png. An interrupted command resumes;
what older code or other package versions trained is trained again. --config takes the tables [systems.jet_ae], ... of a
run's TOML. docs/jets.md and docs/dark_jets.md explain the results.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256, whole_file, write_json
from codae_l1.data.formats.jet_images import CONSTITUENTS, QCD, TOP, JetSample, generated_from, read_jets, split_jets
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.systems.registry import SYSTEMS, PcaConfig, SystemsConfig, system_class
from codae_l1.scripts._jet_tests import EFFICIENCIES, JetTests, read_further, refuse_copies, refuse_trained, told
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
    from codae_l1.models.systems.base import JetSystem, LabelledEvents

# Fewest jets to train on, and of the other kind in the test, so that a number means something.
LEAST_TRAINED, LEAST_TESTED = 100, 10
# Efficiency of the anomaly at which the share of passing background is quoted.
EFFICIENCY = 0.3
# Jets of each kind whose reconstruction is drawn.
EXAMPLES = 3
# What an AUC should be on generated jets: (trained on, anomaly) -> (system, score, least, most); a name stands for the
# AUC of that system.
EXPECTED: dict[tuple[str, str], tuple[tuple[str, str, float | str, float], ...]] = {
    (QCD, TOP): (("jet_ae", "mse", "pca-2", 1.0), ("jet_dirichlet", "mixture", 0.8, 0.92)),
    (TOP, QCD): (("jet_ae", "mse", 0.0, 0.5),),
}


def command() -> None:
    """Parse the arguments; train, score, write, print the table."""
    arguments = _arguments()
    cli.output("--out", arguments.out, "folder of trained jets")
    cli.import_tensorflow(stage.check_config(arguments.config))
    from codae_l1.scripts.reports.jet_report import markdown, write_pictures

    plans = _make_plans(arguments)
    named = _named(arguments.firmware, plans)
    path = arguments.jets or _generated(arguments)
    asked = _settings(arguments, path)
    require_same(arguments.out, asked, "--jets, --most, --train-on and seeds of split and generation")
    forms = {cast("JetSystem", p.create()).side for p in plans}
    # Constituents also tell whether further files hold jets of the training.
    read = tuple(sorted(forms | ({CONSTITUENTS} if arguments.score else set()), key=str))
    refuse_copies(path, arguments.score)
    sample = read_jets(path, read, arguments.most)
    if arguments.train_on not in sample.kinds:
        raise InputError(
            f"--train-on {arguments.train_on}", f"a kind of {path}, {' or '.join(sample.kinds)}", "correct --train-on"
        )
    further = read_further(arguments.score, read, arguments.most)
    refuse_trained(sample, split_jets(sample.kind, arguments.split_seed), further)
    tested = _tested(sample, arguments) if named else {}
    write_json(arguments.out / SETTINGS, asked)
    content, drawn = work(sample, plans, arguments.train_on, arguments.split_seed, arguments.out, further)
    content["jets_file"] = path.name
    if "tests" in content:
        content["tests"]["further"] = told(arguments.score, further)
    content["firmware"] = _firmware(named, sample, tested, arguments) if named else {}
    write_json(arguments.out / "jets.json", content)
    text = markdown(content) + (f"\n## In firmware\n\n{student_rows(content['firmware'])}" if named else "")
    with whole_file(arguments.out / "jets.md") as temporary:
        temporary.write_text(text)
    write_pictures(content, drawn, arguments.out)
    print(text, end="")


def _named(names: list[str], plans: list[Plan]) -> list[tuple[Plan, str]]:
    """Plan and score of each --firmware; InputError where one is not trained, or does not read constituents."""
    found = chosen(names, plans)
    for plan, _ in found:
        if (side := cast("JetSystem", plan.create()).side) != CONSTITUENTS:
            received = f"--firmware {plan.title}, which reads images of {side} x {side} pixels"
            raise InputError(received, "a system that reads constituents", "correct --firmware")
    return found


def _tested(sample: JetSample, arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Kind -> its constituents in the test, background first; InputError where the signal's are too few."""
    part, images = split_jets(sample.kind, arguments.split_seed), sample.images[CONSTITUENTS]
    kinds = sorted(sample.kinds, key=lambda kind: kind != arguments.train_on)
    tested = {kind: images[(part == "test") & (sample.kind == kind)] for kind in kinds}
    if (number := len(tested[kinds[1]])) < LEAST_TESTED:
        received = f"--firmware with {number} {kinds[1]} jets in the test"
        raise InputError(received, f"at least {LEAST_TESTED}", "name a larger file, or leave --firmware out")
    return tested


def _firmware(
    named: list[tuple[Plan, str]], sample: JetSample, tested: dict[str, np.ndarray], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Title -> row of each system whose score goes into firmware."""
    from codae_l1.scripts.run.config import load_config

    hls = load_config(arguments.config).hls if arguments.config else HlsConfig()
    part = split_jets(sample.kind, arguments.split_seed)
    split = partial(_split, sample, CONSTITUENTS, part, arguments.train_on)
    return students(named, split, tested, partial(StudentPlan.of, "constituents", hls), arguments.out)


def _make_plans(arguments: argparse.Namespace) -> list[Plan]:
    """What is to be trained; PCA once for each number of components, and with one seed, since none enters."""
    from codae_l1.scripts.run.config import load_config

    systems = load_config(arguments.config).systems if arguments.config else SystemsConfig()
    of_jets, plans = [name for name in SYSTEMS if system_class(name).inputs == "jets"], []
    for name in dict.fromkeys(arguments.models or of_jets):
        if system_class(name).inputs != "jets":
            reads = f"--models {name}, which reads {system_class(name).inputs}"
            raise InputError(reads, f"some of {', '.join(of_jets)}", "correct --models")
        config = getattr(systems, name)
        seeds = tuple(arguments.seeds) if system_class(name).random else (arguments.seeds[0],)
        if isinstance(config, PcaConfig):
            for k in dict.fromkeys(arguments.components):
                plans.append(Plan(f"pca-{k}", name, dataclasses.replace(config, components=k), seeds))
        else:
            plans.append(Plan(name, name, config, seeds))
    return plans


def work(
    sample: JetSample,
    plans: list[Plan],
    train_on: str,
    split_seed: int,
    out: Path,
    further: dict[str, JetSample] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(What jets.json holds, what the pictures draw); trained systems are kept in OUT/models.

    further: jets of other files, by name, that the trained systems score as well.
    """
    from codae_l1.scripts.run.folder import stamp

    part, anomaly = split_jets(sample.kind, split_seed), next(k for k in sample.kinds if k != train_on)
    tested = np.flatnonzero(part == "test")
    kind = sample.kind[tested]
    jets = {
        p: {k: int(np.sum((part == p) & (sample.kind == k))) for k in sample.kinds} for p in ("train", "validation")
    }
    jets["test"] = {k: int(np.sum(kind == k)) for k in sample.kinds}
    if (number := jets["train"][train_on]) < LEAST_TRAINED:
        raise InputError(
            f"{number} {train_on} jets to train on, of {np.count_nonzero(sample.kind == train_on)}",
            f"at least {LEAST_TRAINED}",
            "name a larger file, or raise --most or --generate",
        )
    content: dict[str, Any] = {"train_on": train_on, "anomaly": anomaly, "jets": jets, "efficiency": EFFICIENCY}
    if jets["test"][anomaly] < LEAST_TESTED:
        content["no_auc"] = f"{jets['test'][anomaly]} {anomaly} jets in the test, fewer than {LEAST_TESTED}: no AUC"
    tests = None if "no_auc" in content else JetTests(sample, part, train_on, further or {})
    drawn: dict[str, Any] = {"kind": kind, "kinds": sample.kinds, "scores": {}, "latents": {}, "examples": {}}
    content["models"] = {plan.title: _model(plan, sample, part, content, drawn, out, tests) for plan in plans}
    content["baselines"] = {}
    if tests:
        observed = {name: tests.of_observable(name) for name in sample.observables}
        content["tests"] = {"efficiencies": EFFICIENCIES, "background": jets["test"][train_on], "baselines": observed}
        content["tests"]["further"] = {}
    for name, values in sample.observables.items():
        drawn["scores"][name] = values[tested]
        content["baselines"][name] = _measure(values[tested], kind, content)
    content["checks"] = _checks(content)
    return {**content, "split_seed": split_seed, "stamp": stamp(split_seed)}, drawn


def _model(
    plan: Plan,
    sample: JetSample,
    part: np.ndarray,
    content: dict[str, Any],
    drawn: dict[str, Any],
    out: Path,
    tests: JetTests | None,
) -> dict[str, Any]:
    """Train a plan with its seeds and measure each, beside itself untrained; the first seed is drawn."""
    trials: dict[int, dict[str, Any]] = {}
    row: dict[str, Any] = {"system": plan.system, "config": dump(plan.config)}
    for seed in plan.seeds:
        side = cast("JetSystem", plan.create(seed)).side
        split = partial(_split, sample, side, part, content["train_on"])
        system, trial = train(plan, seed, split, out)
        images = sample.images[side][part == "test"]
        scores = system.scores(images)
        fresh = system.before_training(*split())
        before = fresh.scores(images) if fresh else {}
        trials[seed] = trial | {
            "scores": {name: _measure(score, drawn["kind"], content) for name, score in scores.items()},
            "untrained": {name: _measure(score, drawn["kind"], content) for name, score in before.items()},
        }
        if tests:
            trials[seed]["tests"] = tests.of_system(system, fresh)
        if seed == plan.seeds[0]:
            row |= {"main_score": system.main_score, "side": side}
            row |= {"parameters": system.parameters, "macs": system.macs}
            _draw(plan.title, cast("JetSystem", system), images, scores[system.main_score], drawn)
    row["seeds"] = trials
    return row if "no_auc" in content else {**row, "summary": over_seeds(list(trials.values()))}


def _split(
    sample: JetSample, side: int | str, part: np.ndarray, train_on: str
) -> "tuple[LabelledEvents, LabelledEvents]":
    """Jets to train on and to choose the epoch by; they are the background, called "qcd" also where they are not."""
    from codae_l1.models.systems.base import LabelledEvents

    chosen = [(part == p) & (sample.kind == train_on) for p in ("train", "validation")]
    train, validation = (LabelledEvents(sample.images[side][c], np.full(np.count_nonzero(c), QCD)) for c in chosen)
    return train, validation


def _draw(title: str, system: "JetSystem", images: np.ndarray, score: np.ndarray, drawn: dict[str, Any]) -> None:
    """Keep what the pictures need of a system: its score, its latent plane, the first jets of each kind."""
    drawn["scores"][title] = score
    latent = system.latent(images)
    if latent is not None and latent.shape[1] == 2:
        drawn["latents"][title] = latent
    chosen = np.concatenate([np.flatnonzero(drawn["kind"] == k)[:EXAMPLES] for k in drawn["kinds"]])
    drawn["examples_kind"] = drawn["kind"][chosen]
    made = system.reconstruct(images[chosen])
    if made is not None:
        drawn["examples"][title] = {"image": images[chosen][..., 0], "reconstruction": made[..., 0]}


def _measure(score: np.ndarray, kind: np.ndarray, content: dict[str, Any]) -> dict[str, float]:
    """AUC, share of background passing at EFFICIENCY, each with its error; nothing without an anomaly."""
    if "no_auc" in content:
        return {}
    background, anomaly = (score[kind == content[k]] for k in ("train_on", "anomaly"))
    return measure(background, anomaly, EFFICIENCY)


def _checks(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Of each expected AUC whose system is there: what, its value, the least and most expected, whether it holds.

    Where the system that it should surpass is not there: what, and what is missing.

    >>> auc = {"pca-2": 0.8, "jet_ae": 0.9}
    >>> models = {name: {"summary": {"mse": {"auc": {"mean": value}}}} for name, value in auc.items()}
    >>> _checks({"train_on": "qcd", "anomaly": "top", "models": models})
    [{'what': 'jet_ae, mse', 'value': 0.9, 'least': 0.8, 'most': 1.0, 'holds': True}]
    >>> del models["pca-2"]
    >>> _checks({"train_on": "qcd", "anomaly": "top", "models": models})
    [{'what': 'jet_ae, mse', 'missing': 'pca-2'}]
    """
    found = {title: row["summary"] for title, row in content["models"].items() if "summary" in row}
    result = []
    for title, score, least, most in EXPECTED.get((content["train_on"], content["anomaly"]), ()):
        if title not in found:
            continue
        if isinstance(least, str) and least not in found:
            result.append({"what": f"{title}, {score}", "missing": least})
            continue
        value = found[title][score]["auc"]["mean"]
        low = found[least][score]["auc"]["mean"] if isinstance(least, str) else least
        check = {"what": f"{title}, {score}", "value": value, "least": low, "most": most}
        result.append({**check, "holds": low < value < most})
    return result


def _generated(arguments: argparse.Namespace) -> Path:
    """OUT/jets.h5 of --generate jets a kind; kept where it is there and was made from the same config."""
    from codae_l1.data.generation.jets import JetConfig, generate_jets

    number = arguments.generate
    config = JetConfig(n_top=number, n_qcd=number, seed=arguments.generation_seed)
    path = arguments.out / "jets.h5"
    return generated(path, config, generate_jets, generated_from, "python scripts/jets.py")


def _settings(arguments: argparse.Namespace, path: Path) -> dict[str, Any]:
    """What all trainings in OUT have in common."""
    if not path.is_file():
        raise InputError(f"{path} is not a file", "an HDF5 file of the top-tagging layout", "correct --jets")
    names = ("most", "train_on", "split_seed") + (() if arguments.jets else ("generate", "generation_seed"))
    return {"jets": sha256(path), **{name: getattr(arguments, name) for name in names}}


def _arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--jets", type=Path, help="HDF5 of the top-tagging layout; without it jets are generated")
    parser.add_argument("--generate", type=int, default=12000, help="jets of each kind to generate without --jets")
    add_common_arguments(parser, "jets", "jets")
    add_firmware_argument(parser)
    parser.add_argument(
        "--components", type=int, nargs="+", default=[0, 2, 6], help="numbers of components of PCA, one system for each"
    )
    parser.add_argument(
        "--train-on", default=QCD, metavar="KIND", help="qcd, or the file's signal (top): the other is the anomaly"
    )
    parser.add_argument(
        "--score", nargs="+", type=Path, default=[], metavar="FILE", help="jets files whose signal is scored as well"
    )
    parser.add_argument("--most", type=int, default=20000, help="jets of each kind to read from the file")
    parser.add_argument(
        "--split-seed", type=int, default=42, help="seed of the split: 80 %% training, 20 %% test of each kind"
    )
    parser.add_argument("--config", type=Path, help="TOML with [systems.jet_ae], ...: sizes, training")
    arguments = parser.parse_args()
    require_common(arguments)
    if arguments.score and arguments.train_on != QCD:
        received = f"--score with --train-on {arguments.train_on}: further signals, but no QCD background"
        raise InputError(received, f"--train-on {QCD}", "leave out --score or --train-on")
    if min(arguments.components) < 0:
        raise InputError(f"--components {arguments.components}", "numbers >= 0", "correct them")
    return arguments


if __name__ == "__main__":
    cli.run(command)
