"""Seeds of the command line: what Keras and NumPy take."""

from collections.abc import Sequence

from codae_l1.data.base.errors import InputError

# As a config's (data/base/config.py).
_LARGEST = 2**31 - 1


def require_seeds(option: str, seeds: Sequence[int], different: bool = False) -> None:
    """InputError unless all are 0 to 2^31 - 1, and different where they must be."""
    if min(seeds) < 0 or max(seeds) > _LARGEST or (different and len(set(seeds)) < len(seeds)):
        given = f"{option} {' '.join(map(str, seeds))}"
        words = "different numbers" if different else "numbers"
        raise InputError(given[:100], f"{words}, 0 to {_LARGEST:,}", f"correct {option}")
