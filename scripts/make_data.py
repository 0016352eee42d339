"""Stage make_data: the run's events, or generate events with Pythia 8 and the fast detector into one HDF5 file.

    python scripts/make_data.py --run runs/demo                       # the events that the run's config names
    python scripts/make_data.py --config scripts/configs/sample.toml --out data/sample/events.h5
    python scripts/make_data.py --out events.h5 --n-qcd 100000 --n-signal 0 --seed 7 --workers 16
    python scripts/make_data.py --out events.h5 --n-qcd 100000 --scheduler tcp://node7:8786   # any Dask cluster
    python scripts/make_data.py --layout top-tagging --out jets.h5 --n-top 5000 --n-qcd 5000
    python scripts/make_data.py --layout dark-jets --out dark.h5 --n-dark 100000 --n-qcd 100000
    python scripts/make_data.py --layout adc2021 --out background.h5 --kind background --n-events 10000
    python scripts/make_data.py --layout crossings --out crossings.h5 --n-crossings 0 0 0 100000 --pileup 50

With --out it generates: a TOML file gives the table [generation], whose keys are those of the layout's config
(codae_l1.data.generation: GenerationConfig of config, JetConfig and DarkJetConfig of jets, ObjectConfig of
objects, CrossingsConfig of crossings_config); each is also an option that takes precedence over the file. An
interrupted command resumes.
"""

import argparse
import dataclasses
import re
import shlex
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_toml
from codae_l1.data.generation.config import GenerationConfig, Work
from codae_l1.data.generation.crossings import generate_crossings
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.generation.generate import generate
from codae_l1.data.generation.jets import DarkJetConfig, JetConfig, generate_jets
from codae_l1.data.generation.objects import ObjectConfig, generate_objects
from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


# Layout of the file -> its config, its generator, and what kind of file it is.
LAYOUTS = {
    "codae": (GenerationConfig, generate, "file of events"),
    "top-tagging": (JetConfig, generate_jets, "generated sample"),
    "dark-jets": (DarkJetConfig, generate_jets, "generated sample"),
    "adc2021": (ObjectConfig, generate_objects, "generated sample"),
    "crossings": (CrossingsConfig, generate_crossings, "file of crossings"),
}

# What the stages after make_data read.
_SPLITS = ("train", "validation", "calibration", "test")
# Flags of how a sample is made, not of what is in it.
_OF_WORK = ("--workers", "--scheduler", "--work-folder")


def work(run: "Run") -> dict[str, Any]:
    """Generate the run's events where its config says so; verify them, count them by split and class."""
    import numpy as np

    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.scripts.run.crossings import RunCrossings, check_crossings
    from codae_l1.scripts.run.events import check_events, events_path, indices, splits

    path = events_path(run)
    # Read by a later stage; a mistake should be seen now.
    check_crossings(run.config)
    if run.config.data.events == "generate":
        config, folder = run.config.data.generation, run.path("make_data", "work")
        with cli.Progress("generate") as progress:
            generate(config, path, Work(None, folder, progress, "data.events = generate"))
    with EventFile(path) as file:
        file.verify()
        check_events(file, run.config.data.background)
        RunCrossings.check_pileup(run.config, file.provenance)
        for name in _SPLITS:
            # A stage that needs them would refuse too few, after the training.
            indices(file, name)
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
    kind, generator, made = LAYOUTS[_layout()]
    options = _parser(kind).parse_args()
    if options.out is None:
        _refuse_generation(options, kind)
        run = stage.open_run(options.run, options.config, options.update)
        stage.do(run, "make_data", work)
        return
    if options.workers is not None and options.workers < 1:
        raise InputError(f"--workers {options.workers}", "a number >= 1", "correct it, or leave it out for all cores")
    if options.workers is not None and options.scheduler is not None:
        raise InputError("--workers with --scheduler", "one of them", "the scheduler has workers of its own")
    cli.output("--out", options.out, made, [options.config] if options.config else [])
    config = _configuration(options.config, _flags(options, kind), kind)
    if isinstance(config, CrossingsConfig) and (config.n_images or config.all_images):
        cli.output("--out", config.images_file(options.out), "file of events")
    with cli.Progress("generate") as progress:
        how = Work(options.workers, options.work_folder, progress, _typed(sys.argv[1:]), options.scheduler)
        generator(config, options.out, how)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


def _typed(words: list[str]) -> str:
    """The command, for the provenance, without what makes no other events: the file is the same for any workers.

    >>> _typed(["--out", "e.h5", "--workers", "2", "--scheduler=tcp://x:1", "--seed", "7"])
    'python scripts/make_data.py --out e.h5 --seed 7'
    """
    kept, rest = [], iter(words)
    for word in rest:
        if word in _OF_WORK:
            next(rest, None)
        elif word.partition("=")[0] not in _OF_WORK:
            kept.append(word)
    return shlex.join(["python", "scripts/make_data.py", *kept])


def _layout() -> str:
    """The layout asked for, which decides what the other flags are."""
    first = cli.parser(None, add_help=False)
    _add_layout(first)
    return first.parse_known_args()[0].layout


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layout", choices=LAYOUTS, default="codae", help="layout of the file; --help with it lists its options"
    )


def _configuration(path: Path | None, flags: dict[str, Any], kind: type[Any] = GenerationConfig) -> Any:
    """The config, of class `kind`, of a TOML file's table [generation], with flags over it."""
    table = _generation_table(path)
    return parse(kind, {**dump(parse(kind, table, "generation")), **flags}, "generation")


def _generation_table(path: Path | None) -> dict[str, Any]:
    """The table [generation] of a TOML file, as it stands there; empty without a file."""
    if path is None:
        return {}
    content = read_toml(path, "a TOML file")
    unknown = [key for key in content if key != "generation"]
    if unknown:
        raise InputError(
            f"{path} with {', '.join(unknown)}",
            "the table [generation] alone",
            "rename or remove it; a run's config goes with --run, without --out",
        )
    table = content.get("generation", {})
    if not isinstance(table, dict):
        raise InputError(f"{path}: generation is no table", "the table [generation]", "write it as a TOML table")
    return table


def _refuse_generation(options: argparse.Namespace, kind: type[Any]) -> None:
    others = (name for name in ("workers", "work_folder", "scheduler") if getattr(options, name) is not None)
    given = [*_flags(options, kind), *others, *(["layout"] if options.layout != "codae" else [])]
    if given:
        raise InputError(
            f"--{given[0].replace('_', '-')} without --out",
            "--out with the flags of generation",
            "add --out FILE, or set the run's [data.generation] in its config",
        )


def _parser(kind: type[Any]) -> argparse.ArgumentParser:
    parser = cli.parser(__doc__)
    # A flag's own default is None, "not given"; the help names the config's.
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    stage.add_run_arguments(parser)
    parser.add_argument(
        "--out", type=Path, help="generate into this events file (.h5); --config has the table [generation]"
    )
    _add_layout(parser)
    parser.add_argument("--workers", type=int, help="local processes (default: all cores)")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, whose workers are used instead")
    parser.add_argument("--work-folder", type=Path, help="where finished chunks are kept (default: OUT with .work)")
    types, hints, said = {"int": int, "float": float, "str": str}, typing.get_type_hints(kind), _described(kind)
    for field in dataclasses.fields(kind):
        flag, name, default = "--" + field.name.replace("_", "-"), type(field.default).__name__, field.default
        shown = " ".join(map(str, default)) or "none" if isinstance(default, tuple) else default
        told = f"{said.get(field.name, '')} (default: {shown})".strip().replace("%", "%%")
        if name == "bool":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=told)
        elif name == "tuple":
            parser.add_argument(flag, nargs="+", type=typing.get_args(hints[field.name])[0], help=told)
        else:
            parser.add_argument(flag, type=types[name], help=told)
    return parser


def _described(kind: type[Any]) -> dict[str, str]:
    """Field of a config -> what its docstring says of it, "name: text" or "name, name: text", up to the next field.

    >>> _described(ObjectConfig)["n_events"]
    'how many'
    """
    text, names = " ".join((kind.__doc__ or "").split("\n\n")[1].split()), dataclasses.fields(kind)
    either = "|".join(field.name for field in names)
    found = list(re.finditer(rf"(?<!\w)((?:{either})(?:, (?:{either}))*): ", text))
    ends = [*(match.start() for match in found[1:]), len(text)]
    pieces = ((match, text[match.end() : end].strip().rstrip(".;")) for match, end in zip(found, ends, strict=True))
    return {name: said for match, said in pieces for name in match[1].split(", ")}


def _flags(options: argparse.Namespace, kind: type[Any]) -> dict[str, Any]:
    """The fields of the config that were given as flags."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(kind)}
    return {name: value for name, value in given.items() if value is not None}


if __name__ == "__main__":
    cli.run(command)
