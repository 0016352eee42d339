"""Whether all content of an HDF5 dataset is stored: HDF5 itself gives zeros for what is not there.

A virtual dataset is put together from others, whose files may have been left behind, and may leave rows out; raw data
may lie in external files; and blocks of a dataset may never have been written.
"""

import math
import os
import re
from pathlib import Path
from typing import Any

import h5py

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import opened_hdf5

_WHOLE = "a dataset whose content is all there"
_COPY = "copy the files that belong together, or write the dataset again"
# Of a count or a block: as many as there are.
_ENDLESS = h5py.h5s.UNLIMITED
# Variables that send HDF5 elsewhere for virtual datasets and for raw data.
_VIRTUAL, _RAW = "HDF5_VDS_PREFIX", "HDF5_EXTFILE_PREFIX"
# Numbers of a series that are looked for behind its end.
_FURTHER = 1000


def require_stored(dataset: h5py.Dataset, name: str) -> None:
    """Raise InputError where a part of the dataset, or of one that it is made of, is not stored."""
    path = dataset.file.filename
    if dataset.is_virtual:
        _require_sources(dataset, path, name)
        return
    left = dataset.nbytes
    for file, offset, size in dataset.external or ():
        # A piece goes on where the one before ends; the last may have no size, and none that is not reached is read.
        size = left if size == _ENDLESS else min(size, left)
        if not size:
            break
        source = require_source(path, name, file, _RAW)
        if not (Path(file).is_file() and source.samefile(file)):
            # HDF5 looks for raw data from the working directory alone, where another file may have the name.
            where = f"{name} is in {file}, which is not that of the working directory, where HDF5 looks for it"
            raise InputError(f"{path}: {where}", "raw data that is found", f"change to {source.parent}")
        # HDF5 takes what lies beyond the end of the file for zeros.
        needed, left = offset + size, left - size
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
    found = _found(path, source, variable)
    if found is None:
        raise InputError(f"{path}: {name} is put together from {source}, which is not there", _WHOLE, _COPY)
    named, beside = Path(source), Path(path)
    right = (named, beside.parent / named.name, beside.resolve().parent / named.name)
    if named.is_absolute() and not any(place.is_file() and found.samefile(place) for place in right):
        # HDF5 looks for it in the working directory as well, where any file may have the name.
        where = f"{found.absolute()}, another file of that name in the working directory"
        raise InputError(
            f"{path}: {name} is put together from {source}, which is not there; HDF5 would take {where}", _WHOLE, _COPY
        )
    return found


def _found(path: str, source: str, variable: str) -> Path | None:
    """The first of the files where HDF5 looks for a source, in its order."""
    named, beside = Path(source), Path(path)
    if not named.is_absolute():
        places = [beside.parent / named, named, beside.resolve().parent / named]
    elif variable == _RAW:
        places = [named]
    else:
        # What is not at its absolute place is looked for by its last name.
        places = [named, beside.parent / named.name, Path(named.name), beside.resolve().parent / named.name]
    return next((place for place in places if place.is_file()), None)


def _require_sources(dataset: h5py.Dataset, path: str, name: str) -> None:
    # The union of what the sources give: two that overlap would hide by their sum what none gives.
    given = h5py.h5s.create_simple(dataset.shape)
    given.select_none()
    for source in dataset.virtual_sources():
        series = any("%b" in word.replace("%%", "") for word in (source.file_name, source.dset_name))
        n = max(1, _blocks(source.vspace, dataset.shape)) if series else 1
        for number in range(n):
            file_name, inside = (_numbered(word, number) for word in (source.file_name, source.dset_name))
            file = path if file_name == "." else str(require_source(path, name, file_name, _VIRTUAL))
            with opened_hdf5(file, f"a part of {name} of {path}", says="is damaged") as opened:
                inner = opened.get(inside)
                if not isinstance(inner, h5py.Dataset):
                    raise InputError(f"{path}: {name} needs {inside} of {file}, which lacks it", _WHOLE, _COPY)
                require_stored(inner, inside)
                count, least = _needed(source, dataset.shape, series)
                if (inner.size < count) if least is None else not _reaches(inner.shape, least):
                    found = f"{count} numbers of {inside} in {file}, of shape {inner.shape}"
                    raise InputError(f"{path}: {name} needs {found}", _WHOLE, _COPY)
                if series and number == n - 1:
                    _require_end(source, n, opened, path, name)
        _add(given, source.vspace)
    found = given.get_select_npoints()
    if found < dataset.size:
        raise InputError(
            f"{path}: {name} is put together from parts of {found} of its {dataset.size} numbers", _WHOLE, _COPY
        )


def _numbered(word: str, number: int | str) -> str:
    """A name of a source as HDF5 reads it: %b is the number in an endless series, %% is one %.

    >>> _numbered("50%%_%b.h5", 3)
    '50%_3.h5'
    """
    return re.sub("%([%b])", lambda found: "%" if found[1] == "%" else str(number), word)


def _require_end(source: Any, n: int, opened: h5py.File, path: str, name: str) -> None:
    """Raise InputError where a series of n files or datasets has further ones behind a gap, at which HDF5 ends it.

    opened: the last file.
    """
    files = _numbered(source.file_name, 0) != _numbered(source.file_name, 1)
    word = source.file_name if files else source.dset_name
    for number in range(n + 1, n + _FURTHER):
        later = _numbered(word, number)
        if _found(path, later, _VIRTUAL) if files else later in opened:
            found = f"{path}: {name} ends before {_numbered(word, n)}, which is not there, though {later} is"
            raise InputError(found, _WHOLE, _COPY)


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


def _blocks(space: h5py.h5s.SpaceID, shape: tuple[int, ...]) -> int:
    """How many blocks of an endless selection begin inside a shape."""
    for start, stride, count, size in zip(*space.get_regular_hyperslab()[:3], shape, strict=True):
        if count == _ENDLESS:
            return max(0, -(-(size - start) // stride))
    return 1


def _needed(source: Any, shape: tuple[int, ...], series: bool) -> tuple[int, tuple[int, ...] | None]:
    """(numbers that are selected of a source, least shape that it has for that).

    shape: of the virtual dataset. None: a source that is taken as a whole may have no shape of its own in the record.
    """
    space, inner = source.vspace, source.src_space
    whole = None if inner.shape == () else inner
    regular = space.get_select_type() == h5py.h5s.SEL_HYPERSLABS and space.is_regular_hyperslab()
    axes = list(zip(*space.get_regular_hyperslab(), shape, strict=True)) if regular else []
    if not any(_ENDLESS in axis for axis in axes):
        return space.get_select_npoints(), whole and _bounds(inner)
    if series:
        n = math.prod(block * (1 if count == _ENDLESS else count) for _, _, count, block, _ in axes)
        return n, whole and _bounds(inner)
    along = [_inside(start, stride, count, block, size) for start, stride, count, block, size in axes]
    steps = next(n for axis, n in zip(axes, along, strict=True) if _ENDLESS in axis)
    places = zip(*inner.get_regular_hyperslab(), strict=True)
    return math.prod(along), tuple(_end(start, stride, count, block, steps) for start, stride, count, block in places)


def _bounds(space: h5py.h5s.SpaceID) -> tuple[int, ...]:
    return tuple(last + 1 for last in space.get_select_bounds()[1])


def _inside(start: int, stride: int, count: int, block: int, size: int) -> int:
    """How many places of an axis are selected below `size`.

    >>> _inside(1, 4, _ENDLESS, 2, 10), _inside(1, 4, 2, 2, 10), _inside(3, 1, 1, _ENDLESS, 10)
    (5, 4, 7)
    """
    whole, rest = divmod(max(0, size - start), stride)
    if block == _ENDLESS:
        return max(0, size - start)
    return min(whole * block + min(rest, block), size if count == _ENDLESS else count * block)


def _end(start: int, stride: int, count: int, block: int, steps: int) -> int:
    """Least length of an axis of which so much is selected; steps: places, where the selection has no end.

    >>> _end(0, 1, _ENDLESS, 1, 5), _end(1, 4, _ENDLESS, 2, 5), _end(1, 4, 2, 2, 5), _end(3, 1, 1, _ENDLESS, 5)
    (5, 10, 7, 8)
    """
    if count != _ENDLESS and block != _ENDLESS:
        return start + stride * (count - 1) + block
    whole, rest = (0, steps - 1) if block == _ENDLESS else divmod(steps - 1, block)
    return start + stride * whole + rest + 1 if steps else 0


def _reaches(shape: tuple[int, ...], least: tuple[int, ...]) -> bool:
    return len(shape) == len(least) and all(a >= b for a, b in zip(shape, least, strict=True))
