"""The command codae-l1: all commands under one name.

    codae-l1 run --config demo
    codae-l1 score --run runs/demo --events my.h5 --executor emulator --out scores.h5
    codae-l1 COMMAND --help

A dash in a name works like an underscore. Each command is also a script of its own: python scripts/NAME.py.
"""

import ast
import runpy
import sys
from pathlib import Path

from codae_l1.scripts.run import cli

# Command -> its module in scripts/. To add one: a module with a docstring, and a line here.
COMMANDS = {
    "run": "run_chain",
    "make_data": "make_data",
    "train": "train",
    "import_weights": "import_weights",
    "quantize": "quantize",
    "convert": "convert",
    "synthesize": "synthesize",
    "evaluate": "evaluate",
    "report": "report",
    "score": "score",
    "export": "export",
    "events": "events",
    "compare": "compare",
    "rates": "rates",
    "scan": "scan",
    "vendor": "vendor",
    "project": "project",
    "encoders": "encoders",
    "swaps": "swaps",
    "numerics": "numerics",
    "jets": "jets",
    "objects": "objects",
}
_SCRIPTS = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the command that the first argument names; nothing is imported that it does not need."""
    cli.run(_command)


def _command() -> None:
    given, *rest = sys.argv[1:] or ["--help"]
    name = given.replace("-", "_") if not given.startswith("-") else given
    if name in ("-h", "--help"):
        print(_overview())
        return
    if name == "--version":
        from importlib.metadata import version

        print(version("codae-l1"))
        return
    if name not in COMMANDS:
        print(
            f"error: unknown command {given}; expected one of {', '.join(COMMANDS)}; see codae-l1 --help",
            file=sys.stderr,
        )
        sys.exit(2)
    sys.argv = [f"codae-l1 {given}", *rest]
    runpy.run_module(f"codae_l1.scripts.{COMMANDS[name]}", run_name="__main__")


def _overview() -> str:
    """The commands with one line each."""
    lines = [*(__doc__ or "").rstrip().split("\n"), "", "commands:"]
    lines += [f"  {name:15}{_first_sentence(module)}" for name, module in COMMANDS.items()]
    return "\n".join(lines)


def _first_sentence(module: str) -> str:
    """What a command's docstring begins with, read without importing it."""
    tree = ast.parse((_SCRIPTS / f"{module}.py").read_text())
    return (ast.get_docstring(tree) or "").split("\n")[0]


if __name__ == "__main__":
    main()
