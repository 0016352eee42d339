"""Stage make_data: the run's events, or generate events with Pythia 8 and the fast detector into one HDF5 file.

    python scripts/make_data.py --run runs/demo                       # the events that the run's config names
    python scripts/make_data.py --config scripts/configs/sample.toml --out data/sample/events.h5
    python scripts/make_data.py --out events.h5 --n-qcd 100000 --n-signal 0 --seed 7 --workers 16

With --out it generates: a TOML file gives the table [generation] of codae_l1.data.generation.config.GenerationConfig;
each of its keys is also a flag and wins over the file. Interrupted, the same command goes on where it stopped.
"""

import argparse
import dataclasses
import shlex
import sys
import tomllib
from pathlib import Path
from typing import Any

from codae_l1.data.config import dump, parse
from codae_l1.data.errors import InputError
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.scripts import cli, stage


def work(run: Any) -> dict[str, Any]:
    """Generate the run's events where its config says so; verify them, count them by split and class."""
    import numpy as np

    from codae_l1.data.store import EventFile
    from codae_l1.scripts.dataset import check_signals, events_path, splits

    path = events_path(run)
    if run.config.data.events == "generate":
        _generate(run.config.data.generation, path, None, run.path("make_data", "work"), "data.events = generate")
    with EventFile(path) as file:
        file.verify()
        check_signals(file)
        split = splits(file)
        counts = {s: _count(file.signal[split == s]) for s in np.unique(split)}
        events = {"source": run.config.data.events, "checksum": file.checksum, "splits": counts}
        text = ", ".join(f"{sum(c.values()):,} {s}" for s, c in counts.items())
        return {"summary": f"{len(file):,} events ({text})", "events": events, "provenance": file.provenance}


def _count(signal: Any) -> dict[str, int]:
    import numpy as np

    return {str(name): int(n) for name, n in zip(*np.unique(signal, return_counts=True), strict=True)}


def command() -> None:
    """With --out generate a file, else do the stage of a run."""
    options = _parser().parse_args()
    if options.out is None:
        _refuse_generation(options)
        run = stage.open_run(options.run, options.config, options.update)
        stage.do(run, "make_data", work)
        return
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers}", "a number >= 1", "correct it, or leave it out for all cores")
    config = configuration(options.config, _flags(options))
    words = shlex.join(["python", "scripts/make_data.py", *sys.argv[1:]])
    _generate(config, options.out, options.workers, options.work_folder, words)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def _generate(config: GenerationConfig, out: Path, workers: int | None, folder: Path | None, words: str) -> None:
    from codae_l1.data.generation.generate import generate

    with cli.Progress("generate") as progress:
        generate(config, out, workers, folder, progress, words)


def configuration(path: Path | None, flags: dict[str, Any]) -> GenerationConfig:
    """The config of a TOML file's table [generation], with flags over it."""
    table: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text())
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror})", "a TOML file", "correct --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not TOML ({error})", "a TOML file", "correct it") from None
        unknown = [key for key in content if key != "generation"]
        if unknown:
            raise InputError(
                f"{path} with {', '.join(unknown)}",
                "the table [generation] alone",
                "rename or remove it; a run's config goes with --run, without --out",
            )
        table = content.get("generation", {})
    return parse(GenerationConfig, {**dump(parse(GenerationConfig, table, "generation")), **flags}, "generation")


def _refuse_generation(options: argparse.Namespace) -> None:
    given = [*_flags(options), *(name for name in ("workers", "work_folder") if getattr(options, name) is not None)]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} without --out",
            "--out with the flags of generation",
            "add --out FILE, or set the run's [data.generation] in its config",
        )


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    # A flag's own default is None, "not given"; the help names the config's.
    parser.formatter_class = argparse.HelpFormatter
    stage.add_run_arguments(parser)
    parser.add_argument("--out", type=Path, help="generate into this events file (.h5); --config gives [generation]")
    parser.add_argument("--workers", type=int, help="processes (default: all cores)")
    parser.add_argument("--work-folder", type=Path, help="where finished chunks are kept (default: OUT with .work)")
    kinds = {"int": int, "float": float, "bool": bool}
    for field in dataclasses.fields(GenerationConfig):
        flag, kind = "--" + field.name.replace("_", "-"), type(field.default).__name__
        if kind == "bool":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=f"default {field.default}")
        elif kind == "tuple":
            parser.add_argument(flag, nargs="+", help=f"default {' '.join(field.default)}")  # type: ignore[arg-type]
        else:
            parser.add_argument(flag, type=kinds[kind], help=f"default {field.default}")
    return parser


def _flags(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of the config that were given as flags."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(GenerationConfig)}
    return {name: value for name, value in given.items() if value is not None}


if __name__ == "__main__":
    cli.run(command)
