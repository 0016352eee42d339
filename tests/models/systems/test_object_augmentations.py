"""What the augmentations of objects keep and change, exactly; objects of images."""

import numpy as np
import pytest

from codae_l1.data.formats.adc2021 import ROW_CLASS
from codae_l1.models.systems._image_objects import CELL_ROWS, CELLS, image_objects
from codae_l1.models.systems._object_augmentations import (
    OBJECT_ROWS,
    added,
    anomalous,
    physical,
    resolved,
    rotated,
    shifted,
    smeared,
    split,
    wrapped,
)
from codae_l1.models.systems._observables import missing_energy


def events(n=300, seed=0):
    """n events of the layout: falling pT in each kind, from none to all rows filled, the missing momentum at eta 0."""
    rng = np.random.default_rng(seed)
    objects = np.zeros((n, 19, 3))
    objects[:, 0] = np.stack([rng.exponential(30, n), np.zeros(n), rng.uniform(-np.pi, np.pi, n)], axis=1)
    for kind in (2, 3, 4):
        rows = np.flatnonzero(kind == ROW_CLASS)
        number = rng.integers(0, len(rows) + 1, n)
        pt = np.sort(OBJECT_ROWS.pt_min[rows[0]] + rng.exponential(20, (n, len(rows))), axis=1)[:, ::-1]
        angles = rng.uniform(-1, 1, (2, n, len(rows))) * np.array([2.0, np.pi])[:, None, None]
        objects[:, rows] = np.stack([pt, *angles], axis=-1) * (np.arange(len(rows)) < number[:, None])[..., None]
    return objects


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def exists(x):
    return x[..., 0] > 0


def vector(x, rows=slice(None)):
    """Vector sum of transverse momenta: (N, 2)."""
    pt, _, phi = np.moveaxis(x[:, rows], -1, 0)
    return np.stack([(pt * np.cos(phi)).sum(axis=1), (pt * np.sin(phi)).sum(axis=1)], axis=1)


def test_a_rotation_changes_one_angle_an_event(rng):
    x = events()
    y = rotated(x, rng)
    assert (y[..., :2] == x[..., :2]).all()
    assert (y[~exists(x)] == 0).all()
    turn = wrapped(y[..., 2] - x[..., 2])
    for event in range(len(x)):
        away = wrapped(turn[event] - turn[event, 0])[exists(x)[event]]
        np.testing.assert_allclose(away, 0, atol=1e-12)
    assert np.abs(y[..., 2]).max() <= np.pi
    assert len(np.unique(turn[:, 0])) == len(x)


def test_directions_are_smeared_by_their_width_and_the_missing_momentum_is_not(rng):
    x = np.zeros((20_000, 19, 3))
    x[:, 0, 0], x[:, 1, 0], x[:, 9, 0], x[:, 10, 0] = 50, 3, 25, 200
    y = smeared(x, OBJECT_ROWS, rng)
    assert (y[..., 0] == x[..., 0]).all()
    assert (y[:, 0] == x[:, 0]).all()
    assert (y[~exists(x)] == 0).all()
    for row, width in ((1, 0.028 / (1 + np.exp(-2.2))), (9, 0.014), (10, 0.028 / (1 + np.exp(17.5)))):
        np.testing.assert_allclose(y[:, row, 1:].std(axis=0), width, rtol=0.03)


def test_the_resolution_is_that_of_jets_alone(rng):
    x = np.zeros((20_000, 19, 3))
    x[:, :, 0] = 100
    y = resolved(x, OBJECT_ROWS, rng)
    jets = ROW_CLASS == 4
    assert (y[:, ~jets] == x[:, ~jets]).all()
    np.testing.assert_allclose(y[:, jets, 0].std(), np.sqrt(0.052 * 100**2 + 1.502 * 100), rtol=0.01)
    # A jet is lost as a whole, where its pT would fall to zero.
    soft = np.zeros((20_000, 19, 3))
    soft[:, 9] = [1.0, 2.0, 3.0]
    y = resolved(soft, OBJECT_ROWS, rng)[:, 9]
    lost = y[:, 0] == 0
    assert (y[lost] == 0).all()
    assert (y[~lost, 1:] == [2.0, 3.0]).all()
    # One standard deviation is 1.25 GeV: 21 % fall below zero.
    assert lost.mean() == pytest.approx(0.2112, abs=0.01)


def test_added_objects_turn_the_missing_momentum(rng):
    x = events()
    y = added(x, OBJECT_ROWS, rng)
    before, new = exists(x), exists(y) & ~exists(x)
    assert (y[:, 1:][before[:, 1:]] == x[:, 1:][before[:, 1:]]).all()
    room = (~before[:, 1:]).any(axis=1)
    assert (new.any(axis=1) == room).all()
    np.testing.assert_allclose(vector(y), vector(x), atol=1e-9)
    assert (y[room, 0] != x[room, 0]).any(axis=1).all()
    assert (y[~room] == x[~room]).all()
    assert (y[..., 0] >= OBJECT_ROWS.pt_min)[new].all()
    assert (np.abs(y[..., 1]) <= OBJECT_ROWS.eta_max)[new].all()
    assert (y[:, 0, 1] == 0).all()


def test_a_split_keeps_all_sums_of_its_kind(rng):
    x = events()
    y = split(x, OBJECT_ROWS, rng)
    assert (y[:, 0] == x[:, 0]).all()
    splittable = np.zeros(len(x), bool)
    for kind in (2, 3, 4):
        rows = np.flatnonzero(kind == ROW_CLASS)
        np.testing.assert_allclose(y[:, rows, 0].sum(axis=1), x[:, rows, 0].sum(axis=1), rtol=1e-14)
        np.testing.assert_allclose(vector(y, rows), vector(x, rows), atol=1e-10)
        n = exists(x)[:, rows].sum(axis=1)
        splittable |= (n > 0) & (n < len(rows))
        more = exists(y)[:, rows].sum(axis=1) - n
        assert ((more >= 0) & (more <= n)).all()
        for event in np.flatnonzero(more):
            # Each new object has the direction of one that was there, and both have at least a tenth of its pT.
            old, now = x[event, rows][: n[event]], y[event, rows][exists(y)[event, rows]]
            for piece in now[n[event] :]:
                (source,) = np.flatnonzero((old[:, 1:] == piece[1:]).all(axis=1))
                assert 0.1 <= piece[0] / old[source, 0] <= 0.9
                assert now[source, 0] + piece[0] == pytest.approx(old[source, 0], rel=1e-14)
    assert ((exists(y).sum(axis=1) > exists(x).sum(axis=1)) == splittable).all()
    assert (y[~splittable] == x[~splittable]).all()


@pytest.mark.parametrize(("missing", "others"), [(True, False), (False, True), (True, True)])
def test_scale_shifts(missing, others, rng):
    x = events()
    y = shifted(x, rng, missing, others)
    assert (y[..., 1:] == x[..., 1:]).all()
    assert (exists(y) == exists(x)).all()
    ratio = np.divide(y[..., 0], x[..., 0], out=np.full(x.shape[:2], np.nan), where=exists(x))
    low, high = ((0.5, 5) if missing else (1, 1)), ((1, 5) if others else (1, 1))
    assert ((ratio[:, 0] >= low[0]) & (ratio[:, 0] <= low[1])).all()
    one = ratio[:, 1:][exists(x)[:, 1:].any(axis=1)]
    # One factor for all objects of an event.
    assert (np.nanmax(one, axis=1) - np.nanmin(one, axis=1)).max() < 1e-12
    assert np.nanmin(one) >= high[0] - 1e-12
    assert np.nanmax(one) <= high[1] + 1e-12


def test_views_are_of_the_generator_and_of_every_event():
    x = events()
    for view in (physical, anomalous):
        y = view(x, OBJECT_ROWS, np.random.default_rng(1))
        assert (y == view(x, OBJECT_ROWS, np.random.default_rng(1))).all()
        assert (y != view(x, OBJECT_ROWS, np.random.default_rng(2))).any()
        assert (y != x).any(axis=(1, 2)).all()
        assert np.isfinite(y).all()
        assert (y[..., 0] >= 0).all()
        assert (y[~exists(y)] == 0).all()
    # No object comes into being by a physical augmentation.
    assert not (exists(physical(x, OBJECT_ROWS, np.random.default_rng(1))) & ~exists(x)).any()
    nothing = np.zeros((3, 19, 3))
    assert (physical(nothing, OBJECT_ROWS, np.random.default_rng(1)) == 0).all()
    assert np.isfinite(anomalous(nothing, OBJECT_ROWS, np.random.default_rng(1))).all()


def test_each_anomaly_is_as_frequent_as_the_others():
    x = events(5000)
    y = anomalous(x, OBJECT_ROWS, np.random.default_rng(3))
    more = exists(y).sum(axis=1) > exists(x).sum(axis=1)
    turned = y[:, 0, 2] != x[:, 0, 2]
    ratio = y[:, 1:, 0].sum(axis=1) / np.maximum(x[:, 1:, 0].sum(axis=1), 1e-9)
    scaled = (y[:, 0, 0] != x[:, 0, 0]) & ~turned
    others = ~more & (ratio > 1 + 1e-9)
    found = [turned, more & ~turned, scaled & ~others, others & ~scaled]
    # Few events have no empty row, or nothing to split.
    np.testing.assert_allclose([kind.mean() for kind in found], 0.2, atol=0.03)


def test_objects_of_an_image_are_its_cells():
    rng = np.random.default_rng(0)
    images = (rng.exponential(2, (5, 72, 58, 3)) * (rng.random((5, 72, 58, 3)) < 0.02)).astype(np.float32)
    images[4] = 0
    objects = image_objects(images)
    assert objects.shape == (5, 19, 3)
    np.testing.assert_allclose(objects[:, 0, 0], missing_energy(images), atol=1e-9)
    assert (np.diff(objects[:, 1:, 0], axis=1) <= 0).all()
    assert (objects[4] == 0).all()
    assert np.array_equal(image_objects(np.tile(images, (60, 1, 1, 1))), np.tile(objects, (60, 1, 1)))
    # The hardest cell, by loops.
    towers = np.pad(images[0, ..., 1:].sum(axis=-1, dtype=np.float64), ((0, 0), (1, 1)))
    sums = np.array([[towers[4 * i : 4 * i + 4, 4 * j : 4 * j + 4].sum() for j in range(15)] for i in range(18)])
    row, column = np.unravel_index(sums.argmax(), sums.shape)
    centre = 0.08725 * (4 * column + 1 - 29), np.pi * (4 * row + 2) / 36 - np.pi
    np.testing.assert_allclose(objects[0, 1], [sums.max(), *centre], atol=1e-12)
    # All of a quiet event's energy is in its cells: their vector sum balances the missing momentum within a cell.
    one = np.zeros((1, 72, 58, 3), np.float32)
    one[0, 30, 10, 2] = 40
    found = image_objects(one)[0]
    assert exists(found[None]).sum() == 2
    np.testing.assert_allclose(found[:2, 0], 40, rtol=1e-12)
    assert abs(wrapped(found[0, 2] - found[1, 2] - np.pi)) <= 2 * np.pi / 36
    assert (len(CELL_ROWS.kind), CELLS) == (19, 18)
