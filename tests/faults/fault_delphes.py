"""ROOT files of Delphes: written by uproot with one thing wrong, and filled tower by tower."""

import numpy as np
from fault_changes import BYTES, NUMBERS
from fault_formats import GRID, Format, demand, event_columns, numbers

TRACKS = ("Track.PT", "Track.EtaOuter", "Track.PhiOuter", "Track.DZ")
TOWERS = ("Tower.Eta", "Tower.Phi", "Tower.Eem", "Tower.Ehad")
STEP, EDGE = 0.08725, 29 * 0.08725


class Delphes(Format):
    """Delphes ROOT."""

    label = "h200"

    def __init__(self, folder):
        import awkward
        import uproot

        self.awkward, self.uproot = awkward, uproot
        super().__init__(folder, "delphes", BYTES | {f.__name__: f for f in (self.value, self.branch)}, suffix=".root")
        rng = np.random.default_rng(6)
        self.columns = {}
        for names, most in ((TRACKS, 30), (TOWERS, 40), (("Vertex.Z",), 3), (("Event.Weight",), 1)):
            lengths = rng.integers(1, most + 1, 4) if most > 1 else np.ones(4, int)
            for name in names:
                end = name.split(".")[1]
                scale = {"DZ": 0.05, "Z": 20, "EtaOuter": 1, "Eta": 1.2, "PhiOuter": 3, "Phi": 3}.get(end, 4)
                signed = end not in ("PT", "Eem", "Ehad", "Weight")
                self.columns[name] = [
                    (rng.uniform(-scale, scale, n) if signed else rng.exponential(scale, n)).astype("f4").tolist()
                    for n in lengths
                ]
        # All tracks near the first vertex but for some.
        for z, dz in zip(self.columns["Vertex.Z"], self.columns["Track.DZ"], strict=True):
            dz[:] = [float(np.float32(z[0] + d * 3)) for d in dz]

    def put(self, path, columns, types=None, tree="Delphes"):
        awkward = self.awkward
        kinds = {name: (types or {}).get(name, "float32") for name in columns}
        with self.uproot.recreate(path) as file:
            file.mktree(tree, {name: f"var * {kinds[name]}" for name in columns})
            arrays = {}
            for name, rows in columns.items():
                offsets = np.cumsum([0, *(len(row) for row in rows)])
                flat = np.concatenate([np.zeros(0), *map(np.asarray, rows)])
                with np.errstate(all="ignore"):
                    content = awkward.contents.NumpyArray(flat.astype(kinds[name]))
                arrays[name] = awkward.Array(
                    awkward.contents.ListOffsetArray(awkward.index.Index64(offsets.astype(np.int64)), content)
                )
            file[tree].extend(arrays)

    def write(self, path):
        self.put(path, self.columns)

    def value(self, rng, path):
        """One number of one branch."""
        columns = {name: [list(row) for row in rows] for name, rows in self.columns.items()}
        name = list(columns)[rng.integers(len(columns))]
        row = columns[name][rng.integers(4)]
        row[rng.integers(len(row))] = NUMBERS[rng.integers(len(NUMBERS))]
        self.put(path, columns)

    def branch(self, rng, path):
        """A branch that is gone, renamed, of another type, shorter, or a tree of another name."""
        columns = {name: [list(row) for row in rows] for name, rows in self.columns.items()}
        name, kind = list(columns)[rng.integers(len(columns))], rng.integers(6)
        types, tree = {}, "Delphes"
        if kind == 0:
            del columns[name]
        elif kind == 1:
            columns[f"{name}X"] = columns.pop(name)
        elif kind == 2:
            types[name] = ("float64", "int32", "uint8", "int64")[rng.integers(4)]
        elif kind == 3:
            columns[name][rng.integers(4)].pop()
        elif kind == 4:
            columns[name] = [[] for _ in range(4)]
        else:
            tree = "Events"
        self.put(path, columns, types, tree)

    def plain(self, thing):
        with self.uproot.open(thing) as file:
            tree = file["Delphes"]
            names = set(tree.keys())
            rows = {n: tree[n].array().tolist() for n in (*TRACKS, *TOWERS, "Vertex.Z", "Event.Weight") if n in names}
        n = len(rows["Track.PT"])
        images, tracks, weight = np.zeros((n, *GRID, 3)), np.zeros(n, int), np.ones(n)
        for name, events in rows.items():
            for values in events:
                numbers(np.array(values, "f8"), name, 0.0 if name[-2:] in ("PT", "em", "ad") else -np.inf)
                demand(not name.startswith(("Track.Phi", "Tower.Phi")) or np.all(np.abs(values) < 6.3), "angles")
        for event in range(n):
            first = rows["Vertex.Z"][event] if "Vertex.Z" in rows else []
            origins = rows["Track.DZ"][event] if "Track.DZ" in rows and first else None
            demand("Track.DZ" in rows or len(first) < 2, "vertices without what assigns tracks to them")
            columns = [np.array(rows[name][event]) for name in TRACKS[:3]]
            for i, (pt, eta, phi) in enumerate(zip(*columns, strict=True)):
                if pt > 0 and abs(eta) < 2.49535 and (origins is None or abs(origins[i] - first[0]) <= 0.1):
                    images[event, self.row(phi), self.column(eta), 0] += pt
                    tracks[event] += 1
            demand(origins is None or len(origins) == len(columns[0]), "lengths")
            for eta, phi, eem, ehad in zip(*(rows[name][event] for name in TOWERS), strict=True):
                if abs(eta) < 2.49535:
                    images[event, self.row(phi), self.column(eta), 1] += eem / np.cosh(eta)
                if abs(eta) < EDGE:
                    share = (2.49535 - (EDGE - STEP)) / STEP if abs(eta) > EDGE - STEP else 1.0
                    images[event, self.row(phi), self.column(eta), 2] += share * ehad / np.cosh(eta)
            if "Event.Weight" in rows:
                weight[event] = rows["Event.Weight"][event][0]
        images = numbers(images.astype("f4"), "images").astype("f4")
        return event_columns(images, np.full(n, "h200"), tracks, weight)

    def row(self, phi):
        return int(np.floor((phi + np.pi) * (72 / (2 * np.pi)))) % 72

    def column(self, eta):
        return min(max(int(np.floor((eta + EDGE) * (58 / (2 * EDGE)))), 0), 57)
