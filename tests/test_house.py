"""The house: packages, the order of the rooms, no circles, sizes, and docstring examples that hold."""

import ast
import doctest
import graphlib
import importlib
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("data", "models", "quantization", "hls", "scripts")
MODULES = sorted(p for layer in LAYERS for p in (ROOT / layer).rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    # The package codae_l1 itself: its folder lies in scripts/, since the top level is fixed.
    if parts[:2] == ("scripts", "package"):
        return "codae_l1"
    return ".".join(("codae_l1", *(p for p in parts if p != "__init__")))


def test_pyproject_lists_every_package():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {dotted(p) for p in MODULES if p.name == "__init__.py"}
    assert set(setuptools["packages"]) == found
    assert setuptools["package-dir"] == {f"codae_l1.{layer}": layer for layer in LAYERS} | {
        "codae_l1": "scripts/package"
    }


def test_every_python_folder_is_a_package():
    folders = {p.parent for p in MODULES}
    assert [f for f in folders if not (f / "__init__.py").exists()] == []


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path, typing: bool = True) -> set[str]:
    """Modules of the project that a file imports, in functions as well; typing: those for type checkers alone, too."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree(path)):
        if not typing and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            skipped |= {inner for part in node.body for inner in ast.walk(part)}
    names = set()
    for node in ast.walk(tree(path)):
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    found = names & FILES.keys()
    # `from codae_l1.data.base import files` asks for the module, not for its package.
    return {name for name in found if not any(other.startswith(f"{name}.") for other in found)} - {dotted(path)}


FILES = {dotted(path): path for path in MODULES}
# A room imports from those before it. data, quantization and scripts hold modules of their own, beside their rooms.
ROOMS = (
    *("data/base", "data", "data/formats", "data/generation"),
    *("models/training", "models/codae", "models/evaluation", "models/systems"),
    *("quantization/f_m", "quantization", "quantization/encoders"),
    *("hls/target", "hls/layers", "hls/network", "hls/rtl", "hls/hls4ml", "hls/cost", "hls/trigger", "hls/vendor"),
    *("scripts/run", "scripts/studies", "scripts/reports", "scripts/package", "scripts"),
)


def room(path: Path) -> str:
    return path.parent.relative_to(ROOT).as_posix()


def test_every_room_has_its_place():
    assert {room(path) for path in MODULES if path.name != "__init__.py"} <= set(ROOMS)
    assert [layer for name in ROOMS for layer in LAYERS if name == layer or name.startswith(f"{layer}/")] == sorted(
        (name.split("/")[0] for name in ROOMS), key=LAYERS.index
    )


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) in ROOMS], ids=dotted)
def test_imports_run_one_way(path):
    later = ROOMS[ROOMS.index(room(path)) + 1 :]
    assert [name for name in sorted(imported(path)) if room(FILES[name]) in later] == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_what_is_private_to_a_room_stays_in_it(path):
    private = {name for name in imported(path) if name.rpartition(".")[2].startswith("_")}
    # Rooms within the room may use it as well.
    assert [name for name in private if FILES[name].parent not in path.parents] == []


def test_no_module_imports_itself_by_way_of_others():
    graph = {dotted(path): imported(path, typing=False) for path in MODULES}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(MODULES)


# A room shows few names: functions and classes without an underscore, in modules without one.
PUBLIC_DEFINITIONS = 450


def test_few_names_are_public():
    shown = [path for path in MODULES if not path.stem.startswith("_") or path.name == "__init__.py"]
    kinds = ast.FunctionDef | ast.ClassDef
    public = [n for p in shown for n in tree(p).body if isinstance(n, kinds) and not n.name.startswith("_")]
    assert len(public) <= PUBLIC_DEFINITIONS


# The one place where files of these kinds are opened for reading.
OPENER = ROOT / "data/base/_opening.py"
OPENERS = {"numpy.load", "numpy.lib.format.read_array", "zipfile.ZipFile", "json.load", "json.loads", "tomllib.load"}
OPENERS |= {"tomllib.loads", "h5py.File", "np.load", "np.lib.format.read_array", "np.lib.format.open_memmap"}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_files_are_opened_in_one_place(path):
    """So that no reader forgets what damage raises. Writing is elsewhere: h5py.File of "w", zipfile of "a"."""
    calls = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
    reads = [c for c in calls if ast.unparse(c.func) in OPENERS and not {"'w'", "'a'"} & set(map(ast.unparse, c.args))]
    assert path == OPENER or [f"line {call.lineno}: {ast.unparse(call)}" for call in reads] == []


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def test_files_and_functions_are_short():
    own = [*MODULES, *(p for folder in ("tests", "benchmarks", "docs") for p in (ROOT / folder).rglob("*.py"))]
    assert [p.name for p in own if len(p.read_text().splitlines()) > 400] == []
    lengths = {f"{dotted(p)}.{f.name}": f.end_lineno - f.lineno + 1 for p in MODULES for f in functions(p)}
    assert {name: lines for name, lines in lengths.items() if lines > 55} == {}


@pytest.mark.parametrize("path", [p for p in MODULES if ">>>" in p.read_text()], ids=dotted)
def test_docstring_examples(path):
    result = doctest.testmod(importlib.import_module(dotted(path)))
    assert result.attempted > 0
    assert result.failed == 0


def test_requirements_are_pinned_and_end_with_the_project():
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    assert lines[-2:] == ["-e .", ""]
    assert all("==" in line for line in lines[:-2])
