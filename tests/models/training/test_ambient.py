"""The user's own settings of Keras: commands do without them, libraries refuse them."""

import json
import os
import subprocess
import sys

import keras
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE
from codae_l1.quantization.encoders.config import EncoderConfig
from codae_l1.quantization.encoders.network import build_encoder
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import build_float, build_qkeras

BUILDERS = {
    "qkeras": lambda: build_qkeras(FirmwareConfig(), 0),
    "float": lambda: build_float(FirmwareConfig(), 0),
    "codae": lambda: CoDAE(TINY),
    "encoder": lambda: build_encoder("f_m", TINY, EncoderConfig()),
}
SETTINGS = {
    "floatx": (keras.config.set_floatx, "float16", "float32", "floatx = float16; expected float32"),
    "format": (
        keras.config.set_image_data_format,
        "channels_first",
        "channels_last",
        "image_data_format = channels_first; expected channels_last",
    ),
    "policy": (
        keras.config.set_dtype_policy,
        "mixed_bfloat16",
        "float32",
        "dtype policy = mixed_bfloat16; expected float32",
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("builder", BUILDERS)
def test_a_network_of_other_numbers_is_not_built(setting, builder):
    change, value, usual, words = SETTINGS[setting]
    change(value)
    try:
        with pytest.raises(InputError, match=f"Keras with {words}, with which the network's sums are exact"):
            BUILDERS[builder]()
    finally:
        change(usual)
    BUILDERS[builder]()


def test_commands_compute_in_float32_on_tensorflow_whatever_the_user_set(tmp_path):
    settings = {"floatx": "float16", "epsilon": 0.1, "backend": "torch", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = (
        "from codae_l1.scripts.run import cli; cli.import_tensorflow(); import keras; c = keras.config;"
        "print(c.backend(), c.floatx(), c.epsilon(), c.image_data_format(), c.dtype_policy().name)"
    )
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.stdout.split() == ["tensorflow", "float32", "1e-07", "channels_last", "float32"], done.stderr
