"""Events files: round trip, slices, checksum, and each way in which a file can be bad."""

import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import PROCESSES, EventImages, concatenate, unweighted
from codae_l1.data.formats import event_slices, read_events
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.pooling import PoolingConfig, input_counts, tower_words


def make_events(n: int = 50, seed: int = 0) -> EventImages:
    """Sparse images of float16 energies, the first event with one pixel and the second full."""
    rng = np.random.default_rng(seed)
    images = rng.exponential(20, (n, 72, 58, 3)).astype(np.float16).astype(np.float32)
    images[rng.random(images.shape) < 0.95] = 0
    images[0], images[1] = 0, 1.5
    images[0, 0, 5, 0] = 1.5
    signal = np.array([PROCESSES[i % len(PROCESSES)] for i in range(n)], dtype="U8")
    blocks = (np.arange(n) % 20).astype(np.int32)
    tracks = rng.integers(0, 500, n).astype(np.int32)
    return EventImages(images, signal, tracks, rng.random(n), blocks, {"made": "in a test", "seed": seed})


def same(a: EventImages, b: EventImages) -> bool:
    columns = ("images", "signal", "n_tracks", "weight", "pileup_block")
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in columns) and a.provenance == b.provenance


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "events.h5"
    write_events(path, make_events())
    return path


def test_round_trip_is_exact_for_float16_values(stored):
    assert same(read_events(stored), make_events())


def test_parts_give_the_same_file_as_the_whole(stored, tmp_path):
    events = make_events()
    parts = (events.select(np.arange(start, min(start + 7, 50))) for start in range(0, 50, 7))
    write_events(tmp_path / "parts.h5", parts)
    with EventFile(stored) as whole, EventFile(tmp_path / "parts.h5") as joined:
        assert whole.checksum == joined.checksum
        assert same(whole.read(), joined.read())


def test_slices_and_indices_agree_with_the_whole(stored):
    events = make_events()
    with EventFile(stored) as file:
        assert len(file) == 50
        assert same(file.read(10, 23), events.select(np.arange(10, 23)))
        assert same(concatenate(list(file.slices(8))), events)
        order = np.array([49, 0, 7, 7, 23])
        assert same(file.read_where(order), events.select(order))
        assert same(file.read_where(events.signal == "h125"), events.select(events.signal == "h125"))
        assert len(file.read(5, 5)) == 0
        assert (file.signal == events.signal).all()
        assert file.provenance == events.provenance
    assert same(concatenate(list(event_slices(stored, 9))), events)


def test_slices_cross_the_compressed_blocks(tmp_path):
    events = concatenate([make_events(400, seed) for seed in range(4)])
    write_events(tmp_path / "many.h5", events)
    with EventFile(tmp_path / "many.h5") as file:
        assert np.array_equal(file.read(1000, 1100).images, events.images[1000:1100])
        indices = np.random.default_rng(1).permutation(len(events))[:200]
        assert np.array_equal(file.read_where(indices).images, events.images[indices])


def test_index_outside_the_file(stored):
    with EventFile(stored) as file, pytest.raises(InputError, match=r"event 50 of .*events.h5; expected 0 to 49"):
        file.read_where(np.array([3, 50]))


def test_active_pixels_stay_active_and_none_overflows(tmp_path):
    events = make_events(2)
    images = np.zeros_like(events.images)
    images[0, 0, 0, 0], images[0, 1, 1, 1], images[1, 71, 57, 2] = 1e-12, 1e9, 3.14159
    images[1, 0, 0, 0] = 1
    write_events(tmp_path / "edge.h5", replace(events, images=images))
    read = read_events(tmp_path / "edge.h5").images
    assert ((read > 0) == (images > 0)).all()
    assert read[0, 0, 0, 0] == 2.0**-24
    assert read[0, 1, 1, 1] == 65504
    assert read[1, 71, 57, 2] == np.float16(3.14159)


def test_what_is_stored_has_the_words_of_what_was_read(tmp_path):
    rng = np.random.default_rng(0)
    # On, just below and above the steps of tower words, up to where float16 ends to hold them.
    steps = rng.integers(0, 2048, (20, 72, 58, 3)) / 2
    images = steps.astype(np.float32)
    images[:10] = np.nextafter(images[:10], np.float32(0))
    images[10:15] = np.nextafter(images[10:15], np.float32(1e9))
    images[15:] += rng.uniform(0, 0.5, images[15:].shape).astype(np.float32)
    images[0, 0, 0] = 127.99
    images *= rng.random(images.shape) < 0.1
    write_events(tmp_path / "e.h5", unweighted(images, np.full(20, "qcd"), np.full(20, 9), {}))
    read = read_events(tmp_path / "e.h5").images
    assert (read <= np.maximum(images, 2.0**-24)).all()
    assert (read != images).any()
    for lsb in (0.5, 4.0):
        pooling = PoolingConfig(inputs=("tracks", "track_pt", "ecal", "hcal"), energy_lsb_gev=lsb)
        assert np.array_equal(tower_words(read, pooling), tower_words(images, pooling))
        assert np.array_equal(input_counts(read, pooling), input_counts(images, pooling))


def test_energies_that_float16_does_not_hold_are_said(tmp_path, caplog):
    events = make_events(2)
    images = events.images.copy()
    images[1, 2, 3, 1] = 7e4
    # Tower words 2050, 2051 and 2047, the second of which becomes 2050.
    images[0, 3, 4] = 1025.0, 1025.6, 1023.7
    write_events(tmp_path / "e.h5", replace(events, images=images))
    assert "1 energies above 65504 GeV are stored as 65504 GeV" in caplog.text
    assert "2 energies above 1024 GeV are stored as lower tower words than their own" in caplog.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            BlockingIOError(11, "unable to lock file, errno = 11"),
            "is in use by another program, or on a disk",
        ),
        (PermissionError(13, "Permission denied"), r"may not be read \(permission denied\)"),
    ],
)
def test_a_file_that_is_in_use_is_not_damaged(tmp_path, monkeypatch, error, words):
    def refuse(*arguments, **options):
        raise error

    write_events(tmp_path / "e.h5", make_events(2))
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file["x"] = 1
    monkeypatch.setattr(h5py, "File", refuse)
    for path in ("e.h5", "raw.h5"):
        with pytest.raises(InputError, match=f"{path} {words}"):
            list(event_slices(tmp_path / path, label="qcd"))


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        (
            "n_tracks",
            np.full(2, 2**40),
            "n_tracks = 1099511627776; expected whole numbers from -2147483648 to 2147483647",
        ),
        ("pileup_block", np.array([3, 1.7]), "pileup_block = 1.7; expected whole numbers"),
        ("pileup_block", np.array([3, np.nan]), "pileup_block = nan; expected whole numbers"),
        ("n_tracks", np.ma.MaskedArray([3, 1], [0, 1]), "n_tracks in a masked array"),
        ("weight", np.ones((2, 1)), r"weight of shape \(2, 1\), type float64; expected a number per event"),
        ("weight", np.array([1j, 1]), r"weight of shape \(2,\), type complex128; expected a number per event"),
        ("weight", np.array(["1", "2"]), r"weight of shape \(2,\), type <U1; expected a number per event"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, column, value, words):
    with pytest.raises(InputError, match=words):
        write_events(tmp_path / "e.h5", replace(make_events(2), **{column: value}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("n_tracks", [3, -1], "contradict n_tracks: event 1 has n_tracks = -1 and an active pixel of tracks"),
        ("weight", [np.nan, 1.0], "e.h5: weight with nan in event 0"),
        ("weight", [1.0, np.inf], "e.h5: weight with inf in event 1"),
        ("pileup_block", [-1, -5], "e.h5: images of pileup_block -5 in event 1; expected the number of a block, or -1"),
    ],
)
def test_what_no_reader_takes_is_said_where_it_is_written(tmp_path, caplog, column, value, words):
    write_events(tmp_path / "e.h5", replace(make_events(2), **{column: np.array(value)}))
    assert "1 events with a weight that is not finite, or wrong n_tracks or pileup_block, which no" in caplog.text
    with pytest.raises(InputError, match=words):
        list(event_slices(tmp_path / "e.h5"))


def test_gaps_beyond_a_byte_take_fillers_that_are_no_pixels(tmp_path):
    events = make_events(3)
    images = np.zeros_like(events.images).reshape(3, -1, 3)
    images[:, 0, 0] = 1
    # Steps of 1, 255, 256, 510, 511 from one active pixel to the next; an empty event between two.
    for pixel in np.cumsum([0, 255, 256, 510, 511]):
        images[0, pixel, 1] = images[2, 4175 - pixel, 2] = 2.0
    events = replace(events, images=images.reshape(events.images.shape))
    write_events(tmp_path / "sparse.h5", events)
    assert same(read_events(tmp_path / "sparse.h5"), events)
    with h5py.File(tmp_path / "sparse.h5") as file:
        assert file["ecal/gap"][:].tolist() == [1, 255, 255, 1, 255, 255, 255, 255, 1]
        assert (file["ecal/energy"][:] > 0).tolist() == [True, True, False, True, False, True, False, False, True]


def test_a_file_of_the_first_layout_reads_as_before(tmp_path):
    """Gaps of uint16 without fillers, compressed: files written by earlier commits."""
    events, parts = make_events(), {}
    for name, dtype in {"signal": "S8", "n_tracks": "<i4", "weight": "<f8", "pileup_block": "<i4"}.items():
        parts[name] = getattr(events, name).astype(dtype)
    for channel, name in enumerate(("tracks", "ecal", "hcal")):
        active = [np.flatnonzero(image[..., channel]) for image in events.images]
        parts[f"{name}/count"] = np.array([len(a) for a in active], "<u2")
        parts[f"{name}/gap"] = np.concatenate([np.diff(a, prepend=-1) for a in active]).astype("<u2")
        flat = events.images[..., channel].ravel()
        parts[f"{name}/energy"] = flat[flat > 0].astype("<f2")
    digests = b"".join(hashlib.sha256(part.tobytes()).digest() for part in parts.values())
    with h5py.File(tmp_path / "first.h5", "w") as file:
        for name, part in parts.items():
            file.create_dataset(name, data=part, chunks=(1 << 15,), maxshape=(None,), compression=9, shuffle=True)
        file.attrs.update({"format": "codae-l1 events", "version": 1, "image_shape": (72, 58, 3)})
        file.attrs["provenance"] = json.dumps(events.provenance)
        file.attrs["checksum"] = hashlib.sha256(digests).hexdigest()
    assert same(read_events(tmp_path / "first.h5"), events)
    with EventFile(tmp_path / "first.h5") as file:
        file.verify()


@pytest.mark.parametrize("size", [1, 7, 50, 1000])
def test_slices_are_verified_in_passing(stored, size):
    with h5py.File(stored, "r+") as file:
        file["ecal/energy"][-1] = 7.0
    given = []
    with EventFile(stored) as file, pytest.raises(InputError, match="its content does not have its checksum"):
        given.extend(len(events) for events in file.slices(size, verify=True))
    assert sum(given) == (50 - 1) // size * size


def test_empty_file_round_trip(tmp_path):
    write_events(tmp_path / "none.h5", make_events().select(np.arange(0)))
    with EventFile(tmp_path / "none.h5") as file:
        assert len(file) == len(file.read()) == 0


class TestEvents(FormatTestBase):
    name = "codae-l1"

    def write(self, path, n):
        write_events(path, make_events(max(n, 2)).select(np.arange(n)))
        return path

    def write_other(self, path):
        write_events(path, make_events())
        with h5py.File(path, "r+") as file:
            del file["n_tracks"]
        return path


@pytest.mark.parametrize("share", [0.02, 0.3, 0.99])
def test_truncated_file(stored, share):
    content = stored.read_bytes()
    stored.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"events.h5 is truncated or corrupted .* copy or make it again"):
        read_events(stored)


def test_flipped_byte_in_the_compressed_data_is_seen_by_a_slice(stored):
    with h5py.File(stored) as file:
        where = file["hcal/energy"].id.get_chunk_info(0)
    content = bytearray(stored.read_bytes())
    content[where.byte_offset + where.size // 2] ^= 0xFF
    stored.write_bytes(bytes(content))
    with EventFile(stored) as file, pytest.raises(InputError, match=r"truncated or corrupted in hcal/energy \("):
        file.read(0, 10)


def test_changed_content_does_not_have_its_checksum(stored):
    with h5py.File(stored, "r+") as file:
        file["weight"][3] = 7.0
    with pytest.raises(InputError, match="its content does not have its checksum"):
        read_events(stored)


def test_columns_of_different_length(stored):
    with h5py.File(stored, "r+") as file:
        file["n_tracks"].resize(49, axis=0)
    with pytest.raises(InputError, match="its columns are of different lengths"):
        EventFile(stored)


def test_missing_dataset_is_named(stored):
    with h5py.File(stored, "r+") as file:
        del file["ecal/gap"]
    with pytest.raises(InputError, match=r"part of it is missing: .*gap"):
        EventFile(stored)


def test_wrong_image_shape_in_the_file(stored):
    with h5py.File(stored, "r+") as file:
        file.attrs["image_shape"] = (36, 29, 3)
    with pytest.raises(InputError, match=r"images of shape \(36, 29, 3\); expected \(72, 58, 3\)"):
        EventFile(stored)


def test_pixel_outside_the_image(stored):
    with h5py.File(stored, "r+") as file:
        file["tracks/gap"][:18] = 250
    with EventFile(stored) as file, pytest.raises(InputError, match="pixel outside the image"):
        file.read(1, 2)


@pytest.mark.parametrize(
    ("value", "kind"), [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-1, "negative")]
)
def test_bad_energy_in_the_file_is_named(stored, value, kind):
    with h5py.File(stored, "r+") as file:
        file["tracks/energy"][1] = value
    with (
        EventFile(stored) as file,
        pytest.raises(InputError, match=rf"events.h5: images with {kind} energy in 1 of 49 events, first event 1;"),
    ):
        file.read(1)


def test_unknown_signal_name_in_the_file(stored):
    with h5py.File(stored, "r+") as file:
        file["signal"][4] = b"h126"
    with EventFile(stored) as file, pytest.raises(InputError, match=r"events.h5: unknown signal name 'h126'; expe"):
        file.read()


def test_suffix_of_no_known_form(tmp_path):
    with pytest.raises(InputError, match=r"suffix '.csv'; expected .h5, .hdf5, .npz, .root"):
        read_events(tmp_path / "events.csv")


_FULL_DISK = """
import resource, signal, sys
import numpy as np
from codae_l1.data.base.errors import InputError
from codae_l1.data.events import EventImages
from codae_l1.data.formats.event_file import write_events

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
n = 200
images = np.random.default_rng(0).exponential(9, (n, 72, 58, 3)).astype(np.float32)
events = EventImages(images, np.full(n, "qcd"), np.zeros(n, np.int32), np.ones(n), np.zeros(n, np.int32))
try:
    write_events(sys.argv[1], events)
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit of file sizes on this system")
@pytest.mark.parametrize("limit", [500, 60_000, 1_000_000])
def test_full_disk_leaves_nothing_half_written(tmp_path, limit):
    path = tmp_path / "events.h5"
    write_events(path, make_events(3))
    before = path.read_bytes()
    command = [sys.executable, "-c", _FULL_DISK, str(path), str(limit)]
    # Without coverage: its own file would meet the limit as well.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert "events.h5 could not be written" in run.stdout, run.stderr
    assert "expected a writable folder with free space" in run.stdout
    assert "Traceback" not in run.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["events.h5"]
    assert path.read_bytes() == before


def test_parts_are_on_disk_before_the_next_is_asked_for(tmp_path):
    """No more than a slice is held: the temporary file grows with the parts."""
    sizes = []

    def parts():
        for seed in range(4):
            sizes.append(sum(p.stat().st_size for p in tmp_path.rglob("*.h5")))
            yield make_events(300, seed)

    write_events(tmp_path / "events.h5", parts())
    a_part = (tmp_path / "events.h5").stat().st_size / 4
    assert all(later - earlier > 0.5 * a_part for earlier, later in itertools.pairwise(sizes[1:]))


def test_a_part_that_fails_leaves_nothing(tmp_path):
    def parts():
        yield make_events(300)
        raise InputError("a bad part", "a good one", "repair it")

    with pytest.raises(InputError, match="a bad part"):
        write_events(tmp_path / "events.h5", parts())
    assert list(tmp_path.iterdir()) == []
