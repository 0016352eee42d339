"""Whether all content of an HDF5 dataset is stored: HDF5 itself gives zeros for what is not there.

A virtual dataset is put together from others, whose files may have been left behind, and may leave rows out; raw data
may lie in external files; and blocks of a dataset may never have been written.
"""

import math
import os
from pathlib import Path
from typing import Any

import h5py

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5

_WHOLE = "a dataset whose content is all there"
_COPY = "copy the files that belong together, or write the dataset again"


def require_stored(dataset: h5py.Dataset, name: str) -> None:
    """Raise InputError where a part of the dataset, or of one that it is made of, is not stored."""
    path = dataset.file.filename
    if dataset.is_virtual:
        _require_sources(dataset, path, name)
        return
    for file, offset, size in dataset.external or ():
        source = require_source(path, name, file, "HDF5_EXTFILE_PREFIX")
        if not (Path(file).is_file() and source.samefile(file)):
            # HDF5 looks for raw data from the working directory alone, where another file may have the name.
            where = f"{name} is in {file}, which is not that of the working directory, where HDF5 looks for it"
            raise InputError(f"{path}: {where}", "raw data that is found", f"change to {source.parent}")
        # HDF5 takes what lies beyond the end of the file for zeros; all sizes but the last are given.
        needed = offset + (dataset.nbytes if size == h5py.h5s.UNLIMITED else size)
        if source.stat().st_size < needed:
            raise InputError(f"{path}: {name} needs {needed} bytes of {source}, which is shorter", _WHOLE, _COPY)
    if dataset.size == 0 or dataset.external:
        return
    blocks = [-(-n // block) for n, block in zip(dataset.shape, dataset.chunks or dataset.shape, strict=True)]
    n = math.prod(blocks)
    try:
        stored = dataset.id.get_num_chunks() if dataset.chunks else int(dataset.id.get_storage_size() > 0)
        empty = dataset.chunks and dataset.id.chunk_iter(lambda block: None if block.size else 1)
    except RuntimeError as error:
        raise InputError(f"{path} is truncated or damaged ({error})", _WHOLE, "copy it again") from error
    if empty:
        # HDF5 would read what is not there, and end the process.
        raise InputError(f"{path} is truncated or damaged: a block of {name} has no bytes", _WHOLE, "copy it again")
    missing = n - stored
    if missing:
        raise InputError(f"{path}: {missing} of {n} blocks of {name} were never written", _WHOLE, _COPY)


def require_source(path: str, name: str, source: str, variable: str) -> Path:
    """The file that a dataset of the file `path` refers to, where HDF5 looks for it; InputError where it is not.

    variable: that of the environment which sends HDF5 to another folder.
    """
    if os.environ.get(variable):
        raise InputError(
            f"{path}: {name} is put together from {source}, and {variable} = {os.environ[variable]} looks elsewhere",
            "files where those that refer to them say",
            f"unset {variable}",
        )
    found = next((p for p in (Path(path).parent / source, Path(source)) if p.is_file()), None)
    if found is None:
        raise InputError(f"{path}: {name} is put together from {source}, which is not there", _WHOLE, _COPY)
    return found


def _require_sources(dataset: h5py.Dataset, path: str, name: str) -> None:
    # The union of what the sources give: two that overlap would hide by their sum what none gives.
    given = h5py.h5s.create_simple(dataset.shape)
    given.select_none()
    for source in dataset.virtual_sources():
        # HDF5 numbers the files and datasets of an endless series by %b.
        file_name, inside = (word.replace("%b", "0") for word in (source.file_name, source.dset_name))
        file = path if file_name == "." else str(require_source(path, name, file_name, "HDF5_VDS_PREFIX"))
        with opened_hdf5(file, f"a part of {name} of {path}", says="is damaged") as opened:
            inner = opened.get(inside)
            if not isinstance(inner, h5py.Dataset):
                raise InputError(f"{path}: {name} needs {inside} of {file}, which lacks it", _WHOLE, _COPY)
            require_stored(inner, inside)
            _require_fit(source, inner, path, name, file)
        _add(given, source.vspace)
    n = given.get_select_npoints()
    if n < dataset.size:
        raise InputError(
            f"{path}: {name} is put together from parts of {n} of its {dataset.size} numbers", _WHOLE, _COPY
        )


def _add(given: h5py.h5s.SpaceID, source: h5py.h5s.SpaceID) -> None:
    """Add a source's selection to one of the virtual dataset; what has no end gives as much as the dataset holds."""
    if source.get_select_type() != h5py.h5s.SEL_HYPERSLABS:
        given.select_all()
    elif source.is_regular_hyperslab():
        start, stride, count, block = (list(words) for words in source.get_regular_hyperslab())
        for axis, size in enumerate(given.shape):
            left = size - start[axis]
            if count[axis] == h5py.h5s.UNLIMITED:
                count[axis] = -(-left // stride[axis])
            block[axis] = min(block[axis], left)
        given.select_hyperslab(*map(tuple, (start, count, stride, block)), op=h5py.h5s.SELECT_OR)
    else:
        for first, last in source.get_select_hyper_blocklist():
            size = tuple(int(n) for n in last - first + 1)
            given.select_hyperslab(tuple(first), (1,) * len(size), None, size, op=h5py.h5s.SELECT_OR)


def _require_fit(source: Any, inner: h5py.Dataset, path: str, name: str, file: str) -> None:
    """Raise InputError where a source holds less than is selected of it."""
    try:
        n = source.vspace.get_select_npoints()
    except RuntimeError:
        # What h5py makes of a selection without end: the virtual dataset is as long as the source.
        return
    # A source that is taken as a whole has no shape of its own in the record.
    shape = source.src_space.shape
    fits = inner.size == n if shape == () else all(a >= b for a, b in zip(inner.shape, _needed(source), strict=True))
    if not fits:
        raise InputError(
            f"{path}: {name} needs {n} numbers of {source.dset_name} in {file}, of shape {inner.shape}", _WHOLE, _COPY
        )


def _needed(source: Any) -> tuple[int, ...]:
    """Least shape of the source for what is selected of it."""
    return tuple(last + 1 for last in source.src_space.get_select_bounds()[1])
