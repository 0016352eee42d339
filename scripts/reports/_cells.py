"""What stands in a cell of a table: means over the seeds with their spread, rates with errors, background rejection."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from codae_l1.scripts.run.tables import with_error as with_error

# Of the bound where no background passes.
CONFIDENCE = 0.9


def percent(value: dict[str, float | None] | None, digits: int = 1) -> str:
    """A mean ± its spread over the seeds in %; of one seed the value alone, "" without one.

    >>> percent({"mean": 0.875, "spread": 0.0125}), percent({"mean": 0.875, "spread": None}), percent(None)
    ('87.5 ± 1.2', '87.5', '')
    """
    if value is None:
        return ""
    text, of_seeds = f"{100 * (value['mean'] or 0):.{digits}f}", value["spread"]
    return text if of_seeds is None else f"{text} ± {100 * of_seeds:.{digits}f}"


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation of the seeds' values; of one seed its value."""
    text = f"{np.mean(values):.1f}"
    return text if len(values) == 1 else f"{text} ± {np.std(values, ddof=1):.1f}"


def rejection(passing: Sequence[Sequence[Any]], background: int) -> str:
    """(FPR, error) of each seed -> mean ± spread (error of the first) of 1 / FPR; a bound where nothing passes.

    >>> rejection([(0.02, 0.002), (0.025, 0.002)], 1000), rejection([(0.0, 0.001)], 1000)
    ('45.0 ± 7.1 (5.0)', '> 434.8')
    """
    if min(fpr for fpr, _ in passing) <= 0:
        return f"> {1 / largest_fpr(background):.1f}"
    fpr, error = passing[0]
    return f"{spread([1 / fpr for fpr, _ in passing])} ({error / fpr**2:.1f})"


def largest_fpr(background: int) -> float:
    """Above which FPR at least one of so many background events would have passed, at 90 % confidence."""
    return 1 - (1 - CONFIDENCE) ** (1 / background)
