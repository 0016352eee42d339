"""Which word enters and leaves each layer of a twin."""

from collections.abc import Container
from typing import TYPE_CHECKING

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.models.codae.config import MASK_SHAPE
from codae_l1.quantization.encoders.config import HEADS, MASK_WORD, EncoderConfig
from codae_l1.quantization.f_m.precision import LayerPrecision

if TYPE_CHECKING:
    import keras


def weighted(model: "keras.Model") -> dict[str, tuple[int, ...]]:
    """Name -> kernel shape of the layers with weights, in order.

    >>> from codae_l1.models.codae.config import TINY
    >>> from codae_l1.quantization.encoders.network import build_encoder
    >>> weighted(build_encoder("f_m", TINY, EncoderConfig()))["z_m"]
    (40, 2)
    """
    return {layer.name: tuple(layer.weights[0].shape) for layer in model.layers if layer.weights}


def words_of(model: "keras.Model", config: EncoderConfig, precision: dict[str, LayerPrecision]) -> dict[str, WordType]:
    """Name -> word type of every layer whose output is quantized, the mask first."""
    found = {"mask": MASK_WORD}
    for layer in model.layers:
        name = layer.name.removesuffix("_word")
        if layer.name.endswith("_word"):
            found[layer.name] = output_word(config, name, precision[name])
    return found


def output_word(config: EncoderConfig, name: str, precision: LayerPrecision) -> WordType:
    """Word that leaves a layer: signed at the end and behind a leaky ReLU, else unsigned."""
    if name in HEADS or config.slope:
        return precision.output_word
    return precision.relu_word


def input_name(model: "keras.Model", name: str, words: Container[str]) -> str:
    """Name, out of `words`, of the quantized layer (or the mask) that a layer reads; pools and flatten in between."""
    layer = model.get_layer(name)
    while True:
        layer = layer.input._keras_history.operation
        if layer.name in words:
            return layer.name


def check_masks(masks: np.ndarray) -> np.ndarray:
    """Masks as float32; InputError unless they are (N, 72, 58, 1) of 0 and 1."""
    masks = np.asarray(masks)
    if masks.ndim != 4 or masks.shape[1:] != MASK_SHAPE or not np.isin(masks, (0, 1)).all():
        raise InputError(
            f"masks {masks.shape} of {masks.dtype}", "(N, 72, 58, 1) of 0 and 1", "use data.pooling.track_mask"
        )
    return masks.astype(np.float32)
