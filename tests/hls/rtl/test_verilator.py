"""The pieces in which Verilator's C++ is compiled."""

from functools import partial

import pytest

from codae_l1.hls.rtl.verilator import _EACH_CLOCK, _ONCE, _UNIT_BYTES, _WHOLE, _units


@pytest.fixture
def pieces(tmp_path):
    return partial(pieces_of, tmp_path)


def pieces_of(folder, large):
    """(lines, options) of each piece, where one source is `large`."""
    build, include = folder / "build", folder / "include"
    sources = {
        build: {"V.cpp": "", "V__1.cpp": large, "V__2.cpp": "", "binder.cc": "", "V__Slow.cpp": "", "V.h": ""},
        include: {"verilated.cpp": "", "verilated_threads.cpp": ""},
    }
    for folder, files in sources.items():
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    return [(path.read_text().splitlines(), levels) for path, levels in _units(build, include)]


def test_every_source_is_compiled_once_in_few_pieces(pieces):
    assert pieces("/" * (_UNIT_BYTES + 1)) == [
        (['#include "verilated.cpp"', '#include "verilated_threads.cpp"', '#include "V__Slow.cpp"'], (_ONCE,)),
        (['#include "V.cpp"', '#include "V__1.cpp"'], (_EACH_CLOCK,)),
        (['#include "V__2.cpp"', '#include "binder.cc"'], (_EACH_CLOCK,)),
    ]


def test_little_is_compiled_in_one_piece_what_runs_once_not_optimised(pieces):
    ((lines, levels),) = pieces("/" * _UNIT_BYTES)
    runtime = ['#include "verilated.cpp"', '#include "verilated_threads.cpp"']
    fast = [f'#include "{name}"' for name in ("V.cpp", "V__1.cpp", "V__2.cpp", "binder.cc")]
    assert lines == [*fast, *runtime, '#pragma GCC optimize("O0")', '#include "V__Slow.cpp"']
    assert levels == (_EACH_CLOCK, _WHOLE)
