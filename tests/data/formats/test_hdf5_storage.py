"""Whether the content of HDF5 datasets is there: series and selections without end, places of sources, raw data."""

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._hdf5 import find
from codae_l1.data.formats._hdf5_storage import require_source

ENDLESS = h5py.h5s.UNLIMITED
CONTENT = np.arange(1.0, 11.0)


def stored(path):
    """The dataset as it is read, once its content is known to be there."""
    with h5py.File(path) as file:
        return find(file, "d", "numbers")[:].tolist()


def write(path, content, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("d", data=content, **options)
    return path


def joined(path, *sources, shape=(0,)):
    """A virtual dataset of (selection of it, file, dataset, selection of the source): (start, stride, count, block)."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    for place, file, inside, taken in sources:
        spaces = []
        for selection in (place, taken):
            space = h5py.h5s.create_simple(shape, (ENDLESS,))
            if isinstance(selection, int):
                space = h5py.h5s.create_simple((selection,))
            else:
                start, stride, count, block = selection
                space.select_hyperslab((start,), (count,), (stride,), (block,))
            spaces.append(space)
        layout.set_virtual(spaces[0], file.encode(), inside.encode(), spaces[1])
    with h5py.File(path, "w") as file:
        space = h5py.h5s.create_simple(shape, (ENDLESS,))
        h5py.h5d.create(file.id, b"d", h5py.h5t.IEEE_F64LE, space, layout)
    return path


@pytest.mark.parametrize("block", [1, 2])
def test_endless_selections_of_sources_that_end_early_are_refused(tmp_path, block):
    turns = CONTENT[:8].reshape(-1, 2, block)
    even, odd = (
        write(tmp_path / name, turns[:, i].ravel(), maxshape=(None,)) for i, name in enumerate(("e.h5", "o.h5"))
    )
    every = (0, 1, ENDLESS, 1)
    path = joined(
        tmp_path / "all.h5",
        ((0, 2 * block, ENDLESS, block), "e.h5", "d", every),
        ((block, 2 * block, ENDLESS, block), "o.h5", "d", every),
    )
    assert stored(path) == CONTENT[:8].tolist()
    # The longer source alone says how long the whole is: one that ends within its last turn is right.
    for file, left in ((odd, 4 - block), (odd, 1), (even, 4 - 2 * block)):
        with h5py.File(file, "r+") as opened:
            before = opened["d"][:]
            opened["d"].resize((left,))
        with h5py.File(path) as opened:
            expected = opened["d"][:].tolist()
        if 0.0 in expected:
            with pytest.raises(
                InputError, match=rf"all.h5: d needs \d numbers of d in .*{file.name}, of shape \({left},"
            ):
                stored(path)
        else:
            assert stored(path) == expected == CONTENT[: len(expected)].tolist()
        with h5py.File(file, "r+") as opened:
            opened["d"].resize((4,))
            opened["d"][:] = before


def test_the_end_of_an_endless_block_and_of_a_source_with_steps(tmp_path):
    write(tmp_path / "s.h5", np.repeat(CONTENT, 3)[1:], maxshape=(None,))
    path = joined(tmp_path / "all.h5", ((0, 1, 1, ENDLESS), "s.h5", "d", (0, 3, ENDLESS, 1)))
    assert stored(path) == CONTENT.tolist()
    # Half of another source's part is not there.
    write(tmp_path / "t.h5", CONTENT[:5], maxshape=(None,))
    every = (0, 1, ENDLESS, 1)
    parts = ((0, 2, ENDLESS, 1), "t.h5", "d", every), ((1, 2, ENDLESS, 1), "s.h5", "d", (0, 3, ENDLESS, 1))
    with pytest.raises(InputError, match=r"needs 10 numbers of d in .*t.h5, of shape \(5,\)"):
        stored(joined(tmp_path / "all.h5", *parts))


def test_all_files_of_an_endless_series_are_needed(tmp_path):
    for i in range(3):
        write(tmp_path / f"50%_{i}.h5", CONTENT[2 * i : 2 * i + 2])
    path = joined(tmp_path / "all.h5", ((0, 2, ENDLESS, 2), "50%%_%b.h5", "d", 2))
    assert stored(path) == CONTENT[:6].tolist()
    (tmp_path / "50%_1.h5").rename(tmp_path / "else.h5")
    with pytest.raises(
        InputError, match=r"all.h5: d ends before 50%_1.h5, which is not there, though 50%_2.h5 is; exp"
    ):
        stored(path)
    (tmp_path / "50%_0.h5").rename(tmp_path / "50%_1.h5")
    with pytest.raises(InputError, match=r"all.h5: d is put together from 50%_0.h5, which is not there"):
        stored(path)


def test_all_datasets_of_an_endless_series_are_needed(tmp_path):
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for i in (0, 1, 3):
            file[f"g/part{i}"] = CONTENT[2 * i : 2 * i + 2]
    path = joined(tmp_path / "all.h5", ((0, 2, ENDLESS, 2), "s.h5", "g/part%b", 2))
    with pytest.raises(InputError, match=r"all.h5: d ends before g/part2, which is not there, though g/part3 is"):
        stored(path)
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file["g/part2"] = CONTENT[4:6]
    assert stored(path) == CONTENT[:8].tolist()


def test_series_in_turn_of_which_one_ends_early(tmp_path):
    for name, i in (("a0", 0), ("b0", 1), ("a1", 2), ("b1", 3)):
        write(tmp_path / f"{name}.h5", CONTENT[2 * i : 2 * i + 2])
    parts = ((0, 4, ENDLESS, 2), "a%b.h5", "d", 2), ((2, 4, ENDLESS, 2), "b%b.h5", "d", 2)
    path = joined(tmp_path / "all.h5", *parts)
    assert stored(path) == CONTENT[:8].tolist()
    (tmp_path / "b1.h5").unlink()
    assert stored(path) == CONTENT[:6].tolist()
    write(tmp_path / "b1.h5", CONTENT[6:8])
    (tmp_path / "a1.h5").unlink()
    with pytest.raises(InputError, match=r"all.h5: d is put together from a1.h5, which is not there"):
        stored(path)
    write(tmp_path / "a1.h5", CONTENT[:1])
    with pytest.raises(InputError, match=r"d needs 2 numbers of d in .*a1.h5, of shape \(1,\)"):
        stored(path)


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("source", ["{folder}/absolute/s.h5", "s.h5", "sub/s.h5"])
def test_sources_are_looked_for_where_hdf5_does(tmp_path, monkeypatch, source, link):
    source = source.format(folder=tmp_path)
    path = tmp_path / "beside" / "all.h5"
    for folder in ("beside", "real", "work"):
        (tmp_path / folder).mkdir()
    with h5py.File(tmp_path / "real" / "all.h5", "w") as file:
        if link:
            file["d"] = h5py.ExternalLink(source, "d")
        else:
            layout = h5py.VirtualLayout((10,), "f8")
            layout[:] = h5py.VirtualSource(source, "d", (10,))
            file.create_virtual_dataset("d", layout)
    path.symlink_to(tmp_path / "real" / "all.h5")
    monkeypatch.chdir(tmp_path / "work")
    places = ["absolute", *(f"{folder}{sub}" for folder in ("beside", "work", "real") for sub in ("", "/sub"))]
    for i, place in enumerate(places):
        write(tmp_path / place / "s.h5", CONTENT + i)
    found = []
    # Whichever HDF5 reads first is taken away, until it finds none: a link leads nowhere, a virtual dataset is zeros.
    while True:
        with h5py.File(path) as file:
            first = (file.get("d") or [0.0])[0]
        if not first:
            break
        place = places[int(first) - 1]
        found.append(place)
        if source.startswith("/") and place == "work":
            # Any file may have that last name in the working directory.
            other = (
                rf"all.h5: d is put together from {source}, which is not there; HDF5 would take {tmp_path}/work/s.h5, a"
            )
            with pytest.raises(
                InputError, match=rf"{other}nother file of that name in the working directory; expected"
            ):
                stored(path)
            (tmp_path / "work" / "s.h5").unlink()
            continue
        ours = require_source(str(path), "d", source, "HDF5_VDS_PREFIX")
        assert ours.samefile(tmp_path / place / "s.h5")
        assert stored(path) == (CONTENT + first - 1).tolist()
        ours.unlink()
    assert len(found) == (4 if source.startswith("/") else 3)
    with pytest.raises(InputError, match=r"all.h5: d is put together from .*s.h5, which is not there"):
        stored(path)


def test_a_source_beside_the_file_is_read_from_its_folder_as_well(tmp_path, monkeypatch):
    write(tmp_path / "s.h5", CONTENT)
    with h5py.File(tmp_path / "all.h5", "w") as file:
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource("/gone/s.h5", "d", (10,))
        file.create_virtual_dataset("d", layout)
    for folder, path in ((tmp_path, "all.h5"), (tmp_path.parent, tmp_path / "all.h5")):
        monkeypatch.chdir(folder)
        assert stored(path) == CONTENT.tolist()


def test_raw_data_in_pieces(tmp_path):
    raw = tmp_path / "raw.bin"
    CONTENT.tofile(raw)
    whole = [(raw, 0, 40), (raw, 40, ENDLESS)]
    # None of the third is read, since the second reaches beyond the dataset.
    longer = [(raw, 0, 40), (raw, 40, 400), (tmp_path / "gone.bin", 0, 80)]
    for pieces in (whole, longer):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.create_dataset("d", (10,), "f8", external=pieces)
        assert stored(tmp_path / "a.h5") == CONTENT.tolist()
        raw.write_bytes(CONTENT.tobytes()[:79])
        with pytest.raises(InputError, match=r"a.h5: d needs 80 bytes of .*raw.bin, which is shorter"):
            stored(tmp_path / "a.h5")
        CONTENT.tofile(raw)
    # Raw data are not looked for by their last name.
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("d", (10,), "f8", external=[(tmp_path / "elsewhere" / "raw.bin", 0, ENDLESS)])
    with pytest.raises(InputError, match=r"d is put together from .*elsewhere/raw.bin, which is not there"):
        stored(tmp_path / "a.h5")
