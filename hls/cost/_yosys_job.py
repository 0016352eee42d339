"""Technology mapping of one module by Yosys in a separate process, to which a crash or a time limit is confined.

    python -m codae_l1.hls.cost._yosys_job xcup TOP OUT.json LOG FILE...
    python -m codae_l1.hls.cost._yosys_job ecp5 TOP OUT.json LOG FILE...

`xcup` maps TOP on UltraScale+ and writes its cell counts. The adders that da4ml made are kept: hierarchy first,
flattened only after Yosys has found its own adders; default flattening fuses them, which follows Vivado's counts less
well. `ecp5` maps TOP on ECP5 and writes the netlist for nextpnr. LOG may be -, for standard output.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from codae_l1.data.base.files import read_json


def main() -> None:
    """Read the arguments, map, write what the family's flow gives."""
    family, top, out, log, *files = sys.argv[1:]
    if log != "-":
        # Yosys talks to file descriptor 1 from C++.
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
    if len(tempfile.gettempdir().split()) > 1:
        # Yosys hands the names of its temporary files to ABC unquoted.
        os.environ["TMPDIR"] = "/tmp"
    from pyosys import libyosys

    design = libyosys.Design()

    def run(command: str) -> int:
        libyosys.run_pass(command, design)
        return design.scratchpad_get_int("select.count", 0)

    # Quoted: a path may hold blanks.
    run("read_verilog -sv -defer " + " ".join(f'"{file}"' for file in files))
    FLOWS[family](top, out, run)
    if family == "xcup":
        content = read_json(f"{out}.stat")
        cells = content["design"]["num_cells_by_type"]
        Path(out).write_text(json.dumps({"creator": content["creator"], "cells": cells}))


def xcup(top: str, out: str, run: Callable[[str], int]) -> None:
    """Map on UltraScale+; no DSP and no block RAM: what Yosys would put there shows as LUTs.

    The steps are those of synth_xilinx but for two that take long and change nothing where no memory is written to: it
    reads the cells that have no logic, and maps memories. Tables are memories that are only read, and become logic.
    """
    # I/O buffers belong to no inner module.
    synthesize = f"synth_xilinx -family xcup -top {top} -nobram -nodsp -noiopad -run"
    run("read_verilog -lib -specify +/xilinx/cells_sim.v")
    run(f"hierarchy -check -top {top}")
    run(f"{synthesize} prepare:map_memory")
    run("flatten; opt_expr; opt_clean; opt; opt_clean")
    # ABC's proof of its own result would only go to the log.
    run("scratchpad -set abc9.verify 0")
    if run("select -count t:$mem* r:WR_PORTS>0 %i"):
        run("read_verilog -lib +/xilinx/cells_xtra.v")
        run(f"{synthesize} map_memory:map_ffram")
    run(f"{synthesize} map_ffram:check")
    # No cell may be left that is neither the design's nor the family's.
    run("hierarchy -check")
    run(f'tee -q -o "{out}.stat" stat -json')


def ecp5(top: str, out: str, run: Callable[[str], int]) -> None:
    """Map on ECP5, without multipliers and block RAM, too."""
    run(f'synth_ecp5 -top {top} -nobram -nodsp -json "{out}"')


FLOWS = {"xcup": xcup, "ecp5": ecp5}


if __name__ == "__main__":
    main()
