"""The trained float version of the trigger network, with which the fixed-point one is compared."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from codae_l1.data.base.config import dump, parse
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import BATCH, build_float, saturated
from codae_l1.quantization.f_m.weights import read_weights, weight_shapes, write_weights

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class FloatModel:
    """Float model, its config, and the sign and component that make its score: higher = more anomalous."""

    model: "keras.Model"
    config: FirmwareConfig
    sign: int = 1
    component: int = 0

    def __post_init__(self):
        self.config.check_score(self.sign, self.component)

    def predict(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, 18, 15, inputs) integers -> outputs (N, outputs) float64."""
        values = saturated(counts, self.config)
        parts = [np.asarray(self.model.predict_on_batch(values[i : i + BATCH])) for i in range(0, len(values), BATCH)]
        return np.concatenate([np.zeros((0, self.config.outputs)), *parts]).astype(np.float64)

    def predict_scores(self, counts: np.ndarray) -> np.ndarray:
        """Counts (N, 18, 15, inputs) integers -> (N,) float64, higher = more anomalous."""
        return self.sign * self.predict(counts)[:, self.component]

    def save(self, path: Path | str) -> None:
        """Write config, sign, component and float32 weights to one .npz file, whole or not at all."""
        meta = {"config": dump(self.config), "sign": self.sign, "component": self.component}
        weights = {}
        for name in self.config.layers:
            weights[f"{name}.kernel"], weights[f"{name}.bias"] = self.model.get_layer(name).get_weights()
        write_weights(path, meta, weights)

    @classmethod
    def load(cls, path: Path | str) -> "FloatModel":
        """Read what `save` wrote; weights equal to the bit."""
        meta, arrays = read_weights(path, lambda meta: weight_shapes(parse(FirmwareConfig, meta["config"], "firmware")))
        config = parse(FirmwareConfig, meta["config"], "firmware")
        model = build_float(config, seed=0)
        for name in config.layers:
            model.get_layer(name).set_weights([arrays[f"{name}.kernel"], arrays[f"{name}.bias"]])
        return cls(model, config, *config.check_score(meta.get("sign"), meta.get("component")))
