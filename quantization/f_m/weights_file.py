"""One .npz file for a small network: how it was made (JSON) and its weights, written whole or not at all.

It holds no pickles and no Keras objects: the network is built from its config, so any version that builds it can read
it.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file

# Version of the file.
FORMAT = 1


def write_weights(path: Path | str, meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write meta (JSON-ready) and named arrays."""
    with whole_file(path) as temporary, open(temporary, "wb") as handle:
        np.savez_compressed(handle, meta=np.array(json.dumps({"format": FORMAT, **meta})), **arrays)  # type: ignore[arg-type]


def read_weights(path: Path | str, shapes: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Meta and arrays of a file of write_weights; `shapes(meta)` gives the shape that each array must have.

    A missing, broken or unfitting file raises InputError.
    """
    try:
        # numpy.load leaves a path's file open where it is broken.
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        meta = json.loads(str(arrays.pop("meta")))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _unfit(path, str(error) or "it is empty") from error
    if meta.get("format") != FORMAT:
        raise _unfit(path, f"format {meta.get('format')}, not {FORMAT}")
    found, expected = {key: a.shape for key, a in arrays.items()}, shapes(meta)
    wrong = [k for k in sorted({*found, *expected}) if found.get(k) != expected.get(k)]
    if wrong:
        raise _unfit(path, f"{wrong[0]} of shape {found.get(wrong[0])}, not {expected.get(wrong[0])}")
    return meta, arrays


def _unfit(path: Path | str, why: str) -> InputError:
    return InputError(f"{path} is no model of f_m ({why})", "a file written by its save()", "run the quantize stage")
