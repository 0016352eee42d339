"""The command codae-l1: every script is a command, its help is whole, and it works from a wheel."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from codae_l1.scripts.run import commands

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py") if path.stem[0] != "_")


def call(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "codae_l1.scripts.run.commands", *arguments], capture_output=True, text=True, **options
    )


def test_every_script_is_a_command_and_there_are_few():
    assert sorted(commands.COMMANDS.values()) == SCRIPTS
    assert f"There are {len(SCRIPTS)} commands." in (ROOT / "docs" / "commands.md").read_text()
    assert len(SCRIPTS) <= 22


def test_the_overview_has_a_line_for_each_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["codae-l1"])
    commands.main()
    lines = capsys.readouterr().out.split("commands:\n")[1].splitlines()
    assert [line.split()[0] for line in lines] == list(commands.COMMANDS)
    assert all(len(line.split()) > 3 for line in lines)


def test_an_unknown_command_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["codae-l1", "trian"])
    with pytest.raises(SystemExit, match="2"):
        commands.main()
    error = capsys.readouterr().err
    assert error.startswith("error: unknown command trian; expected one of run, make_data")
    assert error.count("\n") == 1


# Other tests import the modules that runpy runs here once more.
@pytest.mark.filterwarnings("ignore:.*found in sys.modules after import of package:RuntimeWarning")
@pytest.mark.parametrize("name", commands.COMMANDS)
def test_help_is_the_whole_docstring_with_an_example(monkeypatch, capsys, name):
    """In process: what a command imports before it parses its arguments is in test_config_imports."""
    monkeypatch.setattr(sys, "argv", ["codae-l1", name, "--help"])
    with pytest.raises(SystemExit) as stop:
        commands.main()
    assert not stop.value.code
    text = capsys.readouterr().out
    assert text.startswith(f"usage: codae-l1 {name} ")
    assert f"python scripts/{commands.COMMANDS[name]}.py" in text
    assert "default: None" not in text


def test_a_wheel_works_without_the_checkout(tmp_path):
    """pip wheel, unpacked into a folder of its own, from another working directory."""
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    copy = tmp_path / "source"
    ignored = ".git .venv build runs *.egg-info .pytest_cache tests docs"
    subprocess.run(
        ["cp", "-r", *(p for p in ROOT.iterdir() if not any(p.match(i) for i in ignored.split())), _made(copy)],
        check=True,
    )
    subprocess.run([*build, "--wheel-dir", tmp_path, copy], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("codae_l1-*.whl")
    site, elsewhere = _made(tmp_path / "site"), _made(tmp_path / "elsewhere")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", site, wheel]
    subprocess.run(install, check=True, capture_output=True)
    # -S -I: neither the editable install nor the checkout is on the path.
    code = f"""
import sys
sys.path[:0] = [{str(site)!r}, {sysconfig.get_paths()["purelib"]!r}]
sys.argv = ["codae-l1", "report", "--config", "demo"]
from codae_l1.scripts.run import commands
assert commands.__file__.startswith({str(site)!r}), commands.__file__
import codae_l1
from codae_l1.data.sample import SAMPLE
assert SAMPLE.is_file() and codae_l1.__version__
commands.main()
"""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=elsewhere, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "stage make_data of runs/demo is not done" in done.stderr
    # A refused command leaves nothing.
    assert not list(elsewhere.glob("**/config.json"))


def _made(folder):
    os.makedirs(folder)
    return folder
