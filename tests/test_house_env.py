"""The environment script: a missing prerequisite is one line with its remedy, exit code 2, and no .venv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "cat", "cksum", "dirname")


@pytest.fixture
def setup_env(tmp_path):
    """Run a copy of the script with nothing on PATH but the named programs; gives (exit code, standard error)."""
    project, programs = tmp_path / "project", tmp_path / "bin"
    (project / "scripts").mkdir(parents=True)
    programs.mkdir()
    for name in ("requirements.txt", "pyproject.toml", "scripts/setup_env.sh"):
        shutil.copy(ROOT / name, project / name)
    for name in TOOLS:
        (programs / name).symlink_to(shutil.which(name))

    def call(python: str, *others: str, **environment: str) -> tuple[int, str]:
        (programs / "python3").write_text(f"#!{shutil.which('sh')}\n{python}\n")
        (programs / "python3").chmod(0o755)
        for name in others:
            (programs / name).symlink_to(shutil.which("true"))
        result = subprocess.run(
            [programs / "sh", project / "scripts/setup_env.sh"],
            env={"PATH": str(programs), **environment},
            capture_output=True,
            text=True,
        )
        assert not (project / ".venv").exists()
        return result.returncode, result.stderr

    return call


def test_old_python(setup_env):
    code, error = setup_env('[ "$1" = -V ] && echo Python 3.9.2 && exit 0; exit 1')
    assert code == 2
    assert "no Python 3.11, 3.12 or 3.13 found (python3 is Python 3.9.2); install one" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("named", ["python9", shutil.which("true")])
def test_what_is_named_is_a_python(setup_env, named):
    code, error = setup_env(f'exec {sys.executable} "$@"', PYTHON=named)
    assert code == 2
    assert error == (
        f"codae-l1: PYTHON={named} is no Python 3.11 to 3.13; name one: make demo PYTHON=/path/to/python3.12\n"
    )


def test_no_venv_module(setup_env):
    code, error = setup_env('case "$2" in *ensurepip*) exit 1;; *sys*) echo True;; esac; exit 0')
    assert code == 2
    assert "python3 has no venv module; install it (Debian, Ubuntu: apt-get install python3-venv)" in error
    assert error.count("\n") == 1


def test_no_compiler(setup_env):
    code, error = setup_env(f'exec {sys.executable} "$@"', HOME=os.environ.get("HOME", "/"))
    assert code == 2
    assert "no C++ compiler (g++ or clang++) on PATH; install one (Debian, Ubuntu: apt-get install g++)" in error
    assert error.count("\n") == 1


# A Python that has all the script asks for and then makes no environment.
NO_VENV = 'case "$*" in "-m venv"*) exit 1;; *sys*) echo True;; esac; exit 0'


@pytest.mark.parametrize("name", ["g++", "clang++"])
def test_each_compiler_that_the_code_can_use_is_enough(setup_env, name):
    code, error = setup_env(NO_VENV, name)
    assert code == 2
    assert "compiler" not in error
    assert "python3 -m venv .venv failed" in error


def test_the_compiler_may_be_named(setup_env):
    code, error = setup_env(NO_VENV, "my-c++", CXX="my-c++")
    assert code == 2
    assert "compiler" not in error
    assert "python3 -m venv .venv failed" in error


def test_a_named_compiler_that_is_not_there_is_said(setup_env):
    code, error = setup_env(NO_VENV, CXX="my-c++")
    assert code == 2
    assert "no C++ compiler (CXX=my-c++, g++ or clang++) on PATH; install one" in error
