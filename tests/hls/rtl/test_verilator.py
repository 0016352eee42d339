"""The pieces in which Verilator's C++ is compiled."""

from codae_l1.hls.rtl.verilator import _EACH_CLOCK, _ONCE, _UNIT_BYTES, _units


def test_every_source_is_compiled_once_in_few_pieces(tmp_path):
    build, include = tmp_path / "build", tmp_path / "include"
    large = "/" * _UNIT_BYTES
    sources = {
        build: {"V.cpp": "", "V__1.cpp": large, "V__2.cpp": "", "binder.cc": "", "V__Slow.cpp": "", "V.h": ""},
        include: {"verilated.cpp": "", "verilated_threads.cpp": ""},
    }
    for folder, files in sources.items():
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text)
    units = [(path.read_text().splitlines(), level) for path, level in _units(build, include)]
    assert units == [
        (['#include "verilated.cpp"', '#include "verilated_threads.cpp"', '#include "V__Slow.cpp"'], _ONCE),
        (['#include "V.cpp"', '#include "V__1.cpp"'], _EACH_CLOCK),
        (['#include "V__2.cpp"', '#include "binder.cc"'], _EACH_CLOCK),
    ]
