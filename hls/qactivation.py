"""hls4ml's missing reader of QKeras 3's QActivation, on hls4ml's own extension point.

Drop it when hls4ml reads QActivation of QKeras 3 by itself (hls4ml PR #1473).
"""

from typing import Any


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
            return ({**self.default_config, **read},)
