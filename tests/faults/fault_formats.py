"""The formats of events: a good file of each, its changes, and a plain reading by h5py, numpy or uproot alone."""

import hashlib
import json
import zipfile

import h5py
import numpy as np
from fault_changes import BYTES, HDF5, NPZ, _datasets, changed_array, with_value
from fault_engine import FileKind, Wrong

from codae_l1.data.events import PROCESSES, EventImages
from codae_l1.data.formats import slices
from codae_l1.data.formats.crossing_file import CrossingFile, write_crossings
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.formats.tables import write_objects
from codae_l1.data.sample import CROSSINGS, SAMPLE

GRID = (72, 58)
CHANNELS = ("tracks", "ecal", "hcal")


def demand(condition, what):
    """Wrong unless something holds of a file."""
    if not condition:
        raise Wrong(what)


def numbers(values, what, least=-np.inf):
    """Real numbers, finite and at least `least`, as float64."""
    values = np.asarray(values)
    demand(values.dtype.kind in "biuf", f"{what} of type {values.dtype}")
    values = values.astype(np.float64)
    demand(bool(np.all(np.isfinite(values) & (values >= least))), f"{what} with what is no number, or below {least}")
    return values


def whole(values, what, n):
    """Whole numbers, one a row, as int64."""
    values = np.asarray(values)
    demand(values.shape in ((n,), (n, 1)), f"{what} of shape {values.shape}")
    values = numbers(values.reshape(-1), what)
    demand(np.all((values == np.round(values)) & (np.abs(values) < 2**31)), f"{what} that are no whole numbers")
    return values.astype(np.int64)


def stored(file, name):
    """A dataset's content, which must all be stored in this file."""
    found = file.get(name)
    demand(isinstance(found, h5py.Dataset) and found.shape not in (None, ()), f"no dataset {name}")
    demand(not isinstance(file.get(name, getlink=True), h5py.ExternalLink), f"{name} elsewhere")
    demand(not found.is_virtual, f"{name} virtual")
    if found.size:
        held = found.id.get_num_chunks() if found.chunks else found.id.get_storage_size()
        demand(held > 0, f"{name} never written")
    return found[...]


def event_columns(images, signal, n_tracks, weight, block=None):
    """What is compared of event images, which must not contradict themselves."""
    n = len(images)
    demand(n > 0, "no events")
    demand(images.shape == (n, *GRID, 3), f"images of shape {images.shape}")
    numbers(images, "images", 0.0)
    seen = images[..., 0].any(axis=(1, 2))
    demand(np.all((n_tracks == 0) | seen) and np.all(n_tracks >= 0), "tracks without pixels")
    # Negative weights are those of generators beyond leading order: runs refuse them, readers do not.
    numbers(weight, "weights")
    block = np.full(n, -1) if block is None else block
    return {"images": images, "signal": signal, "n_tracks": n_tracks, "weight": weight, "pileup_block": block}


def text(place, name):
    """An attribute that is a text, of a length of its own or without."""
    value = place.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def header_sum(file):
    """The sum of the header of our own files."""
    words = (text(file, name) for name in ("format", "version", "provenance", "checksum"))
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def summed_header(file):
    """Whether the header has its sum."""
    return text(file, "header_checksum") == header_sum(file)


def resum(file, checksum):
    """Make the sums of a file right again; checksum: that of its content."""
    file.attrs["checksum"] = checksum
    file.attrs["header_checksum"] = header_sum(file)


class Format(FileKind):
    """A file that `slices` reads; label: for the formats that do not say."""

    label = None

    def read(self, thing):
        told = []
        parts = list(slices(thing, 3, self.label, tell=told.append))
        tables = [vars(part) if isinstance(part, EventImages) else part for part in parts]
        provenance = {"provenance": tables[0]["provenance"]} if self.name == "events" else {}
        names = [name for name in tables[0] if name != "provenance"]
        return {name: np.concatenate([t[name] for t in tables]) for name in names} | provenance


class OwnEvents(Format):
    """Our own HDF5, its content summed."""

    def __init__(self, folder):
        super().__init__(folder, "events", BYTES | HDF5 | {"summed": self.summed})

    def write(self, path):
        with EventFile(SAMPLE) as file:
            write_events(path, file.read_where(np.arange(0, len(file), len(file) // 7)[:7]))

    def names(self):
        columns = ("signal", "n_tracks", "weight", "pileup_block")
        return [*columns, *(f"{c}/{s}" for c in CHANNELS for s in ("count", "gap", "energy"))]

    def summed(self, rng, path):
        """A dataset with one thing wrong under a checksum that is right."""
        with h5py.File(path, "r+") as file:
            name = self.names()[rng.integers(len(self.names()))]
            data = file[name][...]
            change = with_value if data.dtype.kind in "iuf" and data.size and rng.random() < 0.7 else changed_array
            data = change(rng, data)
            del file[name]
            file.create_dataset(name, data=data)
            resum(file, self.total(file))

    def total(self, file):
        sums = [hashlib.sha256(np.ascontiguousarray(file[n][...]).tobytes()).digest() for n in self.names()]
        return hashlib.sha256(b"".join(sums)).hexdigest()

    def plain(self, thing):
        with h5py.File(thing) as file:
            demand(text(file, "format") == "codae-l1 events" and file.attrs["version"] == 2, "another kind")
            demand(tuple(file.attrs["image_shape"]) == (*GRID, 3), "another grid")
            for name in self.names():
                stored(file, name)
            demand(text(file, "checksum") == self.total(file) and summed_header(file), "another checksum")
            signal = np.array([word.decode() for word in file["signal"][...]])
            n = len(signal)
            images = np.zeros((n, GRID[0] * GRID[1], 3))
            for channel, name in enumerate(CHANNELS):
                count, gap = (whole(file[f"{name}/{s}"][...], s, len(file[f"{name}/{s}"])) for s in ("count", "gap"))
                energy = numbers(file[f"{name}/energy"][...], "energy", 0.0)
                demand(len(count) == n and len(gap) == len(energy) == count.sum(), "lengths")
                start = 0
                for event in range(n):
                    place = -1
                    for entry in range(start, start + count[event]):
                        place += gap[entry]
                        demand(gap[entry] > 0 and place < GRID[0] * GRID[1], "outside")
                        images[event, place, channel] = energy[entry]
                    start += count[event]
            demand(set(signal) <= {*PROCESSES, "zero_bias"}, "unknown signal")
            columns = [whole(file[name][...], name, n) for name in ("n_tracks", "pileup_block")]
            weight = numbers(file["weight"][...], "weight")
            demand(weight.shape == (n,), "weights")
            found = event_columns(images.reshape(n, *GRID, 3), signal, columns[0], weight, columns[1])
            return found | {"provenance": json.loads(text(file, "provenance"))}


class Public(Format):
    """.npz of the public sample."""

    def __init__(self, folder):
        super().__init__(folder, "public", BYTES | NPZ, suffix=".npz")

    def write(self, path):
        rng, n = np.random.default_rng(1), 5
        images = rng.exponential(2, (n, *GRID, 3)).astype("f4") * (rng.random((n, *GRID, 3)) < 0.02)
        masses = np.array([0, 2, 6, 5, 7])
        np.savez(path, images=images, labels=np.array([0, 1, 1, 2, 2]), masses=masses, n_tracks=np.arange(n)[:, None])

    def plain(self, thing):
        with zipfile.ZipFile(thing) as archive:
            demand(len(set(archive.namelist())) == len(archive.namelist()), "a member twice")
        with np.load(thing) as file:
            images = numbers(file["images"], "images", 0.0).astype("f4")
            labels, masses, tracks = (whole(file[k], k, len(images)) for k in ("labels", "masses", "n_tracks"))
        suep, svj = ("h125", "h200", "h300", "h400", "h700", "h1000"), ("svj2100", "svj3100", "svj4100")
        names = (
            {(0, 0): "qcd"} | {(1, i + 1): s for i, s in enumerate(suep)} | {(2, i + 5): s for i, s in enumerate(svj)}
        )
        signal = np.array([names[pair] for pair in zip(labels.tolist(), masses.tolist(), strict=True)])
        return event_columns(images, signal, tracks, np.ones(len(images)))


class Raw(Format):
    """CoDAE's raw HDF5."""

    label = "h125"
    images = ("ImageTrk_PUcorr", "ImageECAL", "ImageHCAL")

    def __init__(self, folder):
        super().__init__(folder, "codae_raw", BYTES | HDF5)

    def write(self, path):
        rng = np.random.default_rng(2)
        with h5py.File(path, "w") as file:
            for name in self.images:
                raw = np.zeros((3, 286, 360), "f4")
                for image in raw:
                    image[rng.integers(0, 286, 40), rng.integers(0, 360, 40)] = rng.integers(1, 64, 40) / 4
                file.create_dataset(name, data=raw, compression="gzip", compression_opts=1)
            file["NTrk_PUcorr"] = np.arange(3) + 30

    def plain(self, thing):
        with h5py.File(thing) as file:
            raw = [numbers(stored(file, name), name, 0.0).astype("f4") for name in self.images]
            n = len(raw[0])
            demand(all(image.shape == (n, 286, 360) for image in raw), "shapes")
            tracks = whole(stored(file, "NTrk_PUcorr"), "NTrk_PUcorr", n)
        sums = np.zeros((n, *GRID, 3), "f4")
        eta, phi = (np.arange(286) + 2) // 5, np.arange(360) // 5
        for channel, image in enumerate(raw):
            for event in range(n):
                rows, columns = np.nonzero(image[event])
                np.add.at(sums[event, :, :, channel], (phi[columns], eta[rows]), image[event][rows, columns])
        return event_columns(sums, np.full(n, "h125"), tracks, np.ones(n))


class Objects(Format):
    """Objects of ADC2021."""

    label = "qcd"
    kinds = np.repeat([1, 2, 3, 4], [1, 4, 4, 10])

    def __init__(self, folder):
        super().__init__(folder, "adc2021", BYTES | HDF5)

    def write(self, path):
        rng, n = np.random.default_rng(3), 9
        objects = np.zeros((n, 19, 4))
        for first, last in ((0, 1), (1, 5), (5, 9), (9, 19)):
            for event in objects:
                filled = first + rng.integers(1, last - first + 1)
                event[first:filled, 0] = np.sort(rng.exponential(30, filled - first))[::-1] + 1
                event[first:filled, 1:3] = rng.uniform(-2, 2, (filled - first, 2))
                event[first:filled, 3] = self.kinds[first]
        write_objects(path, [objects], {"made": "by a test"})

    def plain(self, thing):
        with h5py.File(thing) as file:
            objects = numbers(stored(file, "Particles"), "Particles")
        demand(objects.ndim == 3 and objects.shape[1:] == (19, 4) and len(objects), "shape")
        pt, eta, phi, kind = np.moveaxis(objects, -1, 0)
        demand(np.all(pt >= 0) and np.all((kind == 0) | (kind == self.kinds)), "pT or class")
        demand(not np.any((kind == 0) & (pt > 0)), "pT of nothing")
        demand(np.all(np.abs(eta) <= 10) and np.all(np.abs(phi) <= 6.3), "angles")
        for first, last in ((1, 5), (5, 9), (9, 19)):
            demand(np.all(np.diff(pt[:, first:last], axis=1) <= 0), "pT not falling")
        return {"particles": objects, "label": np.full(len(objects), b"qcd")}


class Crossings(FileKind):
    """Zero-bias crossings, their content summed."""

    def __init__(self, folder):
        super().__init__(folder, "crossings", BYTES | HDF5 | {"summed": self.summed})

    def write(self, path):
        source = CrossingFile(CROSSINGS)
        which = np.arange(0, len(source), len(source) // 12)[:12]
        columns = ("weight", "stratum", "members", "pileup", "collisions", "n_tracks", "vertex_lost", "pt_hat")
        part = {name: getattr(source, name)[which] for name in (*columns, "scalar_pt", "jet_ht", "process")}
        part["split"] = np.arange(12, dtype="u1") % 4
        part |= {f"words/{name}": words for name, words in source.words(which).items()}
        pooled = source.pooled(source.inputs, which)
        part |= {f"pooled/{name}": pooled[..., i] for i, name in enumerate(source.inputs)}
        write_crossings(path, [part], {"made": "by a test"})

    def total(self, file):
        total = hashlib.sha256()
        for name in _datasets(file):
            total.update(name.encode() + b"\0" + np.ascontiguousarray(file[name][...]).tobytes())
        return total.hexdigest()

    def summed(self, rng, path):
        """A dataset with one thing wrong under a checksum that is right."""
        with h5py.File(path, "r+") as file:
            names = _datasets(file)
            name = names[rng.integers(len(names))]
            data = file[name][...]
            change = with_value if data.dtype.kind in "iuf" and rng.random() < 0.7 else changed_array
            data = change(rng, data)
            del file[name]
            file.create_dataset(name, data=data)
            resum(file, self.total(file))

    def read(self, thing):
        file = CrossingFile(thing)
        file.verify()
        every = np.arange(len(file))
        names = ("process", "split", "weight", "stratum", "members", "pileup", "collisions", "n_tracks", "vertex_lost")
        found = {name: getattr(file, name) for name in (*names, "pt_hat", "scalar_pt", "jet_ht")}
        return found | {
            "words": file.words(every),
            "pooled": {name: file.pooled((name,), every)[..., 0] for name in file.inputs},
            "provenance": file.provenance,
        }

    def plain(self, thing):
        with h5py.File(thing) as file:
            demand(text(file, "format") == "codae-l1 crossings" and file.attrs["version"] == 2, "another kind")
            demand(text(file, "checksum") == self.total(file) and summed_header(file), "another checksum")
            found = {name: stored(file, name) for name in _datasets(file)}
            provenance = json.loads(text(file, "provenance"))
        n = len(found["weight"])
        demand(n > 0 and isinstance(provenance, dict), "nothing")
        for name, values in found.items():
            cells = {"words": (), "pooled": (18, 15)}.get(name.split("/")[0], (6,) if name == "members" else ())
            demand(values.shape == (n, *cells), f"{name} of shape {values.shape}")
            least = {"members": -1, "stratum": -1, "pt_hat": -np.inf}.get(name, 0)
            if name != "process":
                numbers(values, name, least)
        for name in ("split", "stratum", "members", "collisions", "n_tracks"):
            demand(found[name].dtype.kind in "iu", f"{name} of {found[name].dtype}")
        known = {*PROCESSES, "zero_bias", "w", "z", "top"}
        process = np.array([word.decode() for word in found["process"]])
        demand(set(process) <= known, "processes")
        demand(np.all(found["split"] < 4), "splits")
        found["process"] = process
        found["split"] = np.array(["train", "validation", "calibration", "test"])[found["split"]]
        groups = {
            g: {n.split("/")[1]: found.pop(n) for n in list(found) if n.startswith(g)} for g in ("words", "pooled")
        }
        return found | groups | {"provenance": provenance}
