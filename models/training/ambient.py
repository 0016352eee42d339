"""What Keras takes from its surroundings: settings in ~/.keras/keras.json, KERAS_HOME, KERAS_BACKEND and the process.

Every layer without a type of its own takes them, so they decide numbers: in float16 the sums of the trigger network are
wrong and still on the grid of its words, and a training is another one.
"""

import keras

from codae_l1.data.base.errors import InputError


def check_keras() -> None:
    """Raise InputError, which names the setting, unless Keras computes in float32 on TensorFlow, channels last."""
    config = keras.config
    # In this order: Keras keeps the policy that it makes of floatx when it is first asked for one.
    settings = {
        "backend": (config.backend, "tensorflow"),
        "floatx": (config.floatx, "float32"),
        "image_data_format": (config.image_data_format, "channels_last"),
        "dtype policy": (lambda: config.dtype_policy().name, "float32"),
    }
    for name, (ask, expected) in settings.items():
        if (found := ask()) != expected:
            raise InputError(
                f"Keras with {name} = {found}",
                f"{expected}, with which the network's sums are exact",
                "change ~/.keras/keras.json, KERAS_HOME or KERAS_BACKEND, or set it by keras.config",
            )
