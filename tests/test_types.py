"""Types: pyright, as `make lint` calls it, finds an error that is planted in code that uses the typed core."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Each line and what pyright says of it; None: nothing.
LINES = {
    'run = codae_l1.open_run("runs/demo")': None,
    'bits = run.accept(images, "1 %", "rtl")': None,
    "run.executer": 'Cannot access attribute "executer" for class "Run"',
    'run.executor("rtl").score(images)': 'Cannot access attribute "score" for class "RunExecutor"',
    'run.executor("rtl").scores(images).shapes': 'Cannot access attribute "shapes" for class "ndarray',
    "run.accept(images)": 'Argument missing for parameter "working_point"',
    "run.config.hls.clock_ns": 'Cannot access attribute "clock_ns" for class "HlsConfig"',
    "design.output_word.integer + 1": None,
    'design["sign"]': '"__getitem__" method not defined on type "Design"',
    "design.clocks": 'Cannot access attribute "clocks" for class "Design"',
    "work(3)": 'Argument of type "Literal[3]" cannot be assigned to parameter "run"',
}
HEAD = """import numpy as np
import codae_l1
from codae_l1.hls.network.executor import Design
from codae_l1.scripts.convert import work

def planted(images: np.ndarray, design: Design):
"""


def test_an_error_planted_in_the_typed_core_is_found(tmp_path):
    links = tmp_path / "links" / "codae_l1"
    links.mkdir(parents=True)
    for name in ("data", "models", "quantization", "hls", "scripts"):
        (links / name).symlink_to(ROOT / name)
    (links / "__init__.py").symlink_to(ROOT / "scripts/package/__init__.py")
    (tmp_path / "planted.py").write_text(HEAD + "".join(f"    {line}\n" for line in LINES))
    settings = {"extends": str(ROOT / "pyproject.toml"), "include": ["planted.py"], "extraPaths": ["links"]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "-p", str(tmp_path), "--pythonpath", sys.executable, "--outputjson"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    found: dict[int, str] = {}
    for said in json.loads(done.stdout)["generalDiagnostics"]:
        if said["severity"] == "error":
            found.setdefault(said["range"]["start"]["line"] - HEAD.count("\n"), said["message"])
    lines = list(LINES)
    assert {lines[number] for number in found} == {line for line, words in LINES.items() if words}
    for number, message in found.items():
        assert LINES[lines[number]] in message


def test_no_run_is_untyped():
    sources = {path: path.read_text() for path in (ROOT / "scripts").rglob("*.py")}
    assert [str(path) for path, text in sources.items() if re.search(r"\brun: Any\b", text)] == []
