"""Keys that `[systems.<name>]` had before 0.2.0 and the values at which the systems' classes now fix them."""

_TRAINING = {"precision": "float32", "xla": False, "distribute": "none", "tensorboard": False, "clipnorm": 1.0}
_EVENTS = {**_TRAINING, "augment": True, "weight_decay": 1e-4, "beta_2": 0.999}
_JETS = {**_TRAINING, "augment": False, "weight_decay": 0.0, "beta_2": 0.999}
_CCT = {"dropout": 0.2, "attention_dropout": 0.1, "depth_rate": 0.1, "smoothing": 0.1, "positional": True}
_TABLES = {
    "dirichlet": {"model": {"shape": [72, 58]}, "training": {**_EVENTS, "beta_2": 0.99}},
    "qcd_or_what": {"model": {"output_bias": -1.0}, "training": _EVENTS},
    "raw_ae": {"training": {**_EVENTS, "augment": False}},
    "cct": {"model": {**_CCT, "classes": 2}, "training": _EVENTS},
    "cct_three_class": {"model": {**_CCT, "classes": 3}, "training": _EVENTS},
    "jet_ae": {"model": {"architecture": "hands_on"}, "training": _JETS},
    "fns_ae": {"model": {"architecture": "fns"}, "training": _JETS},
    "jet_dirichlet": {"model": {"shape": [40, 40]}, "training": _JETS},
}
# Dotted path below `systems` -> value (codae_l1.data.base.config says what it is for).
REMOVED = {
    f"{system}.{table}.{key}": value
    for system, tables in _TABLES.items()
    for table, keys in tables.items()
    for key, value in keys.items()
}
