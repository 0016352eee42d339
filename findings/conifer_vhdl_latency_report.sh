#!/usr/bin/env bash
# conifer 1.11, VHDL backend: read_report() states a latency of 1 + depth + ceil(log2(trees)) clocks. In the pipeline
# that the same model writes, y_vld follows X_vld two clocks later than that, as GHDL shows, and three where the number
# of trees is a power of two. Who aligns other words with the score by the report reads the score of another event.
#
# The wheel has no ap_fixed.h, without which the VHDL backend makes no model either; hls4ml's are taken here. Vivado's
# utilisation report, which read_report() reads beside, is replaced by zeros; the latency does not come from it.
# Seen with GHDL 2.0.0 (Debian 12), stated and simulated: depth 2, 4 trees 5, 8; depth 3, 5 trees 7, 9; depth 4, 2 trees
# 6, 9.
# Needs: python3 (3.11 to 3.13) with venv, g++, ghdl. Exit code 0: the behaviour is as described. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    conifer==1.11 "numpy<2.5" 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    hls4ml==1.3.0 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >check.py <<'PY'
import glob
import os
import subprocess
import sys

import conifer
import numpy as np
from conifer.backends.vhdl import writer

writer.read_vsynth_report = lambda path: {"lut": 0, "ff": 0}


def tree(depth):
    """A full tree of one input: all its nodes split at 0, its leaves are 1."""
    inner, nodes = 2**depth - 1, 2 ** (depth + 1) - 1
    inside = [i < inner for i in range(nodes)]
    return {
        "feature": [0 if yes else -2 for yes in inside],
        "weight": [[1 if yes else 0] for yes in inside],
        "threshold": [0] * nodes,
        "value": [0 if yes else 1 for yes in inside],
        "children_left": [2 * i + 1 if yes else -1 for i, yes in enumerate(inside)],
        "children_right": [2 * i + 2 if yes else -1 for i, yes in enumerate(inside)],
    }


def rising(lines, name):
    """Time of the first rising edge of a signal of the testbench in a VCD file."""
    symbol = next(line.split()[3] for line in lines if line.startswith("$var") and line.split()[4].split("[")[0] == name)
    time = 0
    for line in lines:
        if line.startswith("#"):
            time = int(line[1:])
        elif line == f"1{symbol}" and time > 0:
            return time
    raise SystemExit(f"{name} does not rise")


def latencies(depth, trees):
    """Clocks that read_report() states, and clocks from X_vld to y_vld in GHDL."""
    described = {
        "max_depth": depth, "n_trees": trees, "n_features": 1, "n_classes": 2, "init_predict": [0], "norm": 1,
        "library": "none", "splitting_convention": "<=", "trees": [[tree(depth)] for _ in range(trees)],
    }
    config = conifer.backends.vhdl.auto_config() | {"Precision": "ap_fixed<8,8>", "OutputDir": f"d{depth}t{trees}"}
    model = conifer.model.make_model(described, config)
    model.compile()
    model.decision_function(np.zeros((20, 1)))
    project = model.config.output_dir
    command = ["ghdl", "-r", "--std=08", "--work=xil_defaultlib", "testbench", "--vcd=waves.vcd"]
    subprocess.run(command, cwd=project, check=True, stdout=subprocess.DEVNULL)
    with open(f"{project}/waves.vcd") as file:
        lines = file.read().splitlines()
    found = (rising(lines, "y_vld") - rising(lines, "x_vld")) / 5_000_000
    return model.read_report()["latency"], found


conifer.backends.vhdl.set_simulator("ghdl")
os.environ["XILINX_AP_INCLUDE"] = glob.glob("env/lib/python*/site-packages/hls4ml/templates/vivado/ap_types")[0]
os.environ["XILINX_AP_INCLUDE"] = os.path.abspath(os.environ["XILINX_AP_INCLUDE"])
rows = {pair: latencies(*pair) for pair in ((2, 4), (3, 5), (4, 2))}
for (depth, trees), (stated, simulated) in rows.items():
    print(f"conifer 1.11: depth {depth}, {trees} trees: stated {stated}, simulated {simulated:g} clocks")
as_described = rows == {(2, 4): (5, 8), (3, 5): (7, 9), (4, 2): (6, 9)}
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
PATH="$folder/env/bin:$PATH" python check.py 2>check.log | grep -E "^conifer|^as described|^CHANGED" || { tail -20 check.log >&2; exit 1; }
