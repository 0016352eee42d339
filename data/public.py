"""The public CoDAE sample's files (arXiv:2306.12955): NumPy archives with images, labels, masses, n_tracks."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from codae_l1.data.errors import InputError
from codae_l1.data.events import QCD, SUEP_MASSES, SVJ_MASSES, EventImages, check_images

# (label, mass code) of the files -> name: SUEP masses are numbered from 1, SVJ's from 5.
PUBLIC_CLASSES = {(0, 0): QCD}
PUBLIC_CLASSES |= {(1, code): name for code, name in enumerate(SUEP_MASSES, start=1)}
PUBLIC_CLASSES |= {(2, code): name for code, name in enumerate(SVJ_MASSES, start=5)}
_KEYS = ("images", "labels", "masses", "n_tracks")


def read_public(path: Path | str) -> EventImages:
    """Events of one public file; all weights 1, pile-up blocks unknown (-1)."""
    path = Path(path)
    columns = _load(path)
    images = columns["images"].astype(np.float32, copy=False)
    check_images(images, f"{path}: images")
    labels, masses = (columns[key].reshape(-1).astype(int) for key in ("labels", "masses"))
    classes = list(zip(labels.tolist(), masses.tolist(), strict=True))
    unknown = sorted(set(classes) - set(PUBLIC_CLASSES))
    if unknown:
        raise InputError(
            f"{path}: unknown signal, label {unknown[0][0]} with mass {unknown[0][1]}",
            "label 0 with mass 0, 1 with 1 to 6, 2 with 5 to 7",
            "correct the labels or the masses",
        )
    signal = np.array([PUBLIC_CLASSES[c] for c in classes], dtype="U8")
    provenance = {"source": "public CoDAE sample, arXiv:2306.12955", "file": path.name}
    n = len(images)
    n_tracks = columns["n_tracks"].reshape(-1).astype(np.int32)
    return EventImages(images, signal, n_tracks, np.ones(n), np.full(n, -1, np.int32), provenance)


def _load(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"{path} does not exist", "an .npz file of the public sample", "correct the path")
    try:
        # An own handle, since np.load leaves the file open where the archive is broken.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as content:
            missing = [key for key in _KEYS if key not in content]
            if not missing:
                return {key: content[key] for key in _KEYS}
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is truncated or not .npz ({error})", "a whole .npz file", "copy it again") from error
    raise InputError(f"{path} without {', '.join(missing)}", f"the arrays {', '.join(_KEYS)}", "add the missing arrays")
