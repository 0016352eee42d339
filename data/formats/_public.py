"""The public CoDAE sample's files (arXiv:2306.12955): NumPy archives with images, labels, masses, n_tracks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_arrays
from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.data.events import QCD, SUEP_MASSES, SVJ_MASSES, EventImages, check_images, unweighted
from codae_l1.data.formats._format import Format, Tell, tell_weights

# (label, mass code) of the files -> name: SUEP masses are numbered from 1, SVJ's from 5.
PUBLIC_CLASSES = {(0, 0): QCD}
PUBLIC_CLASSES |= {(1, code): name for code, name in enumerate(SUEP_MASSES, start=1)}
PUBLIC_CLASSES |= {(2, code): name for code, name in enumerate(SVJ_MASSES, start=5)}
_KEYS = ("images", "labels", "masses", "n_tracks")
# NumPy's kinds of real numbers: bool, integers, floats.
_NUMBERS = "biuf"
# What int32 holds.
_LARGEST = np.iinfo(np.int32).max


class Public(Format):
    """NumPy archives of the public CoDAE sample."""

    name = "public"
    kind = ".npz of the public CoDAE sample"
    suffixes = (".npz",)

    def slices(self, path: Path, options: Any, size: int, label: str, tell: Tell) -> Iterator[EventImages]:
        """The file is read as a whole."""
        columns = _load(path)
        events = _events(path, columns)
        if len(events) <= size:
            yield events
        else:
            for start in range(0, len(events), size):
                yield events.select(np.arange(start, min(start + size, len(events))))
        # A sum of weights is not one of each event.
        tell_weights((name for name, column in columns.items() if column.shape[:1] == (len(events),)), "event", tell)


def read_public(path: Path | str) -> EventImages:
    """Events of one public file; all weights 1, pile-up blocks unknown (-1)."""
    return _events(Path(path), _load(Path(path)))


def _events(path: Path, columns: dict[str, np.ndarray]) -> EventImages:
    if columns["images"].dtype.kind not in _NUMBERS:
        raise _not_numbers(path, "images", columns["images"])
    with np.errstate(over="ignore"):
        images = columns["images"].astype(np.float32, copy=False)
    check_images(images, f"{path}: images")
    labels, masses, n_tracks = (integers(path, key, columns[key], len(images)) for key in _KEYS[1:])
    classes = list(zip(labels.tolist(), masses.tolist(), strict=True))
    unknown = sorted(set(classes) - set(PUBLIC_CLASSES))
    if unknown:
        raise InputError(
            f"{path}: unknown signal, label {unknown[0][0]} with mass {unknown[0][1]}",
            "label 0 with mass 0, 1 with 1 to 6, 2 with 5 to 7",
            "correct the labels or the masses",
        )
    if len(images) and images.any() and (images[..., 1:] == images[..., :1]).all():
        raise _supervised(path, "images of three equal channels, as if made of the one channel of")
    signal = np.array([PUBLIC_CLASSES[c] for c in classes], dtype="U16")
    provenance = {"source": "public CoDAE sample, arXiv:2306.12955", "file": path.name}
    return unweighted(images, signal, n_tracks, provenance)


def integers(path: Path, key: str, column: np.ndarray, n: int) -> np.ndarray:
    """A column of whole numbers, (n,) or (n, 1) of any real dtype -> (n,) int64; key: its name, for the messages."""
    if column.dtype.kind not in _NUMBERS:
        raise _not_numbers(path, key, column)
    if column.shape not in ((n,), (n, 1)):
        raise InputError(
            f"{path}: {len(column) if column.ndim else 0} entries of {key} for {n} images, shape {column.shape}",
            f"one entry per event, shape ({n},) or ({n}, 1)",
            "correct the file; a class is a number, not a one-hot row",
        )
    values = column.reshape(-1).astype(np.float64)
    bad = ~(np.isfinite(values) & (values == np.round(values)) & (values >= -_LARGEST) & (values <= _LARGEST))
    if bad.any():
        raise InputError(
            f"{path}: {key} with {column.reshape(-1)[bad][0]} in event {np.argmax(bad)}",
            "finite whole numbers",
            f"correct the {key}",
        )
    return values.astype(np.int64)


def _not_numbers(path: Path, key: str, column: np.ndarray) -> InputError:
    return InputError(f"{path}: {key} of type {column.dtype}", "numbers", f"store {key} as numbers")


def _supervised(path: Path, found: str) -> InputError:
    return InputError(
        f"{path}: {found} the layout of the public sample's folder supervised/, whose "
        "channel is the sum of all and whose masses have other codes (1 to 4: h125, h400, h700, h1000)",
        "three channels (tracks, ECAL, HCAL) and n_tracks",
        "take the sample's other files",
    )


def _load(path: Path) -> dict[str, np.ndarray]:
    content = read_arrays(path, "a whole .npz file of the public sample", says="is truncated or not .npz")
    missing = [key for key in _KEYS if key not in content]
    if "images" in content and content["images"].shape[1:] == (N_PHI, N_ETA, 1):
        raise _supervised(path, "images of one channel without n_tracks," if missing else "images of one channel,")
    if not missing:
        return content
    raise InputError(f"{path} without {', '.join(missing)}", f"the arrays {', '.join(_KEYS)}", "add the missing arrays")
