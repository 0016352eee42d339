"""The splits of a run: read whole, or a slice at a time."""

from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import track_mask
from codae_l1.scripts.run import events
from codae_l1.scripts.run.config import RunConfig

RUN = SimpleNamespace(config=RunConfig(), check_own=lambda file: None)


@pytest.mark.parametrize("background_only", [True, False])
def test_slices_give_what_the_whole_split_gives(monkeypatch, background_only):
    # Not the slices of the file.
    monkeypatch.setattr(events, "SLICE", 700)
    shapes = []

    def each(images):
        shapes.append(images.shape)
        return track_mask(images)

    masks, signal = events.read_each(RUN, "validation", each, background_only)
    whole = events.read_split(RUN, "validation", background_only)
    assert np.array_equal(masks, track_mask(whole.images))
    assert signal.tolist() == whole.signal.tolist()
    assert len(shapes) > 1
    assert max(n for n, *_ in shapes) <= 700


def write(path, names, weight=1.0):
    """Empty events of these processes in the test split."""
    n = len(names)
    images = np.zeros((n, *IMAGE_SHAPE), np.float32)
    columns = np.zeros(n, np.int32), np.broadcast_to(weight, n).astype(float), np.full(n, 16, np.int32)
    write_events(path, EventImages(images, np.array(names), *columns))
    return path


def test_the_background_is_the_one_that_the_config_names(tmp_path):
    crossings = write(tmp_path / "z.h5", ["zero_bias"] * 60 + ["h125"])
    with EventFile(crossings) as file:
        events.check_events(file, "zero_bias")
        assert file.background == "zero_bias"
        assert events.indices(file, "test", background_only=True).tolist() == list(range(60))
        with pytest.raises(InputError, match=r"data\.background = 'qcd' with .*z.h5, whose background is 'zero_bias'"):
            events.check_events(file)
    with EventFile(write(tmp_path / "q.h5", ["qcd"] * 2 + ["h125"])) as file:
        with pytest.raises(InputError, match=r"data\.background = 'zero_bias' with .*q.h5, whose background is 'qcd'"):
            events.check_events(file, "zero_bias")
        with pytest.raises(InputError, match=r"2 QCD events in the test split of .*q.h5; expected at least 50"):
            events.indices(file, "test")
    both = write(tmp_path / "both.h5", ["qcd", "zero_bias", "h125"])
    told = r"both\.h5 with events of qcd and zero_bias; expected one background"
    with EventFile(both) as file, pytest.raises(InputError, match=told):
        events.check_events(file)


def test_crossings_that_stand_for_different_numbers_are_no_background(tmp_path):
    path = write(tmp_path / "w.h5", ["zero_bias", "zero_bias", "h125"], [1.0, 0.5, 1.0])
    with EventFile(path) as file, pytest.raises(InputError, match=r"different weights \(0.5 to 1\); .* bias = 0"):
        events.check_events(file, "zero_bias")
