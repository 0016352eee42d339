#!/usr/bin/env bash
# hls4ml 1.3.0 (with keras 3.15.1, tensorflow 2.21.0), Catapult backend: the result precision that the user gives a
# layer is replaced where a max pooling follows. Asked: fixed<6,3,RND_CONV,SAT> for the layer before the pool. Vivado
# and Vitis take it; Catapult takes fixed<10,5,RND_CONV,SAT>, two integer bits and two fraction bits more, so the
# layer saturates and rounds elsewhere than the configuration says. Nothing is printed. The same layer with no pool
# behind it keeps the precision asked.
#
# Cause, seen in the written project: the pool's accumulator, where the user leaves it open, is the very type of the
# layer before, and Catapult widens that accumulator. Naming an accumulator precision for the pool keeps both.
# Exit code 0: the behaviour is as described. 1: it has changed. Needs: python3 (3.11 to 3.13) with venv.
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

ASKED = "fixed<6,3,RND_CONV,SAT>"


def taken(backend, pool=True, accumulator=None):
    image = keras.Input((4, 4, 1), name="image")
    hidden = keras.layers.Conv2D(2, 3, padding="same", name="conv")(image)
    hidden = keras.layers.LeakyReLU(negative_slope=0.25, name="leaky")(hidden)
    if pool:
        hidden = keras.layers.MaxPooling2D(2, name="pool")(hidden)
    model = keras.Model(image, hidden)
    config = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend=backend, default_precision="fixed<16,6>"
    )
    config["LayerName"]["leaky"]["Precision"]["result"] = ASKED
    if accumulator:
        config["LayerName"]["pool"]["Precision"]["accum"] = accumulator
    part = {} if backend == "Catapult" else {"part": "xcvu13p-flga2577-2-e"}
    project = hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, backend=backend, io_type="io_parallel", output_dir=f"{backend}{pool}{accumulator}", **part
    )
    leaky = next(layer for layer in project.get_layers() if layer.name == "leaky")
    return str(leaky.get_output_variable().type.precision)


rows = {
    "Vivado": taken("Vivado"),
    "Vitis": taken("Vitis"),
    "Catapult": taken("Catapult"),
    "Catapult without a pool": taken("Catapult", pool=False),
    "Catapult, accumulator named": taken("Catapult", accumulator="fixed<16,6>"),
}
for name, precision in rows.items():
    print(f"hls4ml {hls4ml.__version__}, {name}: asked {ASKED}, taken {precision}")
kept, wider = "fixed<6,3,RND_CONV,SAT,0>", "fixed<10,5,RND_CONV,SAT,0>"
as_described = list(rows.values()) == [kept, kept, wider, kept, kept]
print("as described" if as_described else "CHANGED")
sys.exit(not as_described)
PY
env/bin/python check.py 2>check.log | grep -E "^hls4ml|^as described|^CHANGED" || { tail -20 check.log >&2; exit 1; }
