"""Layers of the published CoDAE and CoDVAE (arXiv:2306.12955): their names, their order, and the layers here.

    f_m        conv-b{i}, then z
    f_R        dconv-b{i}, conv1-b{i}_{j}, conv2-b{i}_{j}, then latents; of a CoDVAE temperature and logits
    decoder    conditioning-b{i}, up_conv-b{i}, conv1-b{i}_{j}, conv2-b{i}_{j}, then output

i counts levels, j the residual blocks of one. The order is that of the layers with weights in a checkpoint.
docs/published.md says what else a loader must know.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.config import CoDAEConfig

Part = Literal["f_m", "f_r", "decoder"]
PARTS: tuple[Part, ...] = ("f_m", "f_r", "decoder")
# Role -> array: kernel and bias of a convolution or dense layer as Keras has them, scale and shift of its norm.
LayerWeights = dict[str, np.ndarray]
# Layer without a name of its own: the last one of each part.
HEADS: Mapping[Part, str] = {"f_m": "z", "f_r": "latents", "decoder": "output"}


class PartWeights(NamedTuple):
    """All weights of one part. source: what the user calls the file. layers: published name -> arrays."""

    part: Part
    source: str
    layers: dict[str, LayerWeights]


def layer_feeds(part: Part, config: CoDAEConfig) -> dict[str, frozenset[str]]:
    """Layer -> the layers whose results reach it by way of no other layer, in the order of a checkpoint.

    >>> from codae_l1.models.codae.config import PAPER
    >>> feeds = layer_feeds("decoder", PAPER)
    >>> sorted(feeds["up_conv-b1"]), len(feeds)
    (['conditioning-b1', 'conv2-b0_0', 'up_conv-b0'], 17)
    """
    found: dict[str, frozenset[str]] = {}
    before: frozenset[str] = frozenset()
    first = {"f_m": "conv", "f_r": "dconv", "decoder": "up_conv"}[part]
    for level in range(len(getattr(config, f"{part}_filters"))):
        if part == "decoder":
            found[f"conditioning-b{level}"] = frozenset()
            before |= {f"conditioning-b{level}"}
        found[f"{first}-b{level}"] = before
        before = frozenset({f"{first}-b{level}"})
        for i in range(getattr(config, f"{part}_residuals", (0,) * (level + 1))[level]):
            block = f"b{level}_{i}"
            found[f"conv1-{block}"] = before
            found[f"conv2-{block}"] = frozenset({f"conv1-{block}"})
            before |= {f"conv2-{block}"}
    heads = ("temperature", "logits") if part == "f_r" and config.categorical else (HEADS[part],)
    return found | dict.fromkeys(heads, before)


def keras_layers(model: Any, part: Part) -> dict[str, tuple[Any, Any]]:
    """Published name -> (convolution or dense layer, its norm or None) of a CoDAE, in the order of a checkpoint."""
    of: Any = getattr(model, part)
    found: dict[str, tuple[Any, Any]] = {}
    for name in layer_feeds(part, model.config):
        kind, _, block = name.partition("-b")
        if kind in ("conv", "dconv", "up_conv"):
            layer = of.get_layer(f"level{block}")
            layer = layer.layer if kind == "up_conv" else layer
        elif kind in ("conv1", "conv2"):
            layer = getattr(of.get_layer(f"residual{block}"), "first" if kind == "conv1" else "second")
        elif kind == "conditioning":
            found[name] = of.get_layer(f"conditioning{block}").field, None
            continue
        else:
            head = {"z": "z_m", "latents": "z_r", "logits": "z_r", "temperature": "softplus", "output": "logits"}[kind]
            found[name] = of.get_layer(head), None
            continue
        found[name] = layer.convolution, layer.norm
    return found


def assign(model: Any, weights: PartWeights) -> None:
    """Put the weights of a part into a model; InputError, which names the layer, unless they are all of its own."""
    expected = keras_layers(model, weights.part)
    if odd := sorted(set(weights.layers) ^ set(expected)):
        which = "without the layer" if odd[0] in expected else "with another layer,"
        raise InputError(
            f"{weights.source} {which} {odd[0]}", f"the layers of {weights.part}: {', '.join(expected)}", _OTHER_FILE
        )
    values = []
    for name, (layer, norm) in expected.items():
        variables = {"kernel": layer.kernel, "bias": layer.bias}
        variables |= {} if norm is None else {"scale": norm.scale, "shift": norm.shift}
        if odd := sorted(set(weights.layers[name]) ^ set(variables)):
            which = "without its" if odd[0] in variables else "with a"
            raise InputError(f"{weights.source}: {name} {which} {odd[0]}", f"{', '.join(variables)}", _OTHER_FILE)
        values += [(name, role, variable, weights.layers[name][role]) for role, variable in variables.items()]
    for name, role, variable, value in values:
        if value.shape != tuple(variable.shape):
            raise InputError(
                f"{weights.source}: {role} of {name} of shape {value.shape}", f"{tuple(variable.shape)}", _OTHER_SIZES
            )
        if not np.isfinite(value).all():
            bad = f"{np.sum(~np.isfinite(value))} of {value.size} values that are no finite numbers"
            raise InputError(f"{weights.source}: {role} of {name} with {bad}", "finite weights", _OTHER_FILE)
    for _, _, variable, value in values:
        variable.assign(value)


def checksum(weights: PartWeights) -> str:
    """SHA-256 of a part's weights as float32, whatever file they come from."""
    sum_ = hashlib.sha256()
    for name in sorted(weights.layers):
        for role, value in sorted(weights.layers[name].items()):
            sum_.update(f"{name}.{role}{value.shape}".encode() + value.astype("<f4").tobytes())
    return sum_.hexdigest()


_OTHER_FILE = "take the file of the published model, or one that its code wrote"
_OTHER_SIZES = "take the file of the published model, or give the sizes by --config"
