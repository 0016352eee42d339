"""The one Markdown table, and a value with its error."""

import math
from collections.abc import Iterable, Sequence


def markdown_table(titles: Sequence[str], rows: Iterable[Sequence[object]], numbers_from: int | None = None) -> str:
    """A Markdown table without a line break at its end; columns from numbers_from on are aligned to the right.

    >>> print(markdown_table(("layer", "bits"), [("conv1", 6)], numbers_from=1))
    | layer | bits |
    |---|---:|
    | conv1 | 6 |
    """
    left = len(titles) if numbers_from is None else numbers_from
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * left + "---:|" * (len(titles) - left)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(lines)


def with_error(value: float, error: float) -> str:
    """A value ± its error, both with as many decimals as the error has to two digits.

    >>> with_error(19.77, 5.02), with_error(273.4, 26.1), with_error(0.0998, 0.0123), with_error(3.0, 0.0)
    ('19.8 ± 5.0', '273 ± 26', '0.100 ± 0.012', '3.0 ± 0.0')
    """
    decimals = max(0, 1 - math.floor(math.log10(float(f"{error:.1e}")))) if error > 0 else 1
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}"
