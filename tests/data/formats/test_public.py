"""Readers of the public sample's files, and what is wrong with bad ones."""

import zipfile

import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats import event_slices, read_events
from codae_l1.data.formats._public import PUBLIC_CLASSES, read_public


def write(path, n=4, **changes):
    images = np.zeros((n, 72, 58, 3), np.float32)
    images[:, 3, 4, 0] = 2.5
    columns = {"images": images, "labels": np.ones(n, np.float32), "masses": np.full(n, 2, np.float32)}
    columns |= {"n_tracks": np.full((n, 1), 17, np.float32)} | changes
    np.savez(path, **{k: v for k, v in columns.items() if v is not None})
    return path


def test_every_class_has_its_name():
    names = dict(zip(PUBLIC_CLASSES.values(), PUBLIC_CLASSES, strict=True))
    assert names["qcd"] == (0, 0)
    assert [names[f"h{m}"] for m in (125, 200, 300, 400, 700, 1000)] == [(1, k) for k in range(1, 7)]
    assert [names[f"svj{m}"] for m in (2100, 3100, 4100)] == [(2, k) for k in range(5, 8)]


def test_columns_of_a_file(tmp_path):
    events = read_events(write(tmp_path / "h200.npz"))
    assert events.signal.tolist() == ["h200"] * 4
    assert events.n_tracks.tolist() == [17] * 4
    assert events.weight.tolist() == [1.0] * 4
    assert events.pileup_block.tolist() == [-1] * 4
    assert events.images[:, 3, 4, 0].tolist() == [2.5] * 4
    assert [len(part) for part in event_slices(tmp_path / "h200.npz", 3)] == [3, 1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"images": np.zeros((4, 72, 56, 3), np.float32)},
            r"images of shape \(4, 72, 56, 3\); expected \(N, 72, 58, 3\)",
        ),
        ({"images": np.full((4, 72, 58, 3), np.nan, np.float32)}, "NaN or infinite energy in 4 of 4 events"),
        ({"images": np.full((4, 72, 58, 3), -1.0, np.float32)}, "negative energy in 4 of 4 events, first event 0"),
        ({"masses": np.full(4, 9, np.float32)}, "unknown signal, label 1 with mass 9; expected label 0 with mass 0"),
        ({"labels": None, "masses": None}, "without labels, masses; expected the arrays images"),
        ({"n_tracks": np.ones((3, 1), np.float32)}, "3 entries of n_tracks for 4 images"),
        ({"labels": np.ones(5, np.float32)}, r"bad.npz: 5 entries of labels for 4 images, shape \(5,\)"),
        ({"labels": np.eye(4, 3)}, r"labels for 4 images, shape \(4, 3\); .*not a one-hot row"),
        ({"labels": np.float32(1)}, r"0 entries of labels for 4 images, shape \(\)"),
        ({"labels": np.array(["suep"] * 4)}, "bad.npz: labels of type <U4; expected numbers"),
        ({"images": np.full((4, 72, 58, 3), "a")}, "bad.npz: images of type <U1; expected numbers"),
        ({"labels": np.array([1, np.nan, 1, 1])}, "labels with nan in event 1; expected finite whole numbers"),
        ({"masses": np.array([2, 2, 2.5, 2])}, "masses with 2.5 in event 2; expected finite whole numbers"),
        ({"n_tracks": np.array([1, 2, 3, np.inf])}, "n_tracks with inf in event 3; expected finite whole numbers"),
    ],
)
def test_bad_content_is_named(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        read_public(write(tmp_path / "bad.npz", **changes))


def test_tracks_that_were_not_counted_are_said(tmp_path):
    told = []
    path = write(tmp_path / "h200.npz", n_tracks=np.array([17, 0, 0, 1]))
    assert sum(len(part) for part in event_slices(path, 3, tell=told.append)) == 4
    assert told == [f"{path}: 2 of 4 events have n_tracks = 0, but active pixels of tracks"]


@pytest.mark.parametrize(("names", "verb"), [(("weight",), "is"), (("weights", "mc_Weight"), "are")])
@pytest.mark.parametrize("size", [3, 100])
def test_weights_are_said_not_to_be_used(tmp_path, names, verb, size):
    told = []
    # A sum of them is none of each event.
    weights = {name: np.array([1, 2, 3, 4.0]) for name in names} | {"sum_of_weights": np.float64(10)}
    path = write(tmp_path / "h200.npz", **weights, more=np.ones(2))
    assert sum(len(part) for part in event_slices(path, size, tell=told.append)) == 4
    assert told == [f"{path}: {', '.join(names)} {verb} not used: each event has the weight 1"]
    assert read_events(path).weight.tolist() == [1.0] * 4


def test_energies_beyond_float32_are_one_line(tmp_path):
    path = write(tmp_path / "big.npz", images=np.full((4, 72, 58, 3), 1e300))
    with pytest.raises(InputError, match=r"big.npz: images with NaN or infinite energy in 4 of 4 events"):
        read_events(path)


def test_a_number_whose_absolute_value_overflows_is_refused(tmp_path):
    content = {"images": np.ones((2, 72, 58, 3), np.float32), "labels": np.zeros(2, int), "masses": np.zeros(2, int)}
    np.savez(tmp_path / "n.npz", n_tracks=np.array([1, -(2**63)]), **content)
    with pytest.raises(
        InputError, match=r"n_tracks with -9223372036854775808 in event 1; expected finite whole numbers"
    ):
        read_events(tmp_path / "n.npz")


def test_the_supervised_layout_is_named(tmp_path):
    content = {"images": np.ones((4, 72, 58, 1), np.float32), "labels": np.zeros(4, int), "masses": np.zeros(4, int)}
    np.savez(tmp_path / "s.npz", **content)
    with pytest.raises(InputError, match=r"s.npz: images of one channel without n_tracks, the layout of .*supervised/"):
        read_events(tmp_path / "s.npz")
    np.savez(tmp_path / "s.npz", n_tracks=np.ones(4, int), **content)
    with pytest.raises(InputError, match=r"s.npz: images of one channel, the layout of the public sample's folder sup"):
        read_events(tmp_path / "s.npz")


def test_three_equal_channels_are_no_event(tmp_path):
    """The sum of all channels, three times: its mass codes are others, and the firmware would read it as tracks."""
    images = np.zeros((4, 72, 58, 3), np.float32)
    images[:, 3:9, 4] = 2.5
    words = "images of three equal channels, as if made of the one channel of the layout of .*supervised/"
    with pytest.raises(InputError, match=words):
        read_public(write(tmp_path / "s.npz", images=images))
    images[2, 3, 4, 1] = 1.0
    assert len(read_public(write(tmp_path / "s.npz", images=images))) == 4
    assert len(read_public(write(tmp_path / "s.npz", images=np.zeros_like(images)))) == 4


def test_labels_that_are_python_objects_are_not_damage(tmp_path):
    content = {"images": np.ones((4, 72, 58, 3), np.float32), "labels": np.array(["qcd", 1, 2, 3], object)}
    np.savez(tmp_path / "o.npz", masses=np.zeros(4, int), n_tracks=np.ones(4, int), **content)
    with pytest.raises(InputError, match=r"o.npz holds Python objects; expected .*; save its arrays as"):
        read_events(tmp_path / "o.npz")


def test_a_member_that_is_there_twice_is_refused(tmp_path):
    """The last one would win."""
    path = tmp_path / "twice.npz"
    np.savez(path, images=np.ones((2, 72, 58, 3)), labels=np.zeros(2), masses=np.zeros(2), n_tracks=np.ones(2))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.npy", archive.read("masses.npy"))
    with pytest.raises(InputError, match=r"twice.npz holds labels 2 times; expected each array once"):
        read_events(path)


def test_tracks_that_contradict_the_images_are_refused(tmp_path):
    content = {"images": np.ones((4, 72, 58, 3), np.float32), "labels": np.zeros(4, int), "masses": np.zeros(4, int)}
    content["images"][2, ..., 0] = 0
    np.savez(tmp_path / "lost.npz", n_tracks=np.full(4, 60), **content)
    with pytest.raises(
        InputError, match=r"lost.npz: images in 1 of 4 events contradict n_tracks: event 2 has n_tracks = 60"
    ):
        read_events(tmp_path / "lost.npz")
    np.savez(tmp_path / "none.npz", n_tracks=np.array([1, -5, 0, 2]), **content)
    with pytest.raises(
        InputError, match=r"event 1 has n_tracks = -5 and an active pixel of tracks; expected an active"
    ):
        read_events(tmp_path / "none.npz")
    np.savez(tmp_path / "good.npz", n_tracks=np.array([1, 5, 0, 2]), **content)
    assert read_events(tmp_path / "good.npz").n_tracks.tolist() == [1, 5, 0, 2]


class TestPublic(FormatTestBase):
    name = "public"
    suffix = ".npz"

    def write(self, path, n):
        return write(path, n)

    def write_other(self, path):
        return write(path, labels=None)


@pytest.mark.sample
def test_the_public_sample_reads_whole(codae_sample):
    counts = {}
    for path in sorted(codae_sample.glob("t*/*.npz")):
        events = read_public(path)
        counts[events.signal[0]] = counts.get(events.signal[0], 0) + len(events)
        tracks = (events.images[..., 0] > 0).sum(axis=(1, 2))
        # Several tracks may share a pixel, never the other way round.
        assert (tracks <= events.n_tracks).all()
    assert counts["qcd"] == 337 + 500 + 502
    assert set(counts) == set(PUBLIC_CLASSES.values())
