"""The reader of QKeras 3's QActivation that hls4ml lacks, on hls4ml's own extension point.

A leaky quantized_relu of QKeras saturates below zero at slope * -2^integer, hls4ml's LeakyReLU at the lowest word,
-2^integer. So its input passes a linear activation first, whose word ends at -2^integer (`leaky_clip`).

Remove it when hls4ml reads the QActivation of QKeras 3 by itself (hls4ml PR #1473).
"""

from typing import Any

from codae_l1.data.base.words import WordType


def leaky_clip(name: str) -> str:
    """Name of the layer that clips the input of a leaky QActivation.

    >>> leaky_clip("act")
    'act_clip'
    """
    return f"{name}_clip"


def leaky_word(word: WordType, fraction: int) -> WordType:
    """Its word: saturates where the input of a leaky ReLU onto `word` must, and keeps its `fraction` bits.

    It has those of `word`, too: its largest value, which saturated inputs get, is then not below that of `word`.

    >>> str(leaky_word(WordType(True, 1, 5), 1))
    'ap_fixed<7,2,AP_TRN,AP_SAT>'
    """
    return WordType(True, word.integer, max(fraction, word.fraction), "TRN", "SAT")


def register() -> None:
    """Teach hls4ml's Keras 3 front end QActivation; calling it again changes nothing."""
    from hls4ml.converters.keras.qkeras import get_activation_quantizer
    from hls4ml.converters.keras_v3 import _base

    handled = "qkeras.qlayers.QActivation"
    if handled in _base.registry:
        return

    class QActivationHandler(_base.KerasV3LayerHandler):
        """QActivation -> hls4ml's Activation (or LeakyReLU) with the quantizer's word."""

        handles = (handled,)

        def handle(self, layer: Any, in_tensors: Any, out_tensors: Any) -> tuple[dict[str, Any], ...]:
            quantizer = layer.activation
            activation = {"class_name": type(quantizer).__name__, "config": quantizer.get_config()}
            v2_layer = {"class_name": "QActivation", "config": {"name": layer.name, "activation": activation}}
            read = get_activation_quantizer(v2_layer, [tensor.name for tensor in in_tensors])
            own = {**self.default_config, **read}
            if not getattr(quantizer, "negative_slope", 0):
                return (own,)
            name = leaky_clip(layer.name)
            clip = {"name": name, "class_name": "Activation", "activation": "linear"}
            clip = {**self.default_config, **clip, "output_keras_tensor_names": [name]}
            return clip, {**own, "input_keras_tensor_names": [name]}
