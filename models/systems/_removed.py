"""Keys that `[systems.<name>]` had before 0.2.0 and the values at which the systems' classes now fix them."""

_TRAINING = {"precision": "float32", "xla": False, "distribute": "none", "tensorboard": False, "clipnorm": 1.0}
_COSINE = {**_TRAINING, "augment": True, "weight_decay": 1e-4, "beta_2": 0.999}
_EVENTS = {**_COSINE, "final_rate": 0.05}
_JETS = {**_TRAINING, "augment": False, "weight_decay": 0.0, "beta_2": 0.999, "final_rate": 1.0}
_CCT = {"dropout": 0.2, "attention_dropout": 0.1, "depth_rate": 0.1, "smoothing": 0.1, "positional": True}
# The three-class CCT takes the table of the other: its own may only say the same.
_THREE_CLASS = {
    "model": {**_CCT, "classes": 3, "filters": [16, 32, 64], "layers": 2, "heads": 2, "key": 32, "mlp": [64, 64]},
    "training": {**_EVENTS, "epochs": 20, "batch_size": 32, "learning_rate": 2e-3},
}
_TABLES = {
    "dirichlet": {"model": {"shape": [72, 58], "latent_weight": 0.1}, "training": {**_COSINE, "beta_2": 0.99}},
    "qcd_or_what": {"model": {"output_bias": -1.0}, "training": _EVENTS},
    "raw_ae": {"training": {**_EVENTS, "augment": False}},
    "cct": {"model": {**_CCT, "classes": 2}, "training": _COSINE},
    "cct_three_class": _THREE_CLASS,
    "bdt": {"": {"leaves": 8, "leaf_events": 20, "learning_rate": 0.05}},
    "isolation_forest": {"": {"tree_events": 256}},
    "jet_ae": {"model": {"architecture": "hands_on"}, "training": _JETS},
    "fns_ae": {"model": {"architecture": "fns"}, "training": _JETS},
    "jet_dirichlet": {"model": {"shape": [40, 40], "latent_weight": 0.1}, "training": _JETS},
}
# Dotted path below `systems` -> value (codae_l1.data.base.config says what it is for).
REMOVED = {
    f"{system}.{table}.{key}".replace("..", "."): value
    for system, tables in _TABLES.items()
    for table, keys in tables.items()
    for key, value in keys.items()
}
