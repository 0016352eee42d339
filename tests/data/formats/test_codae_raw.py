"""CoDAE's raw HDF5, written with h5py as its authors did: pooling, slices, labels, and each way to be bad."""

import tracemalloc

import h5py
import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats import event_slices, read_events
from codae_l1.data.formats._codae_raw import IMAGES, N_TRACKS, sum_cells


def write(path, n=5, seed=0, **changes):
    """A raw file of n sparse events; changes: dataset -> content, or None to leave it out."""
    rng = np.random.default_rng(seed)
    datasets = {}
    for name in IMAGES:
        image = np.zeros((n, 286, 360), np.float32)
        for event in image:
            event[rng.integers(0, 286, 40), rng.integers(0, 360, 40)] = rng.integers(1, 64, 40) / 4
        datasets[name] = image
    datasets |= {N_TRACKS: np.arange(n) + 30, "ImageTrk_noPU": np.zeros(1)} | changes
    with h5py.File(path, "w") as file:
        for name, content in datasets.items():
            if content is not None:
                file.create_dataset(name, data=content, compression="gzip" if np.ndim(content) else None)
    return path


def by_definition(raw):
    """The 5 x 5 sums of one raw image, cell by cell."""
    image = np.zeros((72, 58), np.float32)
    for eta, phi in np.argwhere(raw):
        image[phi // 5, (eta + 2) // 5] += raw[eta, phi]
    return image


def test_images_are_the_sums_of_five_by_five_cells(tmp_path):
    events = read_events(write(tmp_path / "raw.h5"), "h125")
    with h5py.File(tmp_path / "raw.h5") as file:
        for channel, name in enumerate(IMAGES):
            expected = np.stack([by_definition(image) for image in file[name][:]])
            assert np.array_equal(events.images[..., channel], expected)
    assert events.signal.tolist() == ["h125"] * 5
    assert events.n_tracks.tolist() == [30, 31, 32, 33, 34]
    assert events.weight.tolist() == [1.0] * 5
    assert events.pileup_block.tolist() == [-1] * 5
    assert events.provenance["label"] == "h125"


def test_corners_of_the_raw_image():
    raw = np.zeros((1, 286, 360), np.float16)
    raw[0, 0, 0], raw[0, 2, 4], raw[0, 3, 4], raw[0, 285, 359] = 1, 2, 4, 8
    towers = sum_cells(raw)[0]
    assert towers[0, :2].tolist() == [3.0, 4.0]
    assert towers[71, 57] == 8.0
    assert towers.sum() == 15.0


def test_one_column_of_track_counts(tmp_path):
    path = write(tmp_path / "raw.h5", **{N_TRACKS: np.full((5, 1), 17.0)})
    assert read_events(path, "qcd").n_tracks.tolist() == [17] * 5


def test_memory_stays_below_the_file(tmp_path):
    path = write(tmp_path / "raw.h5", 96)
    tracemalloc.start()
    parts = [(len(events), events.images.sum()) for events in event_slices(path, label="qcd")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [n for n, _ in parts] == [32, 32, 32]
    # The file unpacked: three channels of float32.
    assert peak < 0.45 * 96 * 3 * 286 * 360 * 4
    assert sum(total for _, total in parts) == read_events(path, "qcd").images.sum()
    assert [len(events) for events in event_slices(path, 20, "qcd")] == [20, 20, 20, 20, 16]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ImageECAL": None}, "without the dataset ImageECAL; expected CoDAE's raw HDF5: ImageTrk_PUcorr, ImageECAL"),
        ({N_TRACKS: None}, "without the dataset NTrk_PUcorr"),
        ({"ImageHCAL": np.zeros((5, 360, 286))}, r"ImageHCAL of shape \(5, 360, 286\).* shape \(5, 286, 360\)"),
        ({"ImageHCAL": np.zeros((4, 286, 360))}, r"ImageHCAL of shape \(4, 286, 360\).* shape \(5, 286, 360\)"),
        ({"ImageECAL": np.full((5, 286, 360), b"a")}, r"ImageECAL of shape .*, type \|S1; expected numbers"),
        ({"ImageTrk_PUcorr": 1.0}, "ImageTrk_PUcorr is one number or empty; expected rows of CoDAE's raw HDF5"),
        ({N_TRACKS: np.arange(4)}, "4 entries of NTrk_PUcorr for 5 images"),
        ({N_TRACKS: np.array([1, 2, np.nan, 4, 5])}, "NTrk_PUcorr with nan in event 2; expected finite whole numbers"),
    ],
)
def test_bad_content_is_named(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        read_events(write(tmp_path / "bad.h5", **changes), "qcd")


@pytest.mark.parametrize(("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-2.0, "-2")])
def test_bad_energy_names_its_event_in_the_file(tmp_path, value, shown):
    path = write(tmp_path / "bad.h5", 40)
    with h5py.File(path, "r+") as file:
        file["ImageECAL"][37, 5, 6] = value
    with pytest.raises(InputError, match=f"ImageECAL with {shown} in event 37; expected finite numbers >= 0"):
        read_events(path, "qcd")


def test_damaged_block(tmp_path):
    path = write(tmp_path / "cut.h5")
    with h5py.File(path) as file:
        where = file["ImageHCAL"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[where.byte_offset : where.byte_offset + where.size] = bytes(where.size)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"cut.h5 is truncated or not HDF5 .*; copy it again"):
        read_events(path, "qcd")


class TestCodaeRaw(FormatTestBase):
    name = "codae-raw"

    def write(self, path, n):
        return write(path, n)

    def write_other(self, path):
        return write(path, ImageECAL=None)
