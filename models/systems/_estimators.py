"""Estimators of scikit-learn as bytes and back, by skops: no pickle, and their scores are equal to the bit."""

from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import DAMAGED

# Compiled classes of scikit-learn that the estimators here consist of; skops takes no other that it does not know.
_TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor", "sklearn.tree._tree.Tree"]


def to_array(estimator: Any) -> np.ndarray:
    """A fitted estimator -> (bytes,) uint8."""
    from skops.io import dumps

    return np.frombuffer(dumps(estimator), np.uint8)


def from_array(array: np.ndarray) -> Any:
    """What to_array wrote -> the estimator; InputError where a file names other classes than scikit-learn's."""
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return loads(array.tobytes(), trusted=_TRUSTED)
    except (UntrustedTypesFoundException, *DAMAGED) as error:
        raise InputError(
            f"an estimator that cannot be read ({error})", "one of scikit-learn", "train the system again"
        ) from error
