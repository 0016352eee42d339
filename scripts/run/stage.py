"""How each stage script starts: the run folder from --run and --config, then the stage unless it is done."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.scripts.run import cli
from codae_l1.scripts.run._mode import set_mode

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run

DEFAULT_RUN = "runs/demo"
# The option --trust of the commands that load a run's compiled libraries.
TRUST: dict[str, Any] = {
    "action": "store_true",
    "help": "load compiled libraries of the run that its stages did not record, too: they can do whatever you can",
}


def add_run_arguments(parser: Any) -> None:
    """--run, --config, --update: the run folder and the config it is made from."""
    parser.add_argument("--run", type=Path, help=f"run folder (default: runs/<name of the config>, or {DEFAULT_RUN})")
    parser.add_argument(
        "--config",
        type=Path,
        help="TOML config, config.json of another run, or the name of a shipped config such as demo",
    )
    parser.add_argument("--update", action="store_true", help="accept a changed config for an existing run folder")


def check_config(config: Path | None, run: Path | None = None) -> bool:
    """Refuse a wrong config in a command's first moment, before anything slow is imported.

    Returns whether it, or that of the run folder, asks for deterministic trainings. run: None for a command that has no
    run folder.
    """
    from codae_l1.scripts.run.config import RunConfig, load_config

    stored = run / "config.json" if run else None
    chosen = config or (stored if stored and stored.is_file() else None)
    found = load_config(chosen) if chosen else RunConfig()
    return found.training.deterministic


def open_run(run: Path | None, config: Path | None, update: bool = False, trust: bool = False) -> "Run":
    """The run of the arguments; imports no TensorFlow."""
    from codae_l1.scripts.run.config import load_config

    # Before the rest is imported: a wrong config is reported at once.
    loaded = load_config(config) if config else None
    from codae_l1.scripts.run.run import Run

    folder = run or (Path("runs") / config.stem if config else Path(DEFAULT_RUN))
    return Run(folder, loaded, update, trust)


def main(name: str, work: Callable[["Run"], dict[str, Any]], description: str | None, loads: bool = False) -> None:
    """The main function of a stage script; loads: compiled libraries of other stages, and so has --trust."""

    def command() -> None:
        parser = cli.parser(description)
        add_run_arguments(parser)
        if loads:
            parser.add_argument("--trust", **TRUST)
        arguments = parser.parse_args()
        run = open_run(arguments.run, arguments.config, arguments.update, loads and arguments.trust)
        do(run, name, work)

    cli.run(command)


def do(run: "Run", name: str, work: Callable[["Run"], dict[str, Any]], kept: bool = False) -> None:
    """Do one stage of a run, or say that it is done; InputError where what it wrote was altered since.

    kept: for a command beside the chain, what was done is not done anew where code or packages are newer, since that
    would take away the stages that need it; InputError where its config or its events are others.
    """
    there = kept and (run.folder / f"{name}.json").exists()
    if there:
        run.require(name)
    if there or run.is_done(name):
        run.check(name)
        print(f"{name}: done already ({run.folder / name}.json)", flush=True)
        return
    if "tensorflow" not in sys.modules:
        # A stage that goes on with what an earlier command has trained gives the same floating-point scores as in one.
        set_mode(run.config.training.deterministic)
    with run.alone():
        print(f"{name}: started", flush=True)
        content = run.do(name, work)
    print(f"{name}: {content['summary']} ({content['stamp']['seconds']:.0f} s)", flush=True)
