#!/usr/bin/env bash
# hls4ml 1.3.0 (with keras 3.15.1, tensorflow 2.21.0), Vitis backend, io_parallel, a convolution with the strategy
# "Resource": a reuse factor that is a multiple of the kernel size (rows * columns * input channels) is accepted
# without a warning and kept as asked, but the compiled bit-accurate emulation then gives other values than Keras, for
# every event. Reuse factors up to the kernel size give exactly Keras' values in the same project. A dense layer takes
# its own n_in * n_out as reuse factor and stays exact, so nothing suggests that a convolution does not.
#
# Expected by a reader of hls4ml's documentation: a reuse factor changes latency and resources, never a value.
# Seen on x86-64, g++ 12: reuse 18 -> 0 of 50 events differ, reuse 54 (kept) -> 50 of 50 events differ.
# Needs: python3 (3.11 to 3.13) with venv, g++. Exit code 0: the behaviour is as described. 1: it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
    hls4ml==1.3.0 keras==3.15.1 tensorflow==2.21.0 "numpy<2.5" 2>"$folder/pip.log" || { cat "$folder/pip.log" >&2; exit 3; }
cd "$folder"
cat >check.py <<'PY'
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import hls4ml
import keras
import numpy as np

STEP = 1 / 8
rng = np.random.default_rng(1)


def on_grid(shape):
    return np.round(rng.uniform(-1, 1, shape) / STEP) * STEP


def model_of(kind):
    if kind == "conv":
        image = keras.Input((6, 6, 2), name="image")
        layer = keras.layers.Conv2D(3, 3, name="layer")
    else:
        image = keras.Input((18,), name="image")
        layer = keras.layers.Dense(3, name="layer")
    model = keras.Model(image, layer(image))
    for weight in model.weights:
        weight.assign(on_grid(weight.shape))
    return model


def differing(kind, reuse):
    model = model_of(kind)
    events = on_grid((50, *model.input_shape[1:]))
    config = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend="Vitis", default_precision="fixed<24,10>", default_reuse_factor=reuse
    )
    config["LayerName"]["layer"]["Strategy"] = "Resource"
    project = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend="Vitis", io_type="io_parallel", output_dir=f"{kind}_{reuse}",
        part="xcvu13p-flga2577-2-e",
    )
    project.compile()
    kept = [n.get_attr("reuse_factor") for n in project.get_layers() if n.name == "layer"][0]
    expected = model.predict(events, verbose=0).reshape(50, -1)
    got = project.predict(np.ascontiguousarray(events)).reshape(50, -1)
    return int(kept), int((expected != got).any(axis=1).sum())


rows = {(kind, reuse): differing(kind, reuse) for kind, reuse in (("conv", 18), ("conv", 54), ("dense", 54))}
for (kind, reuse), (kept, different) in rows.items():
    print(f"hls4ml {hls4ml.__version__}: {kind}, reuse factor {reuse} (kept {kept}): {different} of 50 events differ from Keras")
as_described = rows == {("conv", 18): (18, 0), ("conv", 54): (54, 50), ("dense", 54): (54, 0)}
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
env/bin/python check.py 2>check.log | grep -E "^hls4ml|^as described|^CHANGED" || { tail -20 check.log >&2; exit 1; }
