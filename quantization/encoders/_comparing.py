"""The scores of a model with other encoders against those of the model that it was made from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from codae_l1.data.events import BACKGROUNDS, SIGNALS
from codae_l1.models.evaluation.roc import auc, paired_auc_difference
from codae_l1.quantization._qat import rank_correlation


def compared(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    signal: np.ndarray,
    n_bootstrap: int = 100,
    seed: int = 0,
) -> dict[str, Any]:
    """Oriented scores of the same events, name -> (N,), before and after.

    signal: process names (N,), "qcd" or "zero_bias" among them. Gives score -> `rank_correlation` on it (Spearman) and
    `auc`: signal -> float (before), quantized (after), difference and its error.
    """
    background, found = np.isin(signal, BACKGROUNDS), {}
    for score in before:
        a, b = before[score], after[score]
        entry: dict[str, Any] = {"rank_correlation": rank_correlation(a[background], b[background]), "auc": {}}
        for process in (s for s in SIGNALS if s in signal):
            chosen = signal == process
            pair = (a[background], a[chosen], b[background], b[chosen])
            difference, error = paired_auc_difference(*pair, n_bootstrap, seed)
            values = {"float": auc(*pair[:2]), "quantized": auc(*pair[2:])}
            entry["auc"][process] = values | {"difference": difference, "error": error}
        found[score] = entry
    return found
