#!/usr/bin/env bash
# da4ml 0.5.2 (with numpy 2.2.6): quantize() of da4ml.trace.ops takes arrays and symbolic values alike. Where the word
# that it makes has no sign and wraps, it gives other numbers for the one than for the other.
# A signed value of 3 bits (-4 to 3) to an unsigned word of 5 integer bits: as an array, -1 becomes 31, as wrapping in
# two's complement has it. As a symbolic value it becomes 7: the word made has 3 bits only, the sign is not extended
# into it. The traced network in Python, its compiled interpreter and its Verilog agree on 7, so that comparing these
# finds nothing. Unsigned words no wider than the value, unsigned values and signed words are right.
# Constants wrap at twice the range of an unsigned word: to 4 bits, 20 is 4 as an array, and as a symbolic value 20,
# which the word cannot hold; 36 is 4 in both. A negative constant can stay below a signed word: -9 to one of 4 bits
# is -9, not 7. Nothing is printed.
#
# Met by: adding the size of the word (here 32) first, which makes the value positive; wrapping constants as arrays.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    da4ml==0.5.2 numpy==2.2.6 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >check.py <<'PY'
import re
import sys
from importlib.metadata import version

import numpy as np
from da4ml.codegen.rtl.verilog.comb import comb_logic_gen
from da4ml.trace import FixedVariable, FixedVariableArray, HWConfig, comb_trace
from da4ml.trace.ops import quantize

HARDWARE = HWConfig(1, -1, -1)
VALUES = np.arange(-4.0, 4.0)


def wrapped(signed, integer, added=0):
    """VALUES to a word: as an array, by the traced network in Python and compiled; the bits of its Verilog's output."""
    kif = (np.array([n]) for n in (1, 2, 0))
    symbolic = FixedVariableArray.from_kif(*kif, hwconf=HARDWARE, solver_options=None)
    comb = comb_trace(symbolic, quantize(symbolic + added, signed, integer, 0, "WRAP"))
    array = quantize(VALUES + added, signed, integer, 0, "WRAP")
    python, compiled = [comb(v)[0] for v in VALUES[:, None]], comb.predict(VALUES[:, None])[:, 0]
    top = re.search(r"output \[(\d+):0\]", comb_logic_gen(comb, "top"))[1]
    return *([int(v) for v in values] for values in (array, python, compiled)), int(top) + 1


def constant(value, signed):
    """A number to a word of 4 bits: as an array, and as a symbolic value."""
    word = signed, 4 - signed, 0, "WRAP"
    return int(quantize(np.array([float(value)]), *word)[0]), int(FixedVariable.from_const(value, HARDWARE).quantize(*word).low)


def unsigned(bits):
    return [int(v) % 2**bits for v in VALUES]


as_described, as_is = True, VALUES.astype(int).tolist()
for signed, integer, added, right, symbolic, bits in (
    (0, 5, 0, unsigned(5), unsigned(3), 3),
    (0, 5, 32, unsigned(5), unsigned(5), 5),
    (0, 3, 0, unsigned(3), unsigned(3), 3),
    (0, 2, 0, unsigned(2), unsigned(2), 2),
    (1, 5, 0, as_is, as_is, 3),
):
    found = wrapped(signed, integer, added)
    as_described &= found == (right, symbolic, symbolic, bits)
    word = f"{'a signed' if signed else 'an unsigned'} word of {integer} integer bits"
    print(f"da4ml {version('da4ml')}, -4 to 3 (+ {added}) to {word}: array {found[0]}")
    print(f"    symbolic: Python {found[1]}, compiled {found[2]}, {found[3]} bits in Verilog")
for value, signed, right, symbolic in ((20, 0, 4, 20), (36, 0, 4, 4), (-9, 1, 7, -9)):
    found = constant(value, signed)
    as_described &= found == (right, symbolic)
    word = f"{'a signed' if signed else 'an unsigned'} word of 4 bits"
    print(f"da4ml {version('da4ml')}, constant {value} to {word}: array {found[0]}, symbolic {found[1]}")
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
env/bin/python check.py
