"""Jets in a pandas table, and arrays that were converted: good files, their changes, and plain readings by h5py."""

import pickle

import h5py
import numpy as np
from fault_changes import BYTES, HDF5, with_value
from fault_engine import FileKind
from fault_formats import Format, demand, numbers, stored, text

from codae_l1.data.formats.arrays import write_arrays
from codae_l1.data.formats.tables import write_jets


class Jets(Format):
    """The top-tagging reference's pandas table."""

    def __init__(self, folder):
        columns = {"jet_value": self.jet_value, "jet_names": self.jet_names, "jet_blocks": self.jet_blocks}
        super().__init__(folder, "top_tagging", BYTES | HDF5 | columns)

    def write(self, path):
        rng, n = np.random.default_rng(4), 6
        pt = np.sort(rng.exponential(10, (n, 200)), axis=1)[:, ::-1] * (np.arange(200) < rng.integers(5, 60, (n, 1)))
        eta, phi = rng.normal(0, 0.2, (2, n, 200)) + rng.uniform(-1, 1, (2, n, 1))
        momenta = [pt * np.cosh(eta) * 1.00001, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
        jets = np.stack(momenta, axis=-1).astype("f4")
        write_jets(path, [(jets, jets.sum(axis=1), rng.integers(0, 2, n))], {"made": "by a test"})

    def _rewritten(self, path, change):
        """The table with other rows, its attributes kept."""
        with h5py.File(path, "r+") as file:
            attributes, rows = dict(file["table/table"].attrs), file["table/table"][...]
            del file["table/table"]
            table = file.create_dataset("table/table", data=change(rows, attributes))
            for name, value in attributes.items():
                table.attrs[name] = value

    def jet_value(self, rng, path):
        """One number of one block."""

        def change(rows, attributes):
            block = ("values_block_0", "values_block_1")[int(rng.random() < 0.4)]
            changed = with_value(rng, rows[block])
            dtypes = [
                (n, changed.dtype if n == block else rows.dtype[n].base, rows.dtype[n].shape) for n in rows.dtype.names
            ]
            new = np.zeros(len(rows), dtypes)
            for name in rows.dtype.names:
                new[name] = changed if name == block else rows[name]
            return new

        self._rewritten(path, change)

    def jet_names(self, rng, path):
        """The names of a block: two exchanged, one other, one twice, one less, all gone, or no pickled words."""

        def change(rows, attributes):
            key = ("values_block_0_kind", "values_block_1_kind")[rng.integers(2)]
            names, kind = list(pickle.loads(attributes[key])), rng.integers(6)
            i, j = rng.integers(len(names), size=2)
            if kind == 0:
                names[i], names[j] = names[j], names[i]
            elif kind == 1:
                names[i] = "other"
            elif kind == 2:
                names[i] = names[j]
            elif kind == 3:
                names.pop(i)
            attributes[key] = np.bytes_(pickle.dumps(names, 0)) if kind < 4 else np.bytes_(b"no words")
            if kind == 5:
                del attributes[key]
            return rows

        self._rewritten(path, change)

    def jet_blocks(self, rng, path):
        """A block of another type or width, renamed or gone."""

        def change(rows, attributes):
            block, kind = ("values_block_0", "values_block_1")[rng.integers(2)], rng.integers(4)
            dtypes = []
            for name in rows.dtype.names:
                base, shape = rows.dtype[name].base, rows.dtype[name].shape
                if name != block:
                    dtypes.append((name, base, shape))
                elif kind == 0:
                    dtypes.append((name, ("f8", "f2", "i4", "S4", "?")[rng.integers(5)], shape))
                elif kind == 1:
                    dtypes.append((name, base, (shape[0] - 1,)))
                elif kind == 2:
                    dtypes.append((f"{name}_old", base, shape))
            new = np.zeros(len(rows), dtypes)
            with np.errstate(all="ignore"):
                for name, _, _ in dtypes:
                    old = rows[name.removesuffix("_old")]
                    new[name] = old[:, : new[name].shape[1]] if old.ndim > 1 else old
            return new

        self._rewritten(path, change)

    def read(self, thing):
        from codae_l1.data.formats._top_tagging import jet_slices

        # Of what `slices` gives, the coordinates and images are computed; the jets themselves are compared.
        found = super().read(thing)
        jets = list(jet_slices(thing, 3))
        constituents = np.concatenate([j.constituents for j in jets])
        demand(np.array_equal(found["is_signal"], np.concatenate([j.is_signal for j in jets])), "two readings")
        return {"constituents": constituents, "is_signal": found["is_signal"]}

    def plain(self, thing):
        with h5py.File(thing) as file:
            rows = stored(file, "table/table")
            attributes = dict(file["table/table"].attrs)
        demand(rows.ndim == 1 and len(rows), "rows")
        columns, anonymous = {}, False
        for block in (name for name in rows.dtype.names if name.startswith("values_block")):
            given = attributes.get(f"{block}_kind")
            if given is None:
                anonymous = True
                continue
            names = pickle.loads(given)
            values = rows[block].reshape(len(rows), -1)
            demand(len(names) == values.shape[1] and len(set(names)) == len(names), "names of columns")
            columns |= {name: values[:, i] for i, name in enumerate(names)}
        demand(not anonymous or "is_signal_new" in columns, "columns without names")
        n = max(int(name[2:]) for name in columns if name.startswith("E_")) + 1
        jets = [[numbers(columns[f"{c}_{i}"], c) for c in ("E", "PX", "PY", "PZ")] for i in range(n)]
        jets = np.array(jets).transpose(2, 0, 1).astype("f4")
        numbers(jets, "constituents as float32")
        labels = numbers(columns["is_signal_new"], "labels")
        demand(np.all((labels == 0) | (labels == 1)), "labels")
        demand(np.all(jets[..., 0] >= 0) and np.all(np.any(jets[..., 1:3], axis=(1, 2))), "energies")
        return {"constituents": jets, "is_signal": labels == 1}


class Converted(FileKind):
    """Arrays that `events convert` writes of jets and objects."""

    def __init__(self, folder):
        super().__init__(folder, "arrays_file", BYTES | HDF5)

    def write(self, path):
        rng = np.random.default_rng(5)
        write_arrays(path, [{"particles": rng.normal(size=(6, 19, 4)), "label": np.full(6, b"qcd")}], {})

    def read(self, thing):
        from codae_l1.data.formats.arrays import _array_slices

        parts = list(_array_slices(thing, 4))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def plain(self, thing):
        with h5py.File(thing) as file:
            demand(text(file, "format") == "codae-l1 arrays", "another kind")
            found = {name: stored(file, name) for name in file}
        demand(len({len(values) for values in found.values()}) == 1, "lengths")
        return found
