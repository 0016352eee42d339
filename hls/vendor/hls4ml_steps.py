"""The vendor's steps on an hls4ml project: csim, csynth, cosim, vsynth (Vivado on the HLS tool's RTL), export.

hls4ml's build_prj.tcl performs in one run whatever its options select; here each step is a separate run on the same
project. Vitis backend: the options are in build_opt.tcl, run by vitis-run or vitis_hls. Vivado backend: they are the
argument of vivado_hls. Its testbench reads tb_data/tb_input_features.dat and tb_output_predictions.dat, one event per
line; without them it simulates five events of zeros, which proves nothing. The copy that runs prints its results with
enough digits to distinguish any two words (by default six, too few from 17 bits on).
"""

import re
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.target.parts import part as find_part
from codae_l1.hls.vendor._reports import (
    Source,
    Subject,
    parse_component,
    parse_cosim,
    parse_csim,
    parse_csynth,
    parse_results,
    parse_transactions,
)
from codae_l1.hls.vendor._steps import Step
from codae_l1.hls.vendor._vivado_reports import parse_utilization

# What a step's reader takes: text and source of each report, then of the log.
Texts = list[tuple[str, Source]]
Read = Callable[[Texts], dict[str, Any]]
STEPS = ("csim", "csynth", "cosim", "vsynth", "export")
# Options of build_prj.tcl, in hls4ml's order: it looks for "synth=" in the argument, which "vsynth=" holds, too.
_OPTIONS = ("reset", "csim", "synth", "cosim", "validation", "export", "vsynth", "fifo_opt")
# Programs that run an hls4ml project's build_prj.tcl, and how; Vitis 2024.2 and later know vitis-run alone.
_VITIS: dict[str, tuple[str, ...]] = {
    "vitis-run": ("vitis-run", "--mode", "hls", "--tcl", "build_prj.tcl"),
    "vitis_hls": ("vitis_hls", "-f", "build_prj.tcl"),
}
# Folders and files of a project that the tools read; the rest is hls4ml's own or made by a run.
_SOURCES = ("*.tcl", "*_test.cpp", "firmware/**/*", "tb_data/*.dat")
# Languages of the RTL that cosim simulates, as its report names them; hls4ml asks for Verilog.
_RTLS = ("Verilog", "VHDL")
_CSIM_RESULTS, _COSIM_RESULTS = "tb_data/csim_results.log", "tb_data/rtl_cosim_results.log"
# What build_prj.tcl prints where the words of both simulations are equal; it ends with status 1 where they are not.
_PASSED = re.compile(r"^\s*INFO: Test PASSED\s*$", re.MULTILINE)
_INPUTS, _EXPECTED = "tb_data/tb_input_features.dat", "tb_data/tb_output_predictions.dat"


# Where the testbench opens the file of its results; significant digits that it prints there, of itself and in the copy.
_RESULTS_OPEN, _OWN_DIGITS, _DIGITS = "std::ofstream fout(RESULTS_LOG);", 6, 17
_PRECISION = f"fout.precision({_DIGITS});"


class _ProjectFacts(NamedTuple):
    """What project.tcl says: top function, hls4ml backend ("vitis" or "vivado"), part."""

    top: str
    backend: str
    part: str


class _Target(NamedTuple):
    """What a project's reports have to be of, and whether its part has URAM."""

    subject: Subject
    has_uram: bool


def project_facts(project: Path | str) -> _ProjectFacts:
    """Read a project's project.tcl; InputError where it is no project that the vendor's HLS tools take."""
    file = Path(project) / "project.tcl"
    text = file.read_text(errors="replace") if file.is_file() else ""
    found = {key: re.search(rf'set {key} "([^"]+)"', text) for key in ("project_name", "backend", "part")}
    values = [match.group(1) if match else "" for match in found.values()]
    if not all(values) or values[1] not in ("vitis", "vivado"):
        raise InputError(
            f"{file} {'names the backend ' + values[1] if all(values) else 'is not there or not whole'}",
            "an hls4ml project of the Vitis or Vivado backend",
            "convert the network with one of them first",
        )
    return _ProjectFacts(*values)


def project_source(project: Path | str) -> dict[str, bytes]:
    """Path -> content of the files of a project that the tools read, its testbench with the digits that words need."""
    project = Path(project)
    files = {path for pattern in _SOURCES for path in project.glob(pattern) if path.is_file()}
    kept = (path for path in files if path.suffix not in (".so", ".o") and path.name != "build_opt.tcl")
    source = {str(path.relative_to(project)): path.read_bytes() for path in sorted(kept)}
    opens = _RESULTS_OPEN.encode()
    precise = {
        name: content.replace(opens, opens + f"\n    {_PRECISION}".encode(), 1)
        for name, content in source.items()
        if name.endswith("_test.cpp") and _PRECISION.encode() not in content
    }
    return source | precise


def check_digits(source: dict[str, bytes], word: WordType) -> None:
    """Raise InputError where the testbench of `project_source` prints too few digits to tell output words apart."""
    precise = any(_PRECISION.encode() in content for name, content in source.items() if name.endswith("_test.cpp"))
    digits = _DIGITS if precise else _OWN_DIGITS
    # Rounded to that many digits, a word may be off by half of this fraction of it.
    if 2**word.width * 10 ** (1 - digits) >= 1:
        raise InputError(
            f"output words of {word.width} bits, of which the project's testbench prints {digits} digits",
            f"a testbench with the line {_RESULTS_OPEN!r}, as hls4ml writes it"
            if not precise
            else f"words that {_DIGITS} digits tell apart",
            "convert the network again, or leave csim and cosim out",
        )


def vectors(counts: np.ndarray, words: np.ndarray, word: WordType) -> dict[str, bytes]:
    """The testbench's files: counts (N, ...) integers, the words (N, outputs) that are expected, and their type.

    >>> vectors(np.array([[1, 0]]), np.array([[3]]), WordType(True, 2, 1))["tb_data/tb_output_predictions.dat"]
    b'1.5\\n'
    """
    inputs = "".join(" ".join(str(int(count)) for count in event.ravel()) + "\n" for event in counts)
    outputs = "".join(" ".join(repr(float(value)) for value in event) + "\n" for event in words * word.lsb)
    return {_INPUTS: inputs.encode(), _EXPECTED: outputs.encode()}


def hls4ml_steps(project: Path | str, expected: "Expected | None" = None) -> list[Step]:
    """The five steps of a project; expected: what the testbench has to give, which is counted in addition to whether it
    passes."""
    top, backend, part = project_facts(project)
    solution, target = f"{top}_prj/solution1", _Target(Subject(part, top), find_part(part).uram > 0)

    def step(name: str, says: str, options: tuple[str, ...], reports: tuple[str, ...], read: Read, **more: Any) -> Step:
        flags = {option: int(option in options) for option in _OPTIONS}
        if backend == "vivado":
            argument = " ".join(f"{option}={flag}" for option, flag in flags.items())
            return Step(
                name, says, {"vivado_hls": ("vivado_hls", "-f", "build_prj.tcl", argument)}, reports, read, **more
            )
        text = "array set opt {" + " ".join(f"{option} {flag}" for option, flag in flags.items()) + "}\n"
        return Step(name, says, _VITIS, reports, read, files={"build_opt.tcl": text}, **more)

    cosim_reports = (f"{solution}/sim/report/{top}_cosim.rpt", _COSIM_RESULTS)
    # The testbench's vectors are read by csim and cosim alone.
    no_vectors: Any = {"ignores": ("tb_data/",)}
    return [
        step("csim", "C simulation of the testbench", ("csim",), (_CSIM_RESULTS,), partial(_csim, expected)),
        step(
            *("csynth", "C synthesis", ("synth",), (f"{solution}/syn/report/{top}_csynth.xml",)),
            partial(_csynth, target),
            **no_vectors,
        ),
        step(
            *("cosim", "co-simulation of the RTL with the testbench", ("cosim", "validation"), cosim_reports),
            partial(_cosim, expected),
            needs=("csim", "csynth"),
            optional=tuple(f"{solution}/sim/{rtl.lower()}/{top}.performance.result.transaction.xml" for rtl in _RTLS),
        ),
        step(
            *("vsynth", "logic synthesis of the HLS tool's RTL by Vivado", ("vsynth",), ("vivado_synth.rpt",)),
            partial(_vsynth, target),
            **{"needs": ("csynth",), "also": ("vivado",), **no_vectors},
        ),
        step(
            *("export", "packing the IP core", ("export",), (f"{solution}/impl/ip/component.xml",), _export),
            **{"needs": ("csynth",), **no_vectors},
        ),
    ]


class Expected(NamedTuple):
    """Words (N, outputs) int64 that the testbench of `vectors` has to give, and their type."""

    words: np.ndarray
    word: WordType

    def different(self, values: list[list[float]], source: Source) -> int:
        """In how many events the values printed by the testbench are other words; `check_digits` has to have passed.

        >>> Expected(np.array([[3], [4]]), WordType(True, 2, 1)).different([[1.5], [1.5]], Source("vitis_hls", "log"))
        1
        """
        found = np.array(values)
        if found.shape != self.words.shape:
            source.denies(f"{len(self.words)} events of {self.words.shape[1]} outputs", f"not {found.shape}")
        return int((np.rint(found / self.word.lsb) != self.words).any(axis=1).sum())


def _csim(expected: Expected | None, texts: Texts) -> dict[str, Any]:
    results, (log, source) = texts
    errors = parse_csim(log, source)
    if errors:
        source.denies("C simulation that passed", f"0 errors, not {errors}")
    return {"CSimReport": {"Errors": errors, **_compared(expected, *results)}}


def _csynth(target: _Target, texts: Texts) -> dict[str, Any]:
    found = parse_csynth(*texts[0], target.has_uram)
    texts[0][1].check_subject(found.subject, target.subject)
    return {"CSynthesisReport": found.report, "version": found.version}


def _cosim(expected: Expected | None, texts: Texts) -> dict[str, Any]:
    """hls4ml's flow writes the report before it simulates the RTL: that it passed is in the log, the figures are in the
    transaction file, in the folder of the RTL's language."""
    (text, source), results, *transactions, (log, log_source) = texts
    found = parse_cosim(text, source)
    if found.status.lower() != "pass":
        source.denies("co-simulation that passed", f"the status Pass, not {found.status}")
    if not _PASSED.search(log):
        log_source.denies("co-simulation that passed", "a line 'INFO: Test PASSED'")
    times, times_source = transactions[_RTLS.index(found.rtl)]
    if times:
        latency, interval = parse_transactions(times, times_source)
        found = replace(found, latency=latency, interval=interval)
    if found.latency is None:
        source.lacks("latency", f"numbers in the row {found.rtl}, or the file {times_source.path}", text)
    return {"CosimReport": {**found.report, **_compared(expected, *results)}}


def _vsynth(target: _Target, texts: Texts) -> dict[str, Any]:
    found = parse_utilization(*texts[0], target.has_uram)
    texts[0][1].check_subject(found.subject, target.subject)
    return {"VivadoSynthReport": found.report, "version": found.version}


def _export(texts: Texts) -> dict[str, Any]:
    return {"ExportReport": asdict(parse_component(*texts[0]))}


def _compared(expected: Expected | None, text: str, source: Source) -> dict[str, int]:
    values = parse_results(text, source)
    return {"Events": len(values)} | ({"Different": expected.different(values, source)} if expected else {})
