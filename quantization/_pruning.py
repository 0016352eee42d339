"""Magnitude pruning: the smallest weights of each layer become zero and stay zero while the others are trained further.

The constraint masks the kernel after each step, after the constraint that the layer already has: a tied kernel loses
whole channels, since its weights are equal over cells or window.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np


@keras.saving.register_keras_serializable(package="codae_l1")
class Masked(keras.constraints.Constraint):
    """Kernel -> inner constraint -> kernel x mask (0 or 1, of the kernel's shape).

    >>> Masked(np.array([[1.0], [0.0]], "float32"))(np.array([[2.0], [3.0]], "float32")).numpy().tolist()
    [[2.0], [0.0]]
    """

    def __init__(self, mask: Any, inner: Any = None):
        self.mask, self.inner = np.asarray(mask, np.float32), inner

    def __call__(self, w: Any) -> Any:
        """Kernel -> kernel of the same shape."""
        return keras.ops.multiply(self.inner(w) if self.inner else w, self.mask)

    def get_config(self) -> dict[str, Any]:
        """Mask and inner constraint."""
        return {"mask": self.mask.tolist(), "inner": keras.constraints.serialize(self.inner) if self.inner else None}


def prune(model: keras.Model, layers: Iterable[str], sparsity: float) -> dict[str, float]:
    """Zero the share `sparsity` of each layer's weights that are smallest in magnitude, and keep them zero.

    Equal magnitudes stay or go together, so at most that share goes. Returns layer name -> share of zeros.
    """
    shares = {}
    for name in layers if sparsity > 0 else ():
        layer = model.get_layer(name)
        kernel, *rest = layer.get_weights()
        ordered = np.sort(np.abs(kernel), axis=None)
        mask = np.abs(kernel) >= ordered[min(int(sparsity * kernel.size), kernel.size - 1)]
        layer.set_weights([kernel * mask, *rest])
        layer.kernel.constraint = Masked(mask, layer.kernel.constraint)
        shares[name] = float(1 - mask.mean())
    return shares
