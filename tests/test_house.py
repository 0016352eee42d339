"""The house: folders and packages agree, imports run one way between floors and rooms, docstring examples hold."""

import ast
import doctest
import importlib
import tomllib
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


# Rooms (folders with code) in the order of their imports: each may import those before it.
ROOMS = (
    *("data/base", "data", "data/formats", "data/generation"),
    *("models/training", "models/codae", "models/evaluation", "models/systems", "models"),
    *("quantization/f_m", "quantization", "quantization/encoders"),
    *(
        "hls/target",
        "hls/layers",
        "hls/network",
        "hls/rtl",
        "hls/hls4ml",
        "hls/cost",
        "hls/trigger",
        "hls/vendor",
        "hls",
    ),
    *("scripts/run", "scripts/studies", "scripts/reports", "scripts", "scripts/package"),
)


def room(module: str) -> str:
    """Folder of a module codae_l1.FLOOR... or of a package."""
    path = Path(*module.split(".")[1:])
    return (path if (ROOT / path / "__init__.py").exists() else path.parent).as_posix()


def test_rooms_import_in_one_order():
    assert {p.parent.relative_to(ROOT).as_posix() for p in MODULES} == set(ROOMS)
    against = []
    for path in MODULES:
        own = path.parent.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            found = [room(name) for name in names if name.startswith("codae_l1.")]
            against += [f"{dotted(path)} imports {other}" for other in found if ROOMS.index(other) > ROOMS.index(own)]
    assert against == []


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_run_one_way(path):
    own = LAYERS.index(path.relative_to(ROOT).parts[0])
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module] if isinstance(node, ast.ImportFrom) else []
        names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name and name.startswith("codae_l1."):
                assert LAYERS.index(name.split(".")[1]) <= own, f"{dotted(path)} imports {name}"


@pytest.mark.parametrize("path", [p for p in MODULES if ">>>" in p.read_text()], ids=dotted)
def test_docstring_examples(path):
    result = doctest.testmod(importlib.import_module(dotted(path)))
    assert result.attempted > 0
    assert result.failed == 0


def test_requirements_are_pinned_and_end_with_the_project():
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    assert lines[-2:] == ["-e .", ""]
    assert all("==" in line for line in lines[:-2])
