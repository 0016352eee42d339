#!/usr/bin/env bash
# hgq2 0.2.0: `ic` bounds the integer bits of a quantizer ("Constraint for the number of integer bits"). Where they
# follow the values seen in training (overflow_mode WRAP, the default between layers), a quantizer of type kbi keeps the
# bound and one of type kif, the default type there, does not: the bound is applied to a number that is not the one
# stored. Whoever bounds a word to fit a port trains a wider one without a word: here 5 integer bits for at most 2.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    hgq2==0.2.0 jax==0.9.0 keras==3.15.1 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >check.py <<'PY'
import sys

import keras
import numpy as np
from hgq.constraints import MinMax
from hgq.quantizer import Quantizer, QuantizerConfig

values = np.linspace(0, 30, 64, dtype="float32")[:, None]
found = {}
for kind, width in (("kbi", {"b0": 4}), ("kif", {"f0": 2})):
    word = Quantizer(QuantizerConfig(kind, "datalane", k0=False, i0=1, ic=MinMax(-8, 2), **width))
    inputs = keras.Input((1,))
    model = keras.Model(inputs, word(inputs))
    model.compile("adam", "mse")
    model.fit(values, values, epochs=2, verbose=0)
    found[kind] = float(np.asarray(word.quantizer.i)[0, 0])
    print(f"{kind}: {found[kind]:g} integer bits after training, of at most 2")
if found != {"kbi": 2.0, "kif": 5.0}:
    sys.exit("CHANGED")
print("as described")
PY
KERAS_BACKEND=jax "$folder/env/bin/python" check.py
