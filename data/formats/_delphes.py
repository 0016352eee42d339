"""ROOT files of Delphes (arXiv:1307.6346): tracks and towers of the tree `Delphes`, filled into event images.

Channel 0 is the pT of tracks where they meet the calorimeter (EtaOuter, PhiOuter), channels 1 and 2 are the transverse
energies Eem / cosh(Eta) and Ehad / cosh(Eta) of towers. As in the public CoDAE sample (arXiv:2306.12955), tracks of
pile-up are dropped (codae_l1.data.formats._delphes_tracks), tracks and ECAL reach to |eta| = 2.49535, and HCAL towers
of the outermost columns count with the fraction of their width that lies inside. Needs uproot (pip install uproot).
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import (
    ETA_COVERED,
    ETA_MAX,
    ETA_STEP,
    IMAGE_SHAPE,
    N_ETA,
    N_PHI,
    OUTER_SHARE,
    fill_towers,
    grid_cells,
)
from codae_l1.data.events import EventImages, check_signals, unweighted
from codae_l1.data.formats._delphes_tracks import KIND, TREE, PileUp
from codae_l1.data.formats._format import Format, Tell
from codae_l1.data.formats._hdf5 import bounds, require_finite

# Radians: from -pi to pi, or from 0 to 2 pi.
_LARGEST_PHI = 2 * np.pi + 1e-3
# Of an event, where the generator has written one; the first of several.
WEIGHT = "Event.Weight"
# Where else Delphes may have weights, several for an event, of which none need be the event's own.
OTHER_WEIGHTS = ("EventLHEF.Weight", "Weight.Weight", "WeightLHEF.Weight")
# Events that are read at a time; with 50 pile-up collisions an event has about a thousand tracks and towers.
SLICE = 512
# Number of towers in a file from which on every row of the grid must hold some; a row then has 50 on average.
MANY_TOWERS = 50 * N_PHI
# Towers of a row over those of most rows, beyond which it is unlike them; and how many rows may be so by chance.
_ALIKE, _FEW_ROWS = (0.65, 1.5), 8


@dataclass(frozen=True)
class DelphesOptions:
    """What differs between ROOT files of Delphes: names of branches, and what is done about tracks of pile-up."""

    tracks: str = field(default="Track", metadata={"help": "branch of the tracks, such as EFlowTrack"})
    towers: str = field(default="Tower", metadata={"help": "branch of the towers"})
    vertices: str = field(default="Vertex", metadata={"help": "branch of the vertices"})
    vertex_window_mm: float = field(
        default=0.1, metadata={"help": "tracks further than this from the first vertex are pile-up"}
    )
    keep_pileup: bool = field(default=False, metadata={"help": "keep all tracks, those of pile-up as well"})

    def __post_init__(self):
        if not 0 < self.vertex_window_mm < np.inf:
            raise InputError(f"vertex_window_mm = {self.vertex_window_mm}", "a number of mm above 0", "correct it")
        if self.keep_pileup and self.vertex_window_mm != DelphesOptions.vertex_window_mm:
            raise InputError(
                "--vertex-window-mm with --keep-pileup", "one or the other", "drop --keep-pileup, or leave it out"
            )


class Delphes(Format):
    """ROOT files of Delphes."""

    name = "delphes"
    kind = KIND
    suffixes = (".root",)
    labelled = False
    Options = DelphesOptions

    def slices(self, path: Path, options: DelphesOptions, size: int, label: str, tell: Tell) -> Iterator[EventImages]:
        """At most 512 events at a time."""
        check_signals(np.array([label]))
        with _open(path) as tree:
            with _readable(path):
                names = set(tree.keys(recursive=True, full_paths=False))
            tracks = [f"{options.tracks}.{name}" for name in ("PT", "EtaOuter", "PhiOuter")]
            towers = [f"{options.towers}.{name}" for name in ("Eta", "Phi", "Eem", "Ehad")]
            missing = [name for name in (*tracks, *towers) if name not in names]
            if missing:
                raise InputError(f"{path} without the branch {missing[0]}", KIND, "name the branches that the file has")
            pileup = PileUp(path, options, names)
            parts = list(bounds(tree.num_entries, min(size, SLICE)))
            for start, stop in parts:
                pileup.look(_Columns(tree, str(path), start, stop))
            pileup.require_chosen_one_first(label)
            filled = np.zeros((N_PHI, N_ETA), np.int64)
            provenance = {"source": "Delphes ROOT", "file": path.name, "label": label, "config": dump(options)}
            provenance["pileup_tracks_cut"] = pileup.cuts
            for start, stop in parts:
                columns = _Columns(tree, str(path), start, stop)
                images = np.zeros((stop - start, *IMAGE_SHAPE), np.float32)
                with np.errstate(over="ignore"):
                    images[..., 0], n_tracks = _track_image(columns, tracks, pileup.kept(columns))
                    images[..., 1], images[..., 2] = _tower_images(columns, towers, filled)
                require_finite(images, f"{path}: energies as float32", start)
                events = unweighted(images, np.full(stop - start, label), n_tracks, provenance)
                yield replace(events, weight=columns.first(WEIGHT)) if WEIGHT in names else events
            tell(pileup.line(label))
            unused = [name for name in OTHER_WEIGHTS if name in names and WEIGHT not in names]
            if unused:
                tell(f"no branch {WEIGHT}, so each event has the weight 1; {', '.join(unused)} is not used")
            for line in _other_grid(filled):
                tell(line)


class _Columns:
    """Branches of events start to stop as flat arrays, and the event of each entry."""

    def __init__(self, tree: Any, path: str, start: int, stop: int):
        self._tree, self._path, self.start, self.n = tree, path, start, stop - start

    def count(self, name: str) -> np.ndarray:
        """Number of entries (n,) of a branch."""
        return self._entries(name)[0]

    def first(self, name: str) -> np.ndarray:
        """First value (n,) float64 of each event; InputError where one has none."""
        event, values = self.read(name)
        first = np.full(self.n, np.nan)
        first[event[::-1]] = values[::-1]
        if np.isnan(first).any():
            where = self.start + int(np.argmax(np.isnan(first)))
            raise InputError(f"{self._path}: no {name} in event {where}", "one in each", "correct the file")
        return first

    def read(self, name: str, least: float = -np.inf) -> tuple[np.ndarray, np.ndarray]:
        """(event (m,), value (m,) float64) of a branch; event from 0 in this slice."""
        count, values = self._entries(name)
        event = np.repeat(np.arange(self.n), count)
        require_finite(values, f"{self._path}: {name}", self.start, least, event)
        return event, values

    def _entries(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Number of entries (n,) of each event, and all of them (m,) float64."""
        import awkward

        with _readable(self._path):
            column = self._tree[name].array(entry_start=self.start, entry_stop=self.start + self.n)
            if column.ndim != 2:
                raise InputError(
                    f"{self._path}: {name} with {column.type}", "a list of numbers per event", "see Delphes"
                )
            count = awkward.to_numpy(awkward.num(column))
            values = awkward.to_numpy(awkward.flatten(column)).astype(np.float64)
        if len(count) != self.n or count.min(initial=0) < 0 or count.sum() != len(values):
            raise InputError(f"{self._path}: {name} with lists that do not fit", KIND, "copy it again")
        return count, values

    def read_all(self, names: list[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        """(event (m,), [values (m,), ...]) of branches of one collection."""
        columns = [self.read(name) for name in names]
        if any(not np.array_equal(event, columns[0][0]) for event, _ in columns):
            raise InputError(f"{self._path}: {', '.join(names)} of different lengths", KIND, "correct the file")
        found = dict(zip((name.partition(".")[2] for name in names), (values for _, values in columns), strict=True))
        for name in ("PhiOuter", "Phi"):
            wrong = np.abs(found.get(name, np.zeros(0))) > _LARGEST_PHI
            if wrong.any():
                where = self.start + int(columns[0][0][np.argmax(wrong)])
                raise InputError(
                    f"{self._path}: {name} = {found[name][wrong][0]:g} in event {where}", "radians", "correct the file"
                )
        return columns[0][0], list(found.values())


def _track_image(columns: _Columns, names: list[str], kept: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Image (n, 72, 58) [GeV] and number (n,) of the tracks that are kept and inside."""
    columns.read(names[0], 0.0)
    event, (pt, eta, phi) = columns.read_all(names)
    inside = (np.abs(eta) < ETA_COVERED) & (pt > 0)
    if kept is not None:
        inside &= kept
    image = _fill(columns.n, event[inside], eta[inside], phi[inside], pt[inside])
    return image, np.bincount(event[inside], minlength=columns.n)


def _tower_images(columns: _Columns, names: list[str], filled: np.ndarray) -> list[np.ndarray]:
    """ECAL and HCAL images (n, 72, 58) [GeV]; filled: (72, 58), number of towers in each pixel so far, added to."""
    for name in names[2:]:
        columns.read(name, 0.0)
    event, (eta, phi, *energies) = columns.read_all(names)
    with np.errstate(over="ignore"):
        # Particles along the beam have |eta| of any size, and no transverse energy.
        ecal, hcal = (energy / np.cosh(eta) for energy in energies)
    hcal = np.where(np.abs(eta) > ETA_MAX - ETA_STEP, OUTER_SHARE * hcal, hcal)
    inside = np.abs(eta) < ETA_MAX
    np.add.at(filled, grid_cells(phi[inside], eta[inside]), 1)
    reach = ((ecal, ETA_COVERED), (hcal, ETA_MAX))
    return [_fill(columns.n, *(a[np.abs(eta) < edge] for a in (event, eta, phi, et))) for et, edge in reach]


def _other_grid(filled: np.ndarray) -> list[str]:
    """A line where rows or columns have no tower, or rows have more than others: towers of another card.

    filled: (72, 58) number of towers.

    >>> _other_grid(np.tile([[900] * 58, [0] * 58], (36, 1)))
    ['no tower in 36 of 72 rows and 0 of 58 columns of the grid (5 degrees x 0.08725): these are other towers']
    """
    # Cards may end below the grid's |eta|: only columns between filled ones count.
    columns = np.trim_zeros(filled.sum(axis=0))
    rows, empty = int((filled.sum(axis=1) == 0).sum()), int((columns == 0).sum())
    if filled.sum() < MANY_TOWERS:
        return []
    if rows + empty:
        where = f"{rows} of {N_PHI} rows and {empty} of {N_ETA} columns of the grid (5 degrees x {ETA_STEP})"
        return [f"no tower in {where}: these are other towers"]
    # Towers of 4 degrees, say: one row in four gets two of them. No azimuth is preferred, so rows should be alike.
    low, high = _ALIKE
    share = filled.sum(axis=1) / np.median(filled.sum(axis=1))
    other = int(((share < low) | (share > high)).sum())
    if other < _FEW_ROWS:
        return []
    return [f"{other} of {N_PHI} rows of 5 degrees have far more or fewer towers than most: these are other towers"]


def _fill(n: int, event: np.ndarray, eta: np.ndarray, phi: np.ndarray, value: np.ndarray) -> np.ndarray:
    return fill_towers(n, event, *grid_cells(phi, eta), value)


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The tree of an open file."""
    if not path.is_file():
        raise InputError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}", KIND, "correct the path")
    try:
        import awkward  # noqa: F401
        import uproot
    except ImportError:
        raise InputError(
            "uproot is not installed", "uproot where ROOT files are read", "pip install uproot (or -e '.[formats]')"
        ) from None
    with _readable(path):
        file = uproot.open(path)
    with file:
        with _readable(path):
            tree = file[TREE] if TREE in file.keys(cycle=False) else None
        if tree is None:
            raise InputError(f"{path} without the tree {TREE}", KIND, "choose another file or format")
        if not hasattr(tree, "num_entries") or "RNTuple" in tree.classname:
            raise InputError(f"{path}: {TREE} is of the class {tree.classname}", "a TTree", "write it with mktree")
        yield tree


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    """What uproot raises on a file that is cut, damaged or no ROOT file, which is nearly everything, as one message."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # Our own mistakes stay what they are.
        if not any(
            {"uproot", "awkward"} & set(Path(f.filename).parts) for f in traceback.extract_tb(error.__traceback__)
        ):
            raise
        words = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is truncated or no ROOT file ({words})", KIND, "copy it again") from error
