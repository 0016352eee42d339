"""Command score: events in parts of any size, whatever the files' lengths; what it keeps of them."""

import itertools

import numpy as np
import pytest

from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import input_counts
from codae_l1.data.sample import SAMPLE
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.scripts import score


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Files of 5, 9 and 3 events, and all of these."""
    folder, bounds = tmp_path_factory.mktemp("files"), (0, 5, 14, 17)
    paths = []
    with EventFile(SAMPLE) as file:
        for first, last in itertools.pairwise(bounds):
            paths.append(folder / f"{first}.h5")
            write_events(paths[-1], file.read(first, last))
        return paths, file.read(0, 17)


@pytest.mark.parametrize("size", [1, 4, 7, 17, 100])
def test_parts_are_all_events_in_order_and_of_one_size(files, monkeypatch, size):
    paths, events = files
    monkeypatch.setattr(score, "BATCH", size)
    parts = list(score.read_counts(paths, FirmwareConfig()))
    assert [len(part.counts) for part in parts] == [size] * (17 // size) + [17 % size] * (17 % size > 0)
    counts = np.concatenate([part.counts for part in parts])
    assert counts.tolist() == input_counts(events.images, FirmwareConfig().pooling).tolist()
    assert np.concatenate([part.signal for part in parts]).tolist() == events.signal.tolist()
    names = np.concatenate([part.file for part in parts]).tolist()
    assert names == [str(path) for path, n in zip(paths, (5, 9, 3), strict=True) for _ in range(n)]
    pixels = np.concatenate([part.baselines["active pixels"] for part in parts])
    assert pixels.tolist() == (events.images[..., 0] > 0).sum(axis=(1, 2)).tolist()


def test_columns_are_kept_in_the_smallest_integers_that_hold_them():
    kept = score._Compact()
    kept.add(a=np.array([1.0, 255.0]), b=np.array([0.5, 2.0]))
    assert {name: column.dtype.name for name, column in kept.columns().items()} == {"a": "uint8", "b": "float64"}
    kept.add(a=np.array([256.0]), b=np.array([3.0]))
    assert kept.columns()["a"].tolist() == [1, 255, 256]
    assert kept.columns()["b"].tolist() == [0.5, 2.0, 3.0]


def test_an_open_file_of_events_holds_no_row_per_event(files):
    paths, events = files
    with EventFile(paths[1]) as file:
        parts = list(file.slices(4, verify=True))
        assert {name for name, value in vars(file).items() if np.size(value) >= len(file)} == set()
        assert np.concatenate([part.images for part in parts]).tolist() == events.images[5:14].tolist()
        assert file.read(3, 7).n_tracks.tolist() == events.n_tracks[8:12].tolist()
        some, same = file.read_where(np.array([4, 1])), [9, 6]
        assert some.signal.tolist() == events.signal[same].tolist()
        assert some.weight.tolist() == events.weight[same].tolist()
        assert {name for name, value in vars(file).items() if np.size(value) >= len(file)} == set()
