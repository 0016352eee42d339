"""Trigger rates on zero-bias crossings at scale: generated, scored and counted as a stream, no image is kept.

    python scripts/rates.py --run runs/demo --crossings 1000000
    python scripts/rates.py --run runs/demo --crossings 200000 --pileup 30 50 100 200 --name pileup
    python scripts/rates.py --run runs/demo --crossings 100000 --config pool.toml --workers 8

The run's trigger is its firmware (the emulator's words, which are those of the RTL) beside counts that learn nothing
and the menu of the run's table [trigger]. Each pile-up is a sample of its own from one pool of collisions; thresholds
are fixed at 50 if it is among them, else at the first. The table [generation] of --config has the other keys of
CrossingsConfig (`make_data.py --layout crossings --help`), such as n_soft and n_hard, the size of the pool.

Writes rates.json, rates.md and figures to the folder rates/NAME of the run, and the chunks of words; rates.json of the
run, from which the next report takes a row. An interrupted command resumes. docs/rates.md says how to read it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.data.generation.config import Work
from codae_l1.scripts.make_data import _generation_table
from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run
    from codae_l1.scripts.studies.streamed import Study


def _command() -> None:
    """Parse the arguments; generate, measure, count, write, print."""
    arguments = _parser().parse_args()
    from codae_l1.scripts.studies import streamed

    table = _generation_table(arguments.config)
    configs = streamed.study_configs(table, arguments.crossings, arguments.signals, tuple(arguments.pileup))
    _check_work(arguments)
    run = stage.open_run(arguments.run, None, trust=arguments.trust)
    run.require("convert")
    folder = run.path("rates", arguments.name)
    words = streamed.RunWords.of(run.folder, run.path("quantize", "f_m.npz"), arguments.trust)
    study = streamed.Study(folder, configs, words)
    trigger = run.config.trigger
    few = streamed.check_menu(configs[study.reference], trigger.menu, trigger.crossing_khz)
    # The workers need it after hours of generation; what keeps it from being loaded should be seen now.
    words.executor()
    study.check()
    for mu, config in configs.items():
        predicted = streamed.predicted_reach(config, trigger.crossing_khz)
        print(f"pile-up {mu:g}, {arguments.crossings:,} crossings: {streamed.reach_text(predicted)}", flush=True)
    if few:
        print(few, flush=True)
    with cli.Progress("rates") as progress:
        how = Work(arguments.workers, None, progress, scheduler=arguments.scheduler)
        content = run.do("rates", lambda run: _study(run, study, how))
    for score, khz in content["trigger"]["reach_khz"].items():
        print(f"reach of {score}: {khz:.3g} kHz")
    if "reason" in content["trigger"]["menu"]:
        print(f"the menu is not carried: {content['trigger']['menu']['reason']}")
    print((folder / "rates.md").read_text())
    print(folder / "rates.json")


def _study(run: "Run", study: "Study", how: Work) -> dict[str, Any]:
    """Make what is not there and write the results; what the stage says."""
    from codae_l1.scripts.reports.rates_page import write_rates
    from codae_l1.scripts.studies.streamed import study_results

    content = study_results(study, run.config.trigger, study.make(how))
    section = content["trigger"]
    write_json(study.folder / "rates.json", content)
    write_rates(content, study.folder)
    reach = ", ".join(f"{score} {khz:.3g} kHz" for score, khz in section["reach_khz"].items())
    summary = f"{section['crossings']:,} crossings at pile-up {section['pileup']:g}; reach {reach}"
    if "reason" in section["menu"]:
        summary += f"; the menu is not carried: {section['menu']['reason']}"
    row = {"name": f"rates, {study.folder.name}", "kind": "generated", "tool": "Pythia 8", "figures": summary}
    return {"summary": summary, "rows": [row], "study": study.folder.name, **content}


def _check_work(arguments: argparse.Namespace) -> None:
    if arguments.workers is not None and arguments.workers < 1:
        raise InputError(f"--workers {arguments.workers}", "a number >= 1", "correct it, or leave it out for all cores")
    if arguments.workers is not None and arguments.scheduler is not None:
        raise InputError("--workers with --scheduler", "one of them", "the scheduler has workers of its own")
    if Path(arguments.name).name != arguments.name or arguments.name in ("", ".", ".."):
        raise InputError(f"--name {arguments.name!r}", "the name of a folder", "leave out what separates folders")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder whose stage convert is done")
    parser.add_argument("--crossings", type=int, default=100_000, help="zero-bias crossings of each pile-up")
    parser.add_argument(
        "--pileup", type=float, nargs="+", default=[50.0], metavar="MU", help="mean numbers of collisions in a crossing"
    )
    parser.add_argument("--signals", type=int, default=600, help="crossings of each signal at each pile-up")
    parser.add_argument("--name", default="study", help="folder of the study in rates/ of the run")
    parser.add_argument("--config", type=Path, help="TOML file whose table [generation] has keys of CrossingsConfig")
    parser.add_argument("--trust", **stage.TRUST)
    parser.add_argument("--workers", type=int, help="local processes (default: all cores)")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, whose workers are used instead")
    return parser


if __name__ == "__main__":
    cli.run(_command)
