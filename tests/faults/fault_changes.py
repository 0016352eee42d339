"""Changes of one thing at random: bytes of any file, HDF5, .npz, arrays, JSON and tables."""

import copy
import json
import zipfile

import h5py
import numpy as np

# What a number may become.
NUMBERS = (np.nan, np.inf, -np.inf, -1.0, -1e-3, 0.0, 0.5, 1.0, 3.7, 255.0, 4096.0, 1e9, 2.0**31, 2.0**40, 1e30, -1e30)
DTYPES = ("f2", "f4", "f8", ">f4", "i1", "u1", "i2", "i4", ">i4", "i8", "u4", "u8", "?", "S8", "c8")


def flip(rng, path):
    """One bit of the file."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def flip_head(rng, path):
    """One bit of the first 4 kB, where most formats keep their structure."""
    content = bytearray(path.read_bytes())
    content[rng.integers(min(4096, len(content)))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


def cut(rng, path):
    """The end is missing."""
    content = path.read_bytes()
    path.write_bytes(content[: rng.integers(len(content))])


def blank(rng, path):
    """A block of zeros, as a disk leaves it that was full."""
    content = bytearray(path.read_bytes())
    start = int(rng.integers(len(content)))
    stop = min(start + int(rng.choice([8, 64, 512])), len(content))
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def append(rng, path):
    """Bytes behind the end."""
    path.write_bytes(path.read_bytes() + rng.bytes(int(rng.integers(1, 2000))))


def other_text(rng, path):
    """Something else under that name."""
    texts = (b"", b"text\n", b"{}", b"[]", b"null", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"root", b"\0" * 100)
    path.write_bytes(texts[rng.integers(len(texts))])


BYTES = {f.__name__: f for f in (flip, flip_head, cut, blank, append, other_text)}


def changed_array(rng, array):
    """An array with one thing wrong: a value, its type, its axes, its length."""
    kinds = ("value", "value", "value", "dtype", "axes", "rank", "length", "width", "text", "scalar", "bool")
    kind = kinds[rng.integers(len(kinds))]
    if not array.ndim:
        return array.reshape((1, (1, 1))[rng.integers(2)]) if rng.random() < 0.5 else np.array(["text"])
    if array.dtype.kind not in "biuf":
        kind = "length" if kind in ("value", "dtype", "bool") else kind
    if kind == "value" and array.size:
        return with_value(rng, array)
    if kind in ("dtype", "bool"):
        dtype = "?" if kind == "bool" else DTYPES[rng.integers(len(DTYPES))]
        with np.errstate(all="ignore"):
            return array.astype(dtype)
    if kind == "axes" and array.ndim > 1:
        return np.ascontiguousarray(array.transpose(rng.permutation(array.ndim)))
    if kind == "rank":
        shapes = ((*array.shape, 1), (1, *array.shape), (array.size,), (array.size, 1))
        return array.reshape(shapes[rng.integers(4)])
    if kind == "width" and array.ndim > 1 and array.shape[-1] > 1:
        return array[..., :-1] if rng.random() < 0.5 else np.concatenate([array, array[..., -1:]], axis=-1)
    if kind == "text":
        return np.full(array.shape, b"text")
    if kind == "scalar":
        return array.ravel()[0] if array.size else np.float64(1)
    return array[:-1] if rng.random() < 0.5 else np.concatenate([array, array[-1:]])


def with_value(rng, array):
    """One number of it is another; floats where the array's type cannot hold it."""
    value = NUMBERS[rng.integers(len(NUMBERS))]
    changed = array.copy()
    with np.errstate(all="ignore"):
        if changed.dtype.kind in "iub" and changed.astype("f8").dtype.type(value) != value:
            changed = changed.astype("f8")
        if changed.dtype.kind in "iu":
            limits = np.iinfo(changed.dtype)
            changed = changed if limits.min <= value <= limits.max else changed.astype("f8")
            if changed.dtype.kind in "iu" and value != np.round(value):
                changed = changed.astype("f8")
        changed.reshape(-1)[rng.integers(changed.size)] = value
    return changed


def _datasets(file):
    names = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return sorted(names)


def _replaced(file, name, data):
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=data)
    for key, value in attributes.items():
        file[name].attrs[key] = value


def hdf5_value(rng, path):
    """One number of one dataset of numbers, in place where its type holds it."""
    with h5py.File(path, "r+") as file:
        names = [n for n in _datasets(file) if file[n].dtype.kind in "biuf" and file[n].size]
        if names:
            name = names[rng.integers(len(names))]
            _replaced(file, name, with_value(rng, file[name][...]))


def hdf5_array(rng, path):
    """Type, axes, rank or length of one dataset."""
    with h5py.File(path, "r+") as file:
        names = _datasets(file)
        name = names[rng.integers(len(names))]
        _replaced(file, name, changed_array(rng, file[name][...]))


def hdf5_missing(rng, path):
    """A dataset or group that is gone, renamed, a link to nothing, a group, or one that was never written."""
    with h5py.File(path, "r+") as file:
        names = _datasets(file)
        names += sorted({n.rpartition("/")[0] for n in names if "/" in n})
        name = names[rng.integers(len(names))]
        kind = rng.integers(9)
        item = file[name]
        shape, dtype = getattr(item, "shape", (4,)), getattr(item, "dtype", "f4")
        if kind == 0:
            file.move(name, f"{name}_old")
            return
        del file[name]
        if kind == 1:
            file[name] = h5py.SoftLink(f"/{name}_gone")
        elif kind == 2:
            file[name] = h5py.SoftLink(f"/{name}")
        elif kind == 3:
            file[name] = h5py.ExternalLink("gone.h5", name)
        elif kind == 4:
            file.create_group(name)
        elif kind == 5:
            file.create_dataset(name, shape, dtype)
        elif kind == 6:
            layout = h5py.VirtualLayout(shape, dtype)
            if len(shape) and shape[0] > 1:
                layout[: shape[0] // 2] = h5py.VirtualSource("gone.h5", name, (shape[0] // 2, *shape[1:]), dtype)
            file.create_virtual_dataset(name, layout)
        elif kind == 7:
            file.create_dataset(name, data=h5py.Empty("f4"))


ATTRIBUTES = (0, -1, 2, 1e300, np.nan, "", "text", "[]", "{}", "NaN", b"\xff\xfe", "9" * 5000, "[" * 3000, True)


def hdf5_attribute(rng, path):
    """An attribute of the file or of a dataset that is gone, or another."""
    with h5py.File(path, "r+") as file:
        places = [file, *(file[n] for n in _datasets(file))]
        places = [place for place in places if len(place.attrs)]
        if not places:
            return
        # The file's own half of the time.
        place = places[0 if rng.random() < 0.5 else rng.integers(len(places))]
        name = sorted(place.attrs)[rng.integers(len(place.attrs))]
        value = place.attrs[name]
        del place.attrs[name]
        kind = rng.integers(5)
        if kind == 0:
            return
        if kind == 1:
            place.attrs[name] = np.array([value, value]) if not isinstance(value, str) else [value, value]
        elif kind == 2:
            place.attrs.create(name, h5py.Empty("i4"))
        elif kind == 3:
            place.attrs[name] = np.bytes_(value) if isinstance(value, str) else str(value)
        else:
            place.attrs[name] = ATTRIBUTES[rng.integers(len(ATTRIBUTES))]


HDF5 = {f.__name__: f for f in (hdf5_value, hdf5_array, hdf5_missing, hdf5_attribute)}


def npz_array(rng, path):
    """One member of an .npz is another array."""
    content = _arrays(path)
    name = sorted(content)[rng.integers(len(content))]
    _save(path, content | {name: changed_array(rng, content[name])})


def npz_value(rng, path):
    """One number of one member."""
    content = _arrays(path)
    names = [n for n in sorted(content) if content[n].dtype.kind in "biuf" and content[n].size]
    name = names[rng.integers(len(names))]
    _save(path, content | {name: with_value(rng, content[name])})


def npz_member(rng, path):
    """A member that is gone, renamed, there twice, more, an object, or no .npy."""
    content = _arrays(path)
    name = sorted(content)[rng.integers(len(content))]
    kind = rng.integers(6)
    if kind == 0:
        del content[name]
    elif kind == 1:
        content[f"{name}2"] = content.pop(name)
    elif kind == 2:
        content["more"] = np.zeros(3)
    elif kind == 3:
        content[name] = np.array([{"a": 1}, None], dtype=object)
    if kind < 4:
        _save(path, content)
        return
    text = (b"no array", b"\x93NUMPY\x01\0v\0{'descr': '<f9', 'fortran_order': False, 'shape': (1,), }".ljust(128))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(f"{name}.npy", text[kind - 4])


def npz_header(rng, path):
    """One byte in the header of one member, its sum right again."""
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = sorted(members)[rng.integers(len(members))]
    content = bytearray(members[name])
    content[rng.integers(min(128, len(content)))] = rng.integers(32, 127)
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, bytes(content) if member == name else data)


NPZ = {f.__name__: f for f in (npz_array, npz_value, npz_member, npz_header)}


def _arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _save(path, content):
    with open(path, "wb") as handle:
        np.savez(handle, **content)


# What a value in a table may become.
VALUES = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 10**9, -(10**9), 2**63, 10**30, 0.0, 0.5, -0.5, 1.5, 1e30, 1e-30, -1e30),
    *(float("nan"), float("inf"), float("-inf"), "", "text", "1", "a" * 5000, "../x", "\0", "é"),
    *([], [1], [-1], [[]], ["a"], [float("nan")], {}, {"a": 1}, [{}], [None], [1] * 1000),
)


def places(table, path=()):
    """Paths of all values in nested tables and lists."""
    items = table.items() if isinstance(table, dict) else enumerate(table) if isinstance(table, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed_table(rng, table):
    """A copy of a table with one value another, gone, under another name, or one more."""
    table = copy.deepcopy(table)
    every = list(places(table))
    *inside, key = every[rng.integers(len(every))]
    place = table
    for step in inside:
        place = place[step]
    kind, value = rng.integers(10), place[key]
    if kind == 0:
        del place[key]
    elif kind == 1 and isinstance(place, dict):
        place[f"{key}x"] = place.pop(key)
    elif kind == 2:
        place[key] = [value, value]
    elif kind == 3 and isinstance(value, bool | int | float):
        place[key] = [str(value), -value, value + 1, value * 2, value * 1000, value / 3][rng.integers(6)]
    else:
        place[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    return table


def json_value(rng, path):
    """One value in a JSON file."""
    path.write_text(json.dumps(changed_table(rng, json.loads(path.read_text()))))


def json_text(rng, path):
    """JSON that is not the table expected."""
    texts = (
        "[]",
        "null",
        "1",
        '"text"',
        "NaN",
        "{}",
        "[" * 5000,
        "9" * 5000,
        '{"a": ' * 2000,
        '{"stamp": null}',
        "\xff",
    )
    path.write_bytes(texts[rng.integers(len(texts))].encode("latin-1"))


JSON = {"json_value": json_value, "json_text": json_text}
