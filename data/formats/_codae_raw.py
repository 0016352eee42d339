"""CoDAE's raw HDF5 (arXiv:2306.12955): images of 286 x 360 cells (eta, phi), summed 5 x 5 to the grid of towers.

Cells are 0.01745 x 1 degree out to |eta| = 2.49535. "same" padding puts two empty columns at each end of eta, so that
58 towers cover 286 cells: image[phi, eta] = sum of raw[5 eta - 2 : 5 eta + 3, 5 phi : 5 phi + 5].
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.calorimeter import IMAGE_SHAPE, N_ETA, N_PHI
from codae_l1.data.events import EventImages, check_signals, unweighted
from codae_l1.data.formats._format import Format, Tell, tell_weights
from codae_l1.data.formats._hdf5 import SUFFIXES, bounds, find, holds, open_hdf5, read, require_finite, require_shape
from codae_l1.data.formats._public import integers

IMAGES = ("ImageTrk_PUcorr", "ImageECAL", "ImageHCAL")
N_TRACKS = "NTrk_PUcorr"
KIND = f"CoDAE's raw HDF5: {', '.join((*IMAGES, N_TRACKS))}"
# Cells of a raw image in eta and phi, and cells per tower along each axis.
RAW_SHAPE = (286, 360)
CELLS = 5
# Events read at a time: 1.2 MB each as float32.
SLICE = 32
_PADDING = (N_ETA * CELLS - RAW_SHAPE[0]) // 2


class CodaeRaw(Format):
    """HDF5 as the authors of CoDAE wrote it."""

    name = "codae-raw"
    kind = KIND
    suffixes = SUFFIXES
    labelled = False

    def recognises(self, path: Path) -> bool:
        """Whether it has images of tracks."""
        return holds(path, IMAGES[0])

    def slices(self, path: Path, options: Any, size: int, label: str, tell: Tell) -> Iterator[EventImages]:
        """At most 32 events at a time."""
        check_signals(np.array([label]))
        with open_hdf5(path, KIND) as file:
            datasets = [find(file, name, KIND) for name in IMAGES]
            tracks = find(file, N_TRACKS, KIND)
            n = len(datasets[0])
            for name, dataset in zip(IMAGES, datasets, strict=True):
                require_shape(dataset, name, (n, *RAW_SHAPE))
            counts = integers(path, N_TRACKS, read(tracks, KIND, 0, len(tracks)), n)
            provenance = {"source": "CoDAE raw HDF5, arXiv:2306.12955", "file": path.name, "label": label}
            for start, stop in bounds(n, min(size, SLICE)):
                images = np.zeros((stop - start, *IMAGE_SHAPE), np.float32)
                for channel, (name, dataset) in enumerate(zip(IMAGES, datasets, strict=True)):
                    raw = read(dataset, KIND, start, stop)
                    require_finite(raw, f"{path}: {name}", start, 0.0)
                    with np.errstate(over="ignore"):
                        images[..., channel] = sum_cells(raw)
                    require_finite(images[..., channel], f"{path}: {name} in towers, as float32", start)
                yield unweighted(images, np.full(stop - start, label), counts[start:stop], provenance)
            tell_weights(file, "event", tell)


def sum_cells(raw: np.ndarray) -> np.ndarray:
    """Raw images (N, 286, 360), axes (event, eta, phi) -> (N, 72, 58) float32, axes (event, phi, eta).

    >>> sum_cells(np.ones((1, 286, 360)))[0, 0, [0, 1, 57]].tolist()
    [15.0, 25.0, 15.0]
    """
    padded = np.pad(raw.astype(np.float32, copy=False), ((0, 0), (_PADDING, _PADDING), (0, 0)))
    towers = padded.reshape(len(raw), N_ETA, CELLS, N_PHI, CELLS).sum(axis=(2, 4))
    return towers.transpose(0, 2, 1)
