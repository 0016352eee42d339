"""Rows on disk in the place of an array: the same values by slice, index and mask, and nothing left of them."""

import numpy as np
import pytest

from codae_l1.data.base.spool import Rows, Spool


@pytest.mark.parametrize("dtype", ["bool", "i8", "f4"])
def test_rows_are_those_of_the_array(tmp_path, dtype):
    array = np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 1000, (50, 3, 5)).astype(dtype)
    spool = Spool(tmp_path / "new")
    assert len(spool) == 0
    for part in (array[:20], array[20:21], array[21:21], array[21:]):
        spool.add(part)
    assert (spool.shape, spool.dtype, spool.ndim) == (array.shape, array.dtype, 3)
    order = np.random.default_rng(2).permutation(50)
    for which in (slice(None), slice(10, 13), slice(45, 90), slice(60, 70), order, order[:0], order % 2 == 0):
        assert spool[which].dtype == array.dtype
        assert spool[which].tolist() == array[which].tolist()
    rows = Rows(spool, order[:7])
    assert (len(rows), rows[2:9].tolist()) == (7, array[order[2:7]].tolist())
    assert list((tmp_path / "new").iterdir()) == []
