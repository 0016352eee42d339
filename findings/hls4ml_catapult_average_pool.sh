#!/usr/bin/env bash
# hls4ml 1.3.0 (with keras 3.15.1, jax 0.9.0), Catapult backend, io_parallel: an average pool computes in the word of
# its inputs, whatever accumulator it has. In the compiled emulation, with four equal inputs, whose mean is each of them:
# - Inputs without a sign, or that round or saturate, are added up in their own word. In ufixed<8,6> the mean of four 40
#   is 8 (160 wraps at 64), in fixed<8,6,RND_CONV,SAT> that of four 20 is 7.75 (80 saturates at 31.75).
# - Inputs of fixed<8,6> are added up in a wider word, and the mean of four 20 is 20. But the mean is multiplied by the
#   rows, the columns and the inverse number of the inputs, numbers of that same word: in fixed<8,1>, which ends below
#   1, the mean of four 0.5 is 0, and so is every other.
# Vitis gives 40, 20, 20 and 0.5. The accumulator is wide enough in all of them (the one that hls4ml finds, and the one
# asked for); Catapult's project names its type, too, and the code of its pool does not use it. Nothing is printed.
#
# Met by: no average pool with Catapult.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv, g++.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    hls4ml==1.3.0 keras==3.15.1 jax==0.9.0 "numpy<2.5" 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >check.py <<'PY'
import sys

import hls4ml
import keras
import numpy as np


def means(backend, word, value, accumulator):
    """The accumulator of a pool of 2 x 2 pixels, all of them `value`, and its output."""
    image = keras.Input((2, 2, 1), name="image")
    model = keras.Model(image, keras.layers.AveragePooling2D(2, name="pool")(image))
    config = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend=backend, default_precision="fixed<16,6>"
    )
    for name in ("image", "pool"):
        config["LayerName"][name]["Precision"]["result"] = word
    if accumulator:
        config["LayerName"]["pool"]["Precision"]["accum"] = accumulator
    part = {} if backend == "Catapult" else {"part": "xcvu13p-flga2577-2-e"}
    project = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend=backend, io_type="io_parallel", output_dir=f"{backend}{word}{accumulator}", **part
    )
    project.compile()
    pool = next(layer for layer in project.get_layers() if layer.name == "pool")
    output = project.predict(np.full((1, 2, 2, 1), value, dtype=np.float32))
    return str(pool.get_attr("accum_t").precision), float(output.ravel()[0])


as_described = True
for word, value, catapult in (
    ("ufixed<8,6>", 40, 8), ("fixed<8,6,RND_CONV,SAT>", 20, 7.75), ("fixed<8,6>", 20, 20), ("fixed<8,1>", 0.5, 0)
):
    for backend, expected in (("Vitis", value), ("Catapult", catapult)):
        for asked in (None, "fixed<24,12>"):
            accumulator, mean = means(backend, word, value, asked)
            print(f"hls4ml {hls4ml.__version__}, {backend}, {word}, accumulator {accumulator}: four {value} -> {mean:g}")
            as_described &= mean == expected
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
KERAS_BACKEND=jax env/bin/python check.py 2>check.log | grep -E "^hls4ml|^as described|^CHANGED" || { tail -20 check.log >&2; exit 1; }
