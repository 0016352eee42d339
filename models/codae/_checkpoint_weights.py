"""The weights of a published CoDAE or CoDVAE out of a TensorFlow checkpoint: NAME.index and NAME.data-00000-of-00001.

A variable goes by its path, PART/layer_with_weights-N/ROLE/.ATTRIBUTES/VARIABLE_VALUE: layers are counted in the order
in which the part calls them, and roles are conv/kernel, conv/bias, norm/gamma, norm/beta, expand/kernel, expand/bias of
a conditioning field, and kernel and bias of a last layer. A CoDVAE's f_R counts its temperature before its logits.
"""

import glob
import re
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae._published_layout import PARTS, LayerWeights, Part, PartWeights, layer_feeds
from codae_l1.models.codae.config import CoDAEConfig

_PARTS: dict[str, Part] = {
    **{"encoder1": "f_r", "encoder2": "f_m", "decoder": "decoder"},
    **{"energy_encoder": "f_r", "mask_encoder": "f_m"},
}
_ROLES = {"kernel": "kernel", "bias": "bias", "gamma": "scale", "beta": "shift"}
_END = "/.ATTRIBUTES/VARIABLE_VALUE"
_WEIGHTS = re.compile(rf"(\w+)/layer_with_weights-(\d{{1,4}})/(?:(conv|norm|expand)/)?(\w+){re.escape(_END)}")
# What a checkpoint holds beside the weights: of training, and of the prior, whose temperatures no file holds.
_BESIDE = re.compile(
    r"optimizer/|trackers/|_CHECKPOINTABLE_OBJECT_GRAPH$|save_counter/|.*/\.OPTIMIZER_SLOT/|"
    rf"prior/_components_distribution/_distribution/_logits{re.escape(_END)}$"
)


def checkpoint_prefix(path: Path) -> Path | None:
    """The checkpoint that a file is of, without the end of its name; None where it is none.

    >>> checkpoint_prefix(Path("a/weights-30-0.873.data-00000-of-00001")).name
    'weights-30-0.873'
    """
    match = re.fullmatch(r"(.+)\.(?:index|data-\d{5}-of-\d{5})", path.name)
    return path.with_name(match[1]) if match else None


def read_checkpoint(prefix: Path, config: CoDAEConfig) -> list[PartWeights]:
    """All parts of a checkpoint; a variable that is neither a weight nor of the training is refused by name."""
    import tensorflow as tf

    index = prefix.with_name(f"{prefix.name}.index")
    data = sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*"))
    if not index.is_file() or not data:
        raise InputError(
            f"{prefix.name}.{'data-00000-of-00001' if index.is_file() else 'index'} does not exist",
            "both files of the checkpoint in one folder",
            "put them beside each other",
        )
    layers: dict[Part, dict[str, LayerWeights]] = {part: {} for part in PARTS}
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for key in sorted(reader.get_variable_to_shape_map()):
            if not _BESIDE.match(key):
                part, layer, role = _place(prefix.name, key, config)
                layers[part].setdefault(layer, {})[role] = _floats(prefix.name, key, reader.get_tensor(key))
    except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
        reason = " ".join(str(getattr(error, "message", error)).split())
        raise InputError(f"{prefix.name} cannot be read ({reason})", "a whole checkpoint", "fetch it again") from error
    return [PartWeights(part, prefix.name, found) for part, found in layers.items()]


def _place(source: str, key: str, config: CoDAEConfig) -> tuple[Part, str, str]:
    """(part, layer, role) of a variable."""
    match = _WEIGHTS.fullmatch(key)
    name, number, kind, role = match.groups() if match else ("", "0", None, "")
    of_vae = {"energy_encoder": True, "mask_encoder": True, "encoder1": False, "encoder2": False}
    if of_vae.get(name, bool(config.categorical)) != bool(config.categorical):
        raise InputError(
            f"{source} with {key.split('/')[0]}, as a {'CoDVAE' if of_vae[name] else 'CoDAE'} has",
            f"a {'CoDVAE' if config.categorical else 'CoDAE'}",
            f"take --kind {'codvae' if of_vae[name] else 'codae'}",
        )
    names = list(layer_feeds(_PARTS[name], config)) if name in _PARTS else []
    if role not in _ROLES or int(number) >= len(names) or kind != _kind(names[int(number)], role):
        raise InputError(
            f"{source} with the variable {key.removesuffix(_END)}",
            "the variables of a published model",
            "take the checkpoint of one",
        )
    return _PARTS[name], names[int(number)], _ROLES[role]


def _kind(layer: str, role: str) -> str | None:
    """What stands before the role in the path of a layer's variable."""
    if "-b" not in layer:
        return None
    if role in ("gamma", "beta"):
        return "norm"
    return "expand" if layer.startswith("conditioning") else "conv"


def _floats(source: str, key: str, value: Any) -> np.ndarray:
    found = np.asarray(value)
    if found.dtype.kind != "f":
        raise InputError(f"{source}: {key.removesuffix(_END)} of {found.dtype}", "floats", "take another checkpoint")
    return found.astype(np.float32)
