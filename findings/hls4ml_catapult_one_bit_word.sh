#!/usr/bin/env bash
# hls4ml 1.3.0 (with keras 3.15.1, jax 0.9.0), Catapult and oneAPI backends: a word of one bit is written with two.
# Asked: ufixed<1,1,TRN,SAT> for a ReLU, which holds 0 and 1. The model keeps it in all backends, and Vitis writes it.
# Catapult and oneAPI write ac_fixed<2,1,false,AC_TRN,AC_SAT>, which holds 0, 0.5, 1 and 1.5, and the compiled emulation
# of Catapult gives these: 1.5 for 1.5, where Vitis saturates at 1. ufixed<1,0,RND,SAT>, which holds 0 and 0.5, becomes
# one that holds 0.75. Nothing is printed. A word of two bits is written as asked.
# A comment in hls4ml's code says that oneAPI's number types need two bits; Catapult shares that code. The number types
# that hls4ml ships for Catapult take one: the script compiles one of them.
#
# Met by: no word of one bit with these two.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv, g++.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    hls4ml==1.3.0 keras==3.15.1 jax==0.9.0 "numpy<2.5" 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >one_bit.cpp <<'CPP'
#include <ac_fixed.h>
#include <cstdio>
int main() {
    for (double value : {0.0, 0.5, 1.0, 1.5})
        std::printf("%g ", ac_fixed<1, 1, false, AC_TRN, AC_SAT>(value).to_double());
}
CPP
cat >check.py <<'PY'
import pathlib
import re
import subprocess
import sys

import hls4ml
import keras
import numpy as np

VALUES = np.array([0, 0.25, 0.5, 0.75, 1, 1.5], dtype=np.float32)[:, None]


def taken(backend, word, name):
    """The model's word of a ReLU, the one in the project's source, and the outputs for VALUES where g++ compiles it."""
    image = keras.Input((1,), name="image")
    model = keras.Model(image, keras.layers.ReLU(name="relu")(image))
    config = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend=backend, default_precision="fixed<16,6>"
    )
    config["LayerName"]["relu"]["Precision"]["result"] = word
    part = {"part": "xcvu13p-flga2577-2-e"} if backend == "Vitis" else {}
    project = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend=backend, io_type="io_parallel", output_dir=name, **part
    )
    relu = next(layer for layer in project.get_layers() if layer.name == "relu")
    kept = str(relu.get_output_variable().type.precision)
    project.write()
    source = next(pathlib.Path(name).rglob("defines.h")).read_text()
    written = re.search(r"typedef (?:nnet::array<)?(a\w+<[^>]*>).* result_t;", source)[1]
    if backend == "oneAPI":
        return kept, written, None
    project.compile()
    return kept, written, project.predict(VALUES).ravel().tolist()


as_described = True
for word, written, values in (
    ("ufixed<1,1,TRN,SAT>", ("ap_ufixed<1,1,AP_TRN,AP_SAT,0>", "ac_fixed<2,1,false,AC_TRN,AC_SAT>"),
     ([0, 0, 0, 0, 1, 1], [0, 0, 0.5, 0.5, 1, 1.5])),
    ("ufixed<1,0,RND,SAT>", ("ap_ufixed<1,0,AP_RND,AP_SAT,0>", "ac_fixed<2,0,false,AC_RND,AC_SAT>"),
     ([0, 0.5, 0.5, 0.5, 0.5, 0.5], [0, 0.25, 0.5, 0.75, 0.75, 0.75])),
    ("ufixed<2,1,TRN,SAT>", ("ap_ufixed<2,1,AP_TRN,AP_SAT,0>", "ac_fixed<2,1,false,AC_TRN,AC_SAT>"),
     ([0, 0, 0.5, 0.5, 1, 1.5], [0, 0, 0.5, 0.5, 1, 1.5])),
):
    for backend, expected in zip(("Vitis", "Catapult", "oneAPI"), (0, 1, 1)):
        found = taken(backend, word, f"{backend}{word}")
        print(f"hls4ml {hls4ml.__version__}, {backend}: {found[0]} is written {found[1]}: {found[2] or 'not compiled here'}")
        outputs = None if backend == "oneAPI" else values[expected]
        as_described &= found == (f"{word[:-1]},0>", written[expected], outputs)
types = pathlib.Path(hls4ml.__file__).parent / "templates/catapult/ac_types/include"
subprocess.run(["g++", "-std=c++17", "-w", f"-I{types}", "one_bit.cpp", "-o", "one_bit"], check=True)
one_bit = subprocess.run(["./one_bit"], check=True, capture_output=True, text=True).stdout.split()
print(f"hls4ml {hls4ml.__version__}, its ac_fixed<1,1,false,AC_TRN,AC_SAT> of 0, 0.5, 1, 1.5: {', '.join(one_bit)}")
as_described &= one_bit == ["0", "0", "1", "1"]
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
KERAS_BACKEND=jax env/bin/python check.py 2>check.log | grep -E "^hls4ml|^as described|^CHANGED" || { tail -20 check.log >&2; exit 1; }
