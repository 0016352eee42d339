"""The texts: width, links, and that the commands, options, names and paths that they mention exist."""

import ast
import contextlib
import io
import json
import re
import runpy
import shlex
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import codae_l1
from codae_l1.scripts.run.commands import COMMANDS

ROOT = Path(__file__).parents[1]
WIDTH = 120
NOTEBOOKS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/sample/README.md")]
    + [*(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md"), *NOTEBOOKS]
)
# What older releases were is no longer there.
CURRENT = [path for path in PAGES if path.name != "CHANGELOG.md"]
CONFIGS = sorted((ROOT / "scripts" / "configs").glob("*.toml"))
# Pages whose tables are written by a command, one row per system.
WRITTEN = ("docs/comparison.md", "docs/comparison_zero_bias.md", "docs/jets.md", "docs/dark_jets.md")
PACKAGES = ("data", "models", "quantization", "hls", "scripts")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    """The text of a page; of a notebook that of its Markdown cells."""
    if path.suffix != ".ipynb":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def snippets(text: str) -> list[str]:
    """The code of a page: lines of fences, continued lines joined, and spans, each in one line."""
    fences = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for fence in fences for line in fence.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return lines + [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", rest)]


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower().strip()).replace(" ", "-")


@pytest.mark.parametrize("path", [p for p in PAGES if p.suffix == ".md"] + CONFIGS, ids=name_of)
def test_lines_are_not_too_long(path):
    exempt = "|" if name_of(path) in WRITTEN else "\0"
    lines = enumerate(path.read_text().splitlines(), 1)
    assert [(number, len(line)) for number, line in lines if len(line) > WIDTH and not line.startswith(exempt)] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
def test_notebooks_are_small(path):
    cells = json.loads(path.read_text())["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert max(map(len, code.splitlines())) <= WIDTH
    assert len(path.read_text()) < 30_000


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(path)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        to = path if not file else (path.parent / file).resolve()
        headings = re.findall(r"^#+ (.*)$", to.read_text(), re.MULTILINE) if to.suffix == ".md" else []
        if not to.exists() or (anchor and anchor not in map(slug, headings)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", CURRENT + CONFIGS, ids=name_of)
def test_names_and_paths_exist(path):
    text = text_of(path)
    names = {name.rstrip(".") for name in re.findall(r"codae_l1(?:\.\w+)+", text)}
    assert [name for name in sorted(names) if not is_defined(name)] == []
    paths = {s for s in snippets(text) if re.fullmatch(rf"({'|'.join(PACKAGES)}|docs|tests|benchmarks)/[\w/.-]+", s)}
    if path in CONFIGS:
        paths |= set(re.findall(r"(?<![\w/])(?:docs|scripts|data)/[\w/]+\.\w+", text))
    assert [name for name in sorted(paths) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", CURRENT, ids=name_of)
def test_imports_of_examples_exist(path):
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        code = ["".join(cell["source"]) for cell in cells]
    else:
        code = re.findall(r"^```python\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    imported = re.findall(r"^from (codae_l1[\w.]*) import (.+)$", "\n".join(code), re.MULTILINE)
    names = [f"{module}.{name.strip()}" for module, listed in imported for name in listed.split(",")]
    assert [name for name in names if not is_defined(name)] == []


def is_defined(name: str) -> bool:
    """Whether codae_l1.a.b.C is a module or a name at the top of one, read from the sources."""
    parts = name.split(".")[1:]
    if parts[0] not in PACKAGES:
        return hasattr(codae_l1, parts[0])
    for length in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:length])
        file = base.with_suffix(".py") if base.with_suffix(".py").exists() else base / "__init__.py"
        if file.exists():
            return len(parts) == length or parts[length] in top_names(file)
    return False


@cache
def top_names(file: Path) -> set[str]:
    names = set()
    for node in ast.parse(file.read_text()).body:
        targets = getattr(node, "targets", [getattr(node, "target", node)])
        names |= {n for t in targets if (n := getattr(t, "name", getattr(t, "id", None)))}
    return names


def commands(path: Path) -> list[tuple[str, list[str]]]:
    """(script, its words) of each call of a script on a page."""
    found = []
    for snippet in snippets(text_of(path)):
        match = re.search(r"(?:^|[\s=])(?:scripts/(\w+)\.py|codae-l1 ([a-z][\w-]*))\b(.*)", snippet.split(" # ")[0])
        if match and match[1] != "NAME":
            name = (match[2] or "").replace("-", "_")
            script = match[1] or COMMANDS.get(name, name)
            found.append((script, shlex.split(match[3].replace("...", " "), comments=True)))
    return found


@cache
def help_of(script: str, *layout: str) -> str:
    """What a command prints for --help."""
    printed, argv = io.StringIO(), sys.argv
    sys.argv = [f"scripts/{script}.py", *layout, "--help"]
    try:
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / "scripts" / f"{script}.py"), run_name="__main__")
    finally:
        sys.argv = argv
    assert stop.value.code == 0
    return printed.getvalue()


@pytest.mark.parametrize("path", [p for p in CURRENT if commands(p)], ids=name_of)
def test_commands_and_options_exist(path):
    missing = []
    for script, words in commands(path):
        if not (ROOT / "scripts" / f"{script}.py").exists():
            missing.append(script)
            continue
        layout = [word for pair in pairwise(words) if pair[0] == "--layout" for word in pair]
        sub_command = words[:1] if "COMMAND" in help_of(script) else []
        options = set(re.findall(r"--[a-z][\w-]*", help_of(script, *sub_command, *layout)))
        missing += [f"{script} {word}" for word in words if word.startswith("--") and word not in options]
    assert missing == []
