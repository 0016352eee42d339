"""Stage 1, make_data: generate events with Pythia 8 and the fast detector into one HDF5 file.

    python scripts/make_data.py --config scripts/configs/sample.toml --out data/sample/events.h5
    python scripts/make_data.py --out events.h5 --n-qcd 100000 --n-signal 0 --seed 7 --workers 16

A TOML file gives the table [generation] of codae_l1.data.generation.config.GenerationConfig; each of its keys is also a
flag and wins over the file. Interrupted, it goes on where it stopped when the same command is given again.
"""

import argparse
import dataclasses
import shlex
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codae_l1.data.config import dump, parse
from codae_l1.data.errors import InputError
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.generation.generate import Progress, generate


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stage; 0, or 2 for a user's mistake, or 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    command = shlex.join(["python", "scripts/make_data.py", *given])
    try:
        config = configuration(options.config, _flags(options))
        with shown_progress() as progress:
            generate(config, options.out, options.workers, options.work_folder, progress, command)
    except InputError as error:
        print(f"make_data: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"make_data: interrupted; finished chunks are kept, go on with: {command}", file=sys.stderr)
        return 130
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


def configuration(path: Path | None, flags: dict[str, Any]) -> GenerationConfig:
    """The config of a TOML file's table [generation], with flags over it."""
    table: dict[str, Any] = {}
    if path is not None:
        try:
            table = tomllib.loads(path.read_text()).get("generation", {})
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror})", "a TOML file", "correct --config") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not TOML ({error})", "a TOML file", "correct it") from None
    return parse(GenerationConfig, {**dump(parse(GenerationConfig, table, "generation")), **flags}, "generation")


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A progress bar on a terminal, else a line for every tenth of the work."""
    if not sys.stderr.isatty():
        shown = {-1}

        def line(done: int, total: int, text: str) -> None:
            if done * 10 // max(total, 1) not in shown:
                shown.add(done * 10 // max(total, 1))
                print(f"{done} of {total} events, {text}", file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total, description=text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--config", type=Path, help="TOML file with a table [generation]")
    parser.add_argument("--out", type=Path, required=True, help="events file to write (.h5)")
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
    sys.exit(main())
