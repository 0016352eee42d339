"""What a group of inputs makes of its windows: rows whose squares are added up, learned from background."""

import dataclasses

import numpy as np

from codae_l1.data.base.errors import InputError

# A variance of a window, or of windows together, below this fraction of their mean is none.
SINGULAR = 1e-4


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that read the windows c (n,) of a group of inputs, those of the rings first; they leave the network squared.

    rows: (units, n) of c, offset: (units,). first: number of rows of the rings. correction: weight of their squares in
    the second score less the first one, whose other squares weigh 1.
    encode: (n,) of the unit h of an encoder, decode: (units,) what each row reads of it; None in a distance.
    """

    rows: np.ndarray
    offset: np.ndarray
    first: int
    correction: float
    encode: np.ndarray | None = None
    decode: np.ndarray | None = None


def exceeded(
    scores: tuple[np.ndarray, np.ndarray],
    rows: tuple[int, int],
    weight: np.ndarray,
    tail: float,
    names: tuple[str, ...],
) -> tuple[float, float]:
    """What each of two sums of squares (N,) exceeds in a weighted share `tail` of background.

    rows: number of squares in each, which is the mean of its sum: a tail below it belongs to background of a few
    events, and is an InputError. names: of the inputs, for the error.
    """
    found = tuple(_quantile(values, weight, tail) for values in scores)
    if any(value < least for value, least in zip(found, rows, strict=True)):
        raise InputError(
            f"background with {', '.join(names)} in so few events that {1 - tail:.1%} of them are alike",
            "events that differ",
            "take crossings of a higher pile-up, or more of them",
        )
    return found[0], found[1]


def no_variation(names: tuple[str, ...]) -> InputError:
    """The error of background whose windows do not vary, or not independently."""
    return InputError(
        f"background whose {', '.join(names)} do not vary in every window",
        "counts that vary independently of each other",
        "take more events or larger windows (firmware.conv)",
    )


def _quantile(values: np.ndarray, weight: np.ndarray, tail: float) -> float:
    order = np.argsort(-values, kind="stable")
    above = np.cumsum(weight[order]) / weight.sum()
    return float(values[order][np.searchsorted(above, tail)])
