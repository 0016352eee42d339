#!/usr/bin/env bash
# da4ml 0.5.2 (with numpy 2.2.6): the compiled interpreter of a traced network chooses another branch than the same
# network in Python and in the Verilog that da4ml writes of it, where the key of a multiplexer has no sign.
# FixedVariable.msb_mux(a, b) gives a where the key's highest bit is set. With an unsigned key of 2 bits the key 1 gives
# a in CombLogic.predict, and of 3 bits the keys 2 and 3, too: it reads the second bit as well as the first. Calling the
# CombLogic itself (Python), and the Verilog, give b there. Keys with a sign are read alike by all. Nothing is printed.
#
# Met by: a square made of one conditional addition a bit. The same bits quantized to a signed word are a right key.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    da4ml==0.5.2 numpy==2.2.6 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >check.py <<'PY'
import sys
from importlib.metadata import version

import numpy as np
from da4ml.codegen.rtl.verilog.comb import comb_logic_gen
from da4ml.trace import FixedVariableArray, HWConfig, comb_trace

A, B = 5.0, 2.0


def chosen(signed, bits):
    """Keys in order -> the branch of the Python executor and of the compiled one."""
    kif = (np.array([n]) for n in (int(signed), bits - int(signed), 0))
    key = FixedVariableArray.from_kif(*kif, hwconf=HWConfig(1, -1, -1), solver_options=None)
    comb = comb_trace(key, FixedVariableArray(np.array([key._vars[0].msb_mux(A, B)]), None))
    low = -(2 ** (bits - 1)) if signed else 0
    keys = np.arange(low, low + 2**bits, dtype=np.float64)[:, None]
    return [float(comb(k)[0]) for k in keys], comb.predict(keys)[:, 0].tolist(), comb


as_described = True
for bits in (2, 3):
    python, compiled, comb = chosen(False, bits)
    half, quarter = 2 ** (bits - 1), 2 ** (bits - 2)
    as_described &= python == [B] * half + [A] * half
    as_described &= compiled == [B] * quarter + [A] * (2**bits - quarter)
    # The Verilog selects by the highest bit of the key.
    as_described &= f"(v0[{bits - 1}]," in comb_logic_gen(comb, "top").replace(" ", "").replace("op_1", "")
    print(f"da4ml {version('da4ml')}, unsigned key of {bits} bits: Python {python}, compiled {compiled}")
    python, compiled, _ = chosen(True, bits)
    as_described &= python == compiled == [A] * half + [B] * half
    print(f"da4ml {version('da4ml')}, signed key of {bits} bits: Python {python}, compiled {compiled}")
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
env/bin/python check.py
