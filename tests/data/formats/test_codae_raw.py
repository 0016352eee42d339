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


@pytest.mark.parametrize(("value", "n"), [(1e300, 1), (3e38, 2)])
def test_energies_and_sums_beyond_float32_are_one_line(tmp_path, value, n):
    images = np.zeros((40, 286, 360))
    images[37, 5, 5 : 5 + n] = value
    path = write(tmp_path / "big.h5", 40, ImageHCAL=images)
    with pytest.raises(
        InputError, match=r"big.h5: ImageHCAL in towers, as float32 with inf in event 37; expected fini"
    ):
        read_events(path, "qcd")


def test_weights_are_said_not_to_be_used(tmp_path):
    told = []
    list(event_slices(write(tmp_path / "raw.h5", Weight=np.ones(5)), label="qcd", tell=told.append))
    assert told == [f"{tmp_path / 'raw.h5'}: Weight is not used: each event has the weight 1"]


def test_damaged_block(tmp_path):
    path = write(tmp_path / "cut.h5")
    with h5py.File(path) as file:
        where = file["ImageHCAL"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[where.byte_offset : where.byte_offset + where.size] = bytes(where.size)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"cut.h5 is truncated or not HDF5 .*; copy it again"):
        read_events(path, "qcd")


def joined(path, *sources, n=5, **rest):
    """A virtual file of n events a source; rest: dataset -> content that is not virtual."""
    with h5py.File(path, "w") as file:
        for name in IMAGES:
            layout = h5py.VirtualLayout((n * len(sources), 286, 360), np.float32)
            for i, source in enumerate(sources):
                layout[n * i : n * (i + 1)] = h5py.VirtualSource(source, name, (n, 286, 360))
            file.create_virtual_dataset(name, layout)
        for name, content in rest.items():
            file[name] = content
    return path


def test_a_virtual_file_is_that_of_its_sources(tmp_path):
    parts = [read_events(write(tmp_path / f"{seed}.h5", seed=seed), "qcd") for seed in (0, 1)]
    path = joined(tmp_path / "all.h5", "0.h5", "1.h5", **{N_TRACKS: np.full(10, 7)})
    whole = np.concatenate([part.images for part in parts])
    assert np.array_equal(read_events(path, "qcd").images, whole)
    (tmp_path / "1.h5").unlink()
    with pytest.raises(InputError, match=r"all.h5: ImageTrk_PUcorr is put together from 1.h5, which is not there; exp"):
        next(event_slices(path, label="qcd"))
    write(tmp_path / "1.h5", 3)
    with pytest.raises(InputError, match=r"ImageTrk_PUcorr needs 514800 numbers of .* of shape \(3, 286, 360\)"):
        next(event_slices(path, label="qcd"))
    (tmp_path / "1.h5").write_text("no HDF5")
    with pytest.raises(InputError, match=r"1.h5 is damaged \(.*expected a part of ImageTrk_PUcorr of .*all.h5"):
        next(event_slices(path, label="qcd"))
    write(tmp_path / "1.h5", ImageTrk_PUcorr=None)
    with pytest.raises(InputError, match=r"ImageTrk_PUcorr needs ImageTrk_PUcorr of .*1.h5, which lacks it"):
        next(event_slices(path, label="qcd"))


def test_a_virtual_file_that_leaves_events_out(tmp_path):
    write(tmp_path / "0.h5")
    path = tmp_path / "all.h5"
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((6, 286, 360), np.float32)
        layout[:5] = h5py.VirtualSource("0.h5", IMAGES[0], (5, 286, 360))
        file.create_virtual_dataset(IMAGES[0], layout)
    with pytest.raises(InputError, match="is put together from parts of 514800 of its 617760 numbers"):
        next(event_slices(path, label="qcd"))


@pytest.mark.parametrize(
    ("rows", "given"),
    [
        ([np.s_[:5], np.s_[5:10], np.s_[10:15]], 15),
        # Three times five of fifteen events, but the last five are nobody's, or every third of them.
        ([np.s_[:5], np.s_[5:10], np.s_[5:10]], 10),
        ([np.s_[:5], np.s_[3:8], np.s_[10:15]], 13),
        ([np.s_[0::3], np.s_[1::3], np.s_[2::3]], 15),
        ([np.s_[0::3], np.s_[1::3], np.s_[1::3]], 10),
    ],
)
def test_sources_that_overlap_hide_no_event_that_is_left_out(tmp_path, rows, given):
    write(tmp_path / "0.h5")
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for name in IMAGES:
            layout = h5py.VirtualLayout((15, 286, 360), np.float32)
            for which in rows:
                layout[which] = h5py.VirtualSource("0.h5", name, (5, 286, 360))
            file.create_virtual_dataset(name, layout)
        file[N_TRACKS] = np.full(15, 7)
    if given == 15:
        whole = read_events(tmp_path / "0.h5", "qcd").images
        found, order = read_events(tmp_path / "all.h5", "qcd").images, np.empty((15, *whole.shape[1:]), whole.dtype)
        for which in rows:
            order[which] = whole
        assert np.array_equal(found, order)
        return
    numbers = given * 286 * 360
    with pytest.raises(InputError, match=f"is put together from parts of {numbers} of its {15 * 286 * 360} numbers"):
        next(event_slices(tmp_path / "all.h5", label="qcd"))


def external(path, size, name=None):
    """The first channel of 5 events in a file of its own, of which `size` bytes are there."""
    write(path, ImageTrk_PUcorr=None)
    raw = path.parent / "raw.bin"
    with h5py.File(path, "r+") as file:
        file.create_dataset(IMAGES[0], (5, 286, 360), "f4", external=[(name or raw, 0, 5 * 286 * 360 * 4)])[:] = 1
    with raw.open("r+b") as handle:
        handle.truncate(size)
    return path


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda file, folder: file.create_dataset(IMAGES[0], (5, 286, 360), "f4"), "1 of 1 blocks .* never written"),
        (
            lambda file, folder: file.create_dataset(IMAGES[0], (5, 286, 360), "f4", chunks=(1, 286, 360)).write_direct(
                np.ones((5, 286, 360), "f4"), np.s_[:3], np.s_[:3]
            ),
            "2 of 5 blocks of ImageTrk_PUcorr were never written; expected a dataset whose content is all there",
        ),
        (
            lambda file, folder: file.__setitem__(IMAGES[0], h5py.ExternalLink("gone.h5", IMAGES[0])),
            r"ImageTrk_PUcorr is put together from gone.h5, which is not there",
        ),
        (lambda file, folder: file.create_dataset(IMAGES[0], data=np.zeros((5, 286, 360))), "contradict n_tracks"),
    ],
)
def test_what_was_never_written_is_no_empty_event(tmp_path, damage, words):
    path = write(tmp_path / "raw.h5", ImageTrk_PUcorr=None)
    with h5py.File(path, "r+") as file:
        damage(file, tmp_path)
    with pytest.raises(InputError, match=words):
        read_events(path, "qcd")


def test_variables_that_send_hdf5_elsewhere_are_refused(tmp_path, monkeypatch):
    write(tmp_path / "0.h5")
    virtual = joined(tmp_path / "all.h5", "0.h5", **{N_TRACKS: np.full(5, 7)})
    linked = write(tmp_path / "linked.h5", **dict.fromkeys(IMAGES[:1]))
    with h5py.File(linked, "r+") as file:
        file[IMAGES[0]] = h5py.ExternalLink("0.h5", IMAGES[0])
    raw = external(tmp_path / "raw.h5", 5 * 286 * 360 * 4)
    for path, name in ((virtual, "VDS"), (linked, "EXT"), (raw, "EXTFILE")):
        assert len(read_events(path, "qcd")) == 5
        monkeypatch.setenv(f"HDF5_{name}_PREFIX", str(tmp_path / "elsewhere"))
        with pytest.raises(InputError, match=rf"{path.name}: .* HDF5_{name}_PREFIX = .*; unset HDF5_{name}_PREFIX"):
            read_events(path, "qcd")
        monkeypatch.delenv(f"HDF5_{name}_PREFIX")


def test_raw_data_in_a_file_of_its_own(tmp_path, monkeypatch):
    whole = 5 * 286 * 360 * 4
    assert read_events(external(tmp_path / "a.h5", whole), "qcd").images[..., 0].min() == 15.0
    path = external(tmp_path / "a.h5", whole // 2)
    with pytest.raises(InputError, match=f"ImageTrk_PUcorr needs {whole} bytes of .*raw.bin, which is shorter"):
        read_events(path, "qcd")
    # HDF5 would read another file of the name from the working directory, or zeros where it is shorter.
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "raw.bin").write_bytes(bytes(whole))
    monkeypatch.chdir(tmp_path)
    relative = external(tmp_path / "b.h5", whole, "raw.bin")
    monkeypatch.chdir(tmp_path / "below")
    with pytest.raises(InputError, match=r"b.h5: .* raw.bin, which is not that of the working directory, .*change to"):
        read_events(relative, "qcd")
    monkeypatch.chdir(tmp_path)
    assert read_events(relative, "qcd").images[..., 0].min() == 15.0
    (tmp_path / "raw.bin").unlink()
    with pytest.raises(InputError, match=r"put together from .*raw.bin, which is not there"):
        read_events(path, "qcd")


class TestCodaeRaw(FormatTestBase):
    name = "codae-raw"

    def write(self, path, n):
        return write(path, n)

    def write_other(self, path):
        return write(path, ImageECAL=None)
