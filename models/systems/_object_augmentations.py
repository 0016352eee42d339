"""Augmentations of events of objects, for the contrastive losses: what a detector may change, and what it may not.

An event is (n, 3): transverse momentum pT [GeV], eta, phi; row 0 is the missing transverse momentum, and a row of zeros
is no object. Each row has one kind (electrons, muons, jets), which nothing here changes.

Physical (positive), one after the other:
    rotation       one angle for the whole event, missing momentum included
    smearing       eta and phi of each object by a Gaussian of 0.028 / (1 + exp(0.1 (pT / GeV - 25)))
    resolution     pT of each jet by a Gaussian of sqrt(0.052 pT^2 + 1.502 pT) GeV; a jet left without pT is lost

Anomaly, one of five an event, each with the same probability:
    added          objects in empty rows; the missing momentum turns against them
    split          objects into two of the same direction, as long as there are empty rows: sums of pT are kept
    missing        missing momentum times U(0.5, 5)
    objects        all other pT times one number of U(1, 5)
    both           the last two
An event that its augmentation cannot change (no row is empty, no object can be split) gets `both` instead.

Source: AnomalyCLR, arXiv:2301.04660, for kinds and sizes of the augmentations. Ours, where it is silent: every empty
row is filled with probability 1/2, and so is every object split, at least one in all; an added pT is uniform from the
kind's threshold to the hardest pT of the event (at least twice the threshold), its eta and phi are uniform within the
kind's acceptance; a split gives a share of U(0.1, 0.9) to the first.
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.formats.adc2021 import ROW_CLASS

# Radian; GeV; 1 / GeV: of the smearing of directions.
SMEAR, SMEAR_END, SMEAR_SLOPE = 0.028, 25.0, 0.1
# Of the jets' resolution: the term in pT^2, and that in pT [GeV].
CONSTANT_TERM, SAMPLING_TERM = 0.052, 1.502
MISSING, JET = 1, 4
ANOMALIES = ("added", "split", "missing", "objects", "both")


@dataclass(frozen=True)
class Rows:
    """What the rows of an event are. kind (n,): 1 missing momentum, 2 electron, 3 muon, 4 jet or cell. pt_min [GeV],
    eta_max: thresholds of each row's kind."""

    kind: np.ndarray
    pt_min: np.ndarray
    eta_max: np.ndarray

    @classmethod
    def of(cls, kind: np.ndarray, thresholds: dict[int, tuple[float, float]]) -> "Rows":
        """Rows of these kinds (n,); thresholds: kind -> (pT [GeV], eta)."""
        columns = np.array([thresholds[int(k)] for k in kind]).T
        return cls(kind, *columns)


# Of ADC2021: missing momentum, four electrons, four muons, ten jets, with their selection (arXiv:2107.02157).
OBJECT_ROWS = Rows.of(ROW_CLASS, {1: (0.0, 0.0), 2: (3.0, 3.0), 3: (3.0, 2.1), 4: (15.0, 4.0)})


def physical(objects: np.ndarray, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """The positive view of events (N, n, 3), float64."""
    return resolved(smeared(rotated(objects, generator), rows, generator), rows, generator)


def anomalous(objects: np.ndarray, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """The anomaly view of events (N, n, 3), float64: one of ANOMALIES each."""
    choice = generator.integers(0, len(ANOMALIES), len(objects))
    result = np.array(objects, np.float64)
    changes = (
        lambda x: added(x, rows, generator),
        lambda x: split(x, rows, generator),
        lambda x: shifted(x, generator, missing=True, others=False),
        lambda x: shifted(x, generator, missing=False, others=True),
        lambda x: shifted(x, generator, missing=True, others=True),
    )
    for number, change in enumerate(changes):
        chosen = np.flatnonzero(choice == number)
        result[chosen] = change(objects[chosen])
    same = np.flatnonzero((result == objects).all(axis=(1, 2)))
    result[same] = changes[-1](objects[same])
    return result


def rotated(objects: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each event (N, n, 3) turned by one angle."""
    result = np.array(objects, np.float64)
    turn = generator.uniform(-np.pi, np.pi, (len(objects), 1))
    result[..., 2] = np.where(_exists(objects), wrapped(objects[..., 2] + turn), result[..., 2])
    return result


def smeared(objects: np.ndarray, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """Directions of the objects (N, n, 3) smeared; the missing momentum is not."""
    result = np.array(objects, np.float64)
    seen = _exists(objects) & (rows.kind != MISSING)
    width = np.where(seen, SMEAR / (1 + np.exp(SMEAR_SLOPE * np.minimum(objects[..., 0] - SMEAR_END, 1e3))), 0)
    shift = width[..., None] * generator.normal(size=(*width.shape, 2))
    result[..., 1] += shift[..., 0]
    result[..., 2] = np.where(seen, wrapped(result[..., 2] + shift[..., 1]), result[..., 2])
    return result


def resolved(objects: np.ndarray, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """pT of the jets of (N, n, 3) smeared by their resolution."""
    result, pt = np.array(objects, np.float64), objects[..., 0]
    jets = _exists(objects) & (rows.kind == JET)
    moved = pt + np.sqrt(CONSTANT_TERM * pt**2 + SAMPLING_TERM * pt) * generator.normal(size=pt.shape)
    result[..., 0] = np.where(jets, moved, pt)
    result[jets & (moved <= 0)] = 0
    return result


def added(objects: np.ndarray, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """Events (N, n, 3) with new objects; the vector sum of missing momentum and objects stays what it was.

    An event without an empty row stays as it is.
    """
    empty = ~_exists(objects) & (rows.kind != MISSING)
    new = _some(empty, generator)
    hardest = np.where(rows.kind == MISSING, 0, objects[..., 0]).max(axis=1, keepdims=True)
    uniform = generator.random((3, *new.shape))
    highest = np.maximum(hardest, 2 * rows.pt_min)
    pt = np.where(new, rows.pt_min + uniform[0] * (highest - rows.pt_min), 0)
    eta, phi = rows.eta_max * (2 * uniform[1] - 1), np.pi * (2 * uniform[2] - 1)
    result = np.where(new[..., None], np.stack([pt, eta, phi], axis=-1), objects)
    changed = new.any(axis=1, keepdims=True)
    missing, along = objects[:, 0, 0], objects[:, 0, 2]
    x = missing * np.cos(along) - (pt * np.cos(phi)).sum(axis=1)
    y = missing * np.sin(along) - (pt * np.sin(phi)).sum(axis=1)
    turned = np.stack([np.hypot(x, y), objects[:, 0, 1], np.arctan2(y, x)], axis=-1)
    result[:, 0] = np.where(changed, turned, objects[:, 0])
    return result


def split(objects: np.ndarray, rows: Rows, generator: np.random.Generator) -> np.ndarray:
    """Events (N, n, 3) with objects split in two of the same direction, each into an empty row of its kind.

    Sums of pT, as numbers and as vectors, stay what they were. An event in which nothing can be split stays as it is.
    """
    exists, result = _exists(objects), np.array(objects, np.float64)
    share = generator.uniform(0.1, 0.9, exists.shape)
    first = np.zeros(exists.shape, bool)
    for kind in np.unique(rows.kind[rows.kind != MISSING]):
        of_kind = rows.kind == kind
        room = (~exists & of_kind).sum(axis=1, keepdims=True)
        # Of the objects of a kind, in a random order, as many as there are empty rows may be split.
        order = np.where(exists & of_kind, generator.random(exists.shape), 2.0).argsort(axis=1).argsort(axis=1)
        first |= exists & of_kind & (order < room)
    first = _some(first, generator)
    for kind in np.unique(rows.kind[rows.kind != MISSING]):
        of_kind = rows.kind == kind
        event, source = np.nonzero(first & of_kind)
        # The i-th object that is split goes to the i-th empty row of its kind.
        rank = (np.cumsum(first & of_kind, axis=1) - 1)[event, source]
        empty = ~exists & of_kind
        target = np.argsort(~empty, axis=1, kind="stable")[event, rank]
        kept = result[event, source, 0] * share[event, source]
        result[event, target] = objects[event, source]
        result[event, target, 0] = objects[event, source, 0] - kept
        result[event, source, 0] = kept
    return result


def shifted(objects: np.ndarray, generator: np.random.Generator, missing: bool, others: bool) -> np.ndarray:
    """Events (N, n, 3) with another scale of the missing momentum, of all other objects, or of both."""
    result = np.array(objects, np.float64)
    factors = generator.uniform((0.5, 1.0), 5.0, (len(objects), 2))
    if missing:
        result[:, 0, 0] *= factors[:, 0]
    if others:
        result[:, 1:, 0] *= factors[:, 1:]
    return result


def wrapped(phi: np.ndarray) -> np.ndarray:
    """An angle within -pi and pi."""
    return np.remainder(phi + np.pi, 2 * np.pi) - np.pi


def _exists(objects: np.ndarray) -> np.ndarray:
    """Which rows of events (N, n, 3) are objects: (N, n) bool."""
    return objects[..., 0] > 0


def _some(candidates: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Each of the candidates (N, n) bool with probability 1/2, at least one of each event that has any."""
    draw = np.where(candidates, generator.random(candidates.shape), 2.0)
    least = draw == draw.min(axis=1, keepdims=True)
    return candidates & ((draw < 0.5) | least)
