"""Fixtures of the tests of layers."""

import pytest

from codae_l1.hls.target.compiler import find_compiler


@pytest.fixture
def quick_compiler(tmp_path, monkeypatch):
    """The compiler without optimisation: the words are the same."""
    script = tmp_path / "quick-c++"
    script.write_text(f'#!/bin/bash\nexec {find_compiler()} "${{@/-O3/-O0}}"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
