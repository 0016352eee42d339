"""The stages of a run as a graph: what each needs, which sections of the config it reads, and its code.

    make_data -> train -> quantize -> convert -> synthesize -> evaluate -> report
                             |           |          `-> vendor, place
                             |           `-> rates
                             `-> numerics;  make_data -> compare

A stage is up to date while its sections, the stages that it needs, the package versions and its code are those that it
was made with. Its code is what its function `work` and the functions that it calls import, directly or not. Of the
modules of scripts/run only those that decide numbers are followed: the others hand on what other stages made, whose
code is counted there.

To add a stage: a module of scripts/ with `work(run) -> dict`, and one line in STAGES.
"""

import ast
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "codae_l1"
# Modules of scripts/run that decide numbers: which events are in which split, what an executor gives, tables.
_COUNTED = tuple(f"codae_l1.scripts.run.{name}" for name in ("events", "executors", "tables", "crossings", "_ceiling"))
_TEMPLATES = (".j2", ".h", ".hpp", ".cpp", ".v", ".json")
# Parts of a Python file that hold statements.
_STATEMENTS = (ast.stmt, ast.ExceptHandler, ast.match_case)
# Packages whose templates lie in another folder.
_TEMPLATE_FOLDERS = {"codae_l1.hls.trigger": "hls/cpp", "codae_l1.hls.hls4ml": "hls/cpp"}
# What is read of an hls4ml project, which C synthesis adds to: build_opt.tcl is its own.
_HLS4ML = (
    *("hls4ml/project.json", "hls4ml/emulation/*", "hls4ml/firmware/**/*", "hls4ml/*.cpp"),
    *("hls4ml/build_prj.tcl", "hls4ml/project.tcl", "hls4ml/vivado_synth.tcl"),
)
# Tables and figures of an optional stage.
_RESULTS = ("*.json", "*.md", "*.svg")


@dataclass(frozen=True)
class Stage:
    """needs: stages whose results it reads. sections: tables of the config that it reads.

    made: patterns of the files in its folder that others read, whose sums it records. optional: the chain leaves it
    out; its folder keeps finished steps by their own inputs, and the report shows its rows while they are of the run's
    design.
    """

    name: str
    needs: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    optional: bool = False

    @property
    def module(self) -> str:
        """Dotted name of the module whose `work(run)` does it."""
        return f"{_PACKAGE}.scripts.{'vendor' if self.name == 'place' else self.name}"


STAGES = {
    stage.name: stage
    for stage in (
        Stage("make_data", (), ("data",), ("events.h5",)),
        Stage("train", ("make_data",), ("model", "training"), ("codae.keras",)),
        Stage("quantize", ("train",), ("firmware", "distill", "in_situ"), ("*.npz",)),
        Stage("convert", ("quantize",), ("hls",), ("emulator/*", *_HLS4ML)),
        Stage("synthesize", ("convert",), ("hls",), ("rtl/*.*", "rtl/src/**/*", "rtl/sim/*.so")),
        Stage("evaluate", ("synthesize",), ("evaluation", "trigger"), ("scores.h5",)),
        Stage("report", ("evaluate",), (), ("report.*",)),
        Stage("numerics", ("quantize",), (), _RESULTS, optional=True),
        Stage("vendor", ("synthesize",), (), ("*/*.json",), optional=True),
        Stage("place", ("synthesize",), (), ("*/*.json",), optional=True),
        Stage("rates", ("convert",), ("trigger",), tuple(f"*/{name}" for name in _RESULTS), optional=True),
        Stage("compare", ("make_data",), ("systems", "evaluation"), _RESULTS, optional=True),
    )
}
# Folder of the files that scripts/import_weights.py has put into a run.
WEIGHTS = "weights"
# The stages of the chain, in order.
CHAIN = tuple(name for name, stage in STAGES.items() if not stage.optional)


def all_needs(name: str) -> tuple[str, ...]:
    """A stage's needs and theirs, in order, without itself.

    >>> all_needs("quantize")
    ('make_data', 'train')
    """
    found = {need for direct in STAGES[name].needs for need in (*all_needs(direct), direct)}
    return tuple(stage for stage in STAGES if stage in found)


def dependents(name: str) -> tuple[str, ...]:
    """The stages that need a stage, directly or not.

    >>> dependents("evaluate")
    ('report',)
    """
    return tuple(stage for stage in STAGES if name in all_needs(stage))


def code_of(module: str) -> str:
    """SHA-256 of a module's code, of all that it imports of this package, and of their templates."""
    sum_ = hashlib.sha256()
    for path in sorted(_files_of(module)):
        sum_.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + _content(path))
    return sum_.hexdigest()


@functools.cache
def _files_of(module: str) -> frozenset[Path]:
    """The source files of a module and of all that it imports of this package, with the templates beside them."""
    waiting, seen, files = [module], set(), set()
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in seen or path is None:
            continue
        seen.add(name)
        files.add(path)
        folder = _TEMPLATE_FOLDERS.get(name.rpartition(".")[0])
        templates = [*path.parent.iterdir(), *((ROOT / folder).iterdir() if folder else ())]
        files |= {file for file in templates if file.suffix in _TEMPLATES}
        waiting += [found for found in _imports(path, "work" if name == module else "") if _followed(found)]
    return frozenset(files)


def _followed(name: str) -> bool:
    return name in _COUNTED or not name.startswith(f"{_PACKAGE}.scripts.run.")


@functools.cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


@functools.cache
def _path(name: str) -> Path | None:
    """The file of a module or package; None where there is none (a name inside a module, another package)."""
    if not re.fullmatch(rf"{_PACKAGE}(\.\w+)+", name):
        return None
    base = ROOT.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.cache
def _imports(path: Path, function: str) -> tuple[str, ...]:
    """Dotted names that a file imports, packages and possible modules; not those for type checkers alone.

    function: imports inside functions count for this one and those that it names; all of them where it is empty.
    """
    found: list[str] = []
    tree, quoted = ast.parse(_content(path)), f'"{_PACKAGE}.'.encode() in _content(path)
    waiting: list[ast.AST] = [tree]
    if function in _definitions(tree):
        unused = _definitions(tree).keys() - _reached(tree, function)
        waiting = [node for node in tree.body if getattr(node, "name", None) not in unused]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _path(node.value) is not None:
            # python -m MODULE: a job of its own process.
            found.append(node.value)
        # Only where a name of this package stands in quotes is there something in expressions.
        waiting += [child for child in ast.iter_child_nodes(node) if quoted or isinstance(child, _STATEMENTS)]
    return tuple(name for name in found if name.startswith(f"{_PACKAGE}."))


def _definitions(tree: ast.Module) -> dict[str, ast.AST]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def _reached(tree: ast.Module, function: str) -> set[str]:
    """The functions and classes of a file that one of its functions names, directly or not, itself included."""
    definitions, waiting, reached = _definitions(tree), [function], set()
    while waiting:
        name = waiting.pop()
        if name in reached or name not in definitions:
            continue
        reached.add(name)
        waiting += [node.id for node in ast.walk(definitions[name]) if isinstance(node, ast.Name)]
    return reached
