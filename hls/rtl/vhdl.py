"""The II = 1 pipeline in VHDL, analysed, elaborated and simulated by GHDL where it is installed.

The folder (written whole or not at all) has design.json and interpreter.npz as hls/rtl/build.py writes them; src/*.vhd:
codae.vhd (registers), codae_stage*.vhd (logic), codae_wrapper.vhd, static/; testbench/codae_testbench.vhd, which reads
one event per cycle from a file of bits and writes what is on the output port after every rising edge. With a namespace,
every entity and file is named after it (`codae_l1.hls.rtl.modules`).
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from codae_l1.data.base.errors import ToolError
from codae_l1.data.base.files import scratch_folder, whole_folder
from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.network.records import Network
from codae_l1.hls.rtl._source import write_source
from codae_l1.hls.rtl.build import TOP, pipeline_design, trace
from codae_l1.hls.rtl.modules import renamed_sources
from codae_l1.hls.target.compiler import call_logged
from codae_l1.hls.target.config import HlsConfig

_TESTBENCH = """library ieee;
use ieee.std_logic_1164.all;
use std.textio.all;

entity {top}_testbench is
end entity {top}_testbench;

architecture simulation of {top}_testbench is
    signal clk : std_logic := '0';
    signal word_in : std_logic_vector({bits_in} - 1 downto 0) := (others => '0');
    signal word_out : std_logic_vector({bits_out} - 1 downto 0);
begin
    dut : entity work.{top}_wrapper port map (clk => clk, model_inp => word_in, model_out => word_out);

    process
        file vectors : text open read_mode is "vectors.txt";
        file words : text open write_mode is "words.txt";
        variable row : line;
        variable event : std_logic_vector(word_in'range);
    begin
        while not endfile(vectors) loop
            readline(vectors, row);
            read(row, event);
            word_in <= event;
            wait for 1 ns;
            clk <= '1';
            wait for 1 ns;
            write(row, word_out);
            writeline(words, row);
            clk <= '0';
        end loop;
        wait;
    end process;
end architecture simulation;
"""


class VhdlSimulation:
    """The VHDL pipeline run clock by clock by GHDL, one event a clock; `VhdlSimulation(folder)` of `build_vhdl`."""

    name = "vhdl"

    def __init__(self, folder: Path | str, config: HlsConfig | None = None):
        self.folder, self.config, self.ghdl = Path(folder), config or HlsConfig(), _find_ghdl()
        self.design = RtlDesign.read(self.folder / "design.json", "build the VHDL again")

    def predict_words(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, ...) integers -> output words (N, outputs) int64; counts beyond the input word saturate."""
        words, stages = self.design.saturated(counts), self.design.stages
        if not len(words):
            return np.empty((0, self.design.outputs), np.int64)
        # The last words need as many clocks more as there are stages.
        lines = _bits(np.concatenate([words, np.zeros_like(words[:1]).repeat(stages, 0)]), self.design)
        with scratch_folder() as scratch:
            (Path(scratch) / "vectors.txt").write_text("\n".join(lines) + "\n")
            self._simulate(Path(scratch))
            rows = (Path(scratch) / "words.txt").read_text().split()[stages:]
        width = self.design.rtl_output.width
        if len(rows) != len(words) or set("".join(rows)) - {"0", "1"}:
            raise ToolError(
                f"GHDL gave {len(rows)} rows of bits, or bits that are neither 0 nor 1",
                f"{len(words)} rows of defined bits",
                "build the VHDL again; look for undriven signals in src/",
            )
        # The first output is in the lowest bits.
        raw = [
            [int(row[len(row) - (i + 1) * width : len(row) - i * width], 2) for i in range(self.design.outputs)]
            for row in rows
        ]
        return self.design.port_words(np.array(raw, np.int64))

    def _simulate(self, scratch: Path) -> None:
        log, flags = scratch / "ghdl.log", ["--std=08", f"--workdir={scratch}"]
        sources = [str(path) for path in _vhdl_sources(self.folder, self.design.namespace)]
        unit = f"{self.design.namespace or TOP}_testbench"
        call_logged([self.ghdl, "-a", *flags, *sources], scratch, log, self.config, "GHDL's analysis")
        call_logged([self.ghdl, "-e", *flags, unit], scratch, log, self.config, "GHDL's elaboration")
        # Before the first event has passed all bits are undefined.
        run = [self.ghdl, "-r", *flags, unit, "--ieee-asserts=disable"]
        call_logged(run, scratch, log, self.config, "GHDL's simulation")


def _find_ghdl() -> str:
    """Path of GHDL; ToolError where it is not installed."""
    found = shutil.which("ghdl")
    if found is None:
        raise ToolError("no ghdl on PATH", "GHDL, which checks VHDL", "install it, e.g. apt-get install ghdl")
    return found


def _vhdl_sources(folder: Path, namespace: str) -> list[Path]:
    """All VHDL files of a design in the order of analysis, the testbench last."""
    source, top = Path(folder).resolve() / "src", namespace or TOP
    stages = sorted(source.glob(f"{top}_stage*.vhd"))
    tops = [source / f"{f'{top}_pipeline' if namespace else top}.vhd", source / f"{top}_wrapper.vhd"]
    return [*sorted(source.glob("static/*.vhd")), *stages, *tops, source.parent / "testbench" / f"{top}_testbench.vhd"]


def build_vhdl(
    network: Network,
    output_word: WordType,
    config: HlsConfig,
    folder: Path | str,
    progress: Progress | None = None,
    namespace: str = "",
) -> RtlDesign:
    """Records of a network -> its pipeline in VHDL with a testbench; return design.json. Needs no GHDL.

    namespace: the first part of all names of entities; without one, they are da4ml's.
    """
    say = progress or (lambda done, total, text: None)
    with whole_folder(folder, ("project.json", "design.json")) as temporary:
        say(0, 2, "tracing the network into adders")
        comb, layers = trace(network, config)
        say(1, 2, f"writing the VHDL of {len(comb.ops)} operations")
        design, pipeline = pipeline_design(network, output_word, config, comb)
        np.savez(temporary / "interpreter.npz", network=comb.to_binary(), layers=layers.to_binary())
        write_source(pipeline, TOP, temporary, config, "vhdl")
        if namespace:
            _rename(temporary / "src", namespace)
        # Verilator's binder, which is of no use here.
        shutil.rmtree(temporary / "sim")
        bits = design.input_word.width * design.inputs, design.rtl_output.width * design.outputs
        (temporary / "testbench").mkdir()
        top = namespace or TOP
        (temporary / "testbench" / f"{top}_testbench.vhd").write_text(
            _TESTBENCH.format(top=top, bits_in=bits[0], bits_out=bits[1])
        )
        design = replace(design, language="VHDL", namespace=namespace)
        (temporary / "design.json").write_text(json.dumps(design.as_dict(), indent=1) + "\n")
        say(2, 2, f"VHDL ready: {design.stages} stages")
    return design


def _rename(source: Path, namespace: str) -> None:
    texts = renamed_sources(source, namespace)
    shutil.rmtree(source)
    for name, text in texts.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)


def _bits(words: np.ndarray, design: RtlDesign) -> list[str]:
    """Input words (N, inputs) -> one string of bits per event, the first input in the lowest bits."""
    width = design.input_word.width
    bits = (words[:, :, None].astype(np.int64) >> np.arange(width)) & 1
    flat = bits.reshape(len(words), -1)[:, ::-1].astype(np.uint8) + ord("0")
    return [row.tobytes().decode() for row in flat]
