"""ROOT files of Delphes, written by uproot, and what is read of them."""

import numpy as np
import pytest

from codae_l1.data.formats import DelphesOptions, event_slices

awkward = pytest.importorskip("awkward")
uproot = pytest.importorskip("uproot")

EMPTY: list[float] = []
# Two events: tracks (pT, eta, phi, DZ), towers (eta, phi, Eem, Ehad), vertices (z).
COLUMNS = {
    "Track.PT": [[1.0, 2.0, 4.0, 8.0], [16.0]],
    "Track.EtaOuter": [[0.01, 0.01, -2.52, 0.01], [2.49]],
    "Track.PhiOuter": [[0.01, 0.02, 0.0, 0.01], [-3.14]],
    "Track.DZ": [[5.0, 5.09, 5.0, 5.11], [-3.0]],
    "Vertex.Z": [[5.0, 90.0, -20.0], EMPTY],
    "Tower.Eta": [[0.04, -2.5, 2.6], EMPTY],
    "Tower.Phi": [[3.1, 0.04, 0.0], EMPTY],
    "Tower.Eem": [[6.0, 5.0, 1.0], EMPTY],
    "Tower.Ehad": [[0.0, 10.0, 1.0], EMPTY],
}


def write(path, columns=None, tree="Delphes", **changes):
    columns = {name: v for name, v in {**(columns or COLUMNS), **changes}.items() if v is not None}
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: "var * float32" for name in columns})
        arrays = {name: awkward.values_astype(awkward.Array(list(v)), np.float32) for name, v in columns.items()}
        file[tree].extend(arrays)
    return path


def with_pileup(n=3, **changes):
    """Branches of n events: a hard vertex of 60 tracks, then 20 vertices of 15 each, all tracks inside the image."""
    rng, rows = np.random.default_rng(0), {name: [] for name in COLUMNS}
    for _ in range(n):
        z = rng.normal(0, 50, 21)
        number, m = [60] + [15] * 20, 360
        row = (np.ones(m), rng.uniform(-2.4, 2.4, m), rng.uniform(-3, 3, m), np.repeat(z, number), z, *[EMPTY] * 4)
        for name, values in zip(rows, row, strict=True):
            rows[name].append(values)
    return rows | changes


def read_told(path, **options):
    told = []
    parts = list(event_slices(path, label="qcd", options={"delphes": DelphesOptions(**options)}, tell=told.append))
    return np.concatenate([part.n_tracks for part in parts]).tolist(), [line.split(": ", 1)[1] for line in told]


def few_vertices(n, order):
    """Branches of n events with three vertices each, whose z `order` arranges, and a track at each."""
    rng, rows = np.random.default_rng(3), {name: [] for name in COLUMNS}
    for i in range(n):
        z = order(i, rng.permutation(200)[:3] - 100.0)
        for name, values in zip(rows, (np.ones(3), np.zeros(3), np.zeros(3), z, z, *[EMPTY] * 4), strict=True):
            rows[name].append(values)
    return rows
