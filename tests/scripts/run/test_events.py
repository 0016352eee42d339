"""The splits of a run: read whole, or a slice at a time."""

from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.pooling import track_mask
from codae_l1.scripts.run import events
from codae_l1.scripts.run.config import RunConfig

RUN = SimpleNamespace(config=RunConfig(), check_own=lambda file: None)


@pytest.mark.parametrize("qcd_only", [True, False])
def test_slices_give_what_the_whole_split_gives(monkeypatch, qcd_only):
    # Not the slices of the file.
    monkeypatch.setattr(events, "SLICE", 700)
    shapes = []

    def each(images):
        shapes.append(images.shape)
        return track_mask(images)

    masks, signal = events.read_each(RUN, "validation", each, qcd_only)
    whole = events.read_split(RUN, "validation", qcd_only)
    assert np.array_equal(masks, track_mask(whole.images))
    assert signal.tolist() == whole.signal.tolist()
    assert len(shapes) > 1
    assert max(n for n, *_ in shapes) <= 700
