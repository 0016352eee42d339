"""The one Markdown table."""

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
