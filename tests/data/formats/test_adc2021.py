"""ADC2021 files, written with h5py as the challenge's were: objects, slices, bad files."""

import tracemalloc

import h5py
import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats import slices
from codae_l1.data.formats.adc2021 import ROW_CLASS, _object_slices


def make_objects(n=30, seed=0):
    rng = np.random.default_rng(seed)
    objects = np.stack(
        [*rng.exponential(30, (1, n, 19)), *rng.normal(0, 1, (2, n, 19)), np.tile(ROW_CLASS, (n, 1))], -1
    )
    objects[rng.random((n, 19)) < 0.5] = 0
    # Each kind falling in pT, what is not there last.
    for kind in np.unique(ROW_CLASS):
        rows = np.flatnonzero(kind == ROW_CLASS)
        order = np.argsort(-objects[:, rows, 0], axis=1)
        objects[:, rows] = np.take_along_axis(objects[:, rows], order[..., None], axis=1)
    return objects


def write(path, objects, name="Particles"):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=objects, compression="gzip")
        file["Particles_Names"] = np.array([b"Pt", b"Eta", b"Phi", b"Class"])
        file["Particles_Classes"] = np.array(
            [b"MET_class_1", b"Four_Ele_class_2", b"Four_Mu_class_3", b"Ten_Jet_class_4"]
        )
    return path


def test_objects_in_slices(tmp_path):
    objects = make_objects()
    path = write(tmp_path / "adc.h5", objects)
    parts = list(_object_slices(path, 12))
    assert [len(part) for part in parts] == [12, 12, 6]
    assert np.array_equal(np.concatenate(parts), objects)
    assert parts[0].dtype == np.float64


def test_missing_momentum_of_zero_is_one(tmp_path):
    objects = make_objects()
    objects[3, 0] = 0, 0, 0.5, 1
    assert np.array_equal(next(_object_slices(write(tmp_path / "adc.h5", objects))), objects)


def test_weights_are_said_not_to_be_used(tmp_path):
    path, told = write(tmp_path / "adc.h5", make_objects()), []
    with h5py.File(path, "r+") as file:
        file["weights"] = np.arange(30.0)
    # Who takes the first events alone is told, too.
    next(slices(path, 12, label="qcd", tell=told.append))
    assert told == [f"{path}: weights is not used: each event has the weight 1"]


def test_events_without_objects_are_said(tmp_path):
    objects = make_objects()
    objects[3:12] = 0
    empty, told = int((~objects.any(axis=(1, 2))).sum()), []
    list(slices(write(tmp_path / "adc.h5", objects), label="qcd", tell=told.append))
    assert empty >= 9
    assert told == [f"{tmp_path / 'adc.h5'}: {empty} of 30 events are empty, without objects"]


@pytest.mark.parametrize("names", [("Pt", "Phi", "Eta", "Class"), ("Pt", "Eta", "Phi")])
def test_columns_that_have_other_names_are_refused(tmp_path, names):
    objects = make_objects()
    path = write(tmp_path / "adc.h5", objects)
    with h5py.File(path, "r+") as file:
        del file["Particles_Names"]
        file["Particles_Names"] = np.array(names, "S")
    with pytest.raises(InputError, match=rf"Particles with the columns {', '.join(names)}; expected Pt, Eta, Phi, Cl"):
        list(_object_slices(path))
    with h5py.File(path, "r+") as file:
        del file["Particles_Names"]
        file["Particles_Names"] = ["pT", "eta", "phi", "class"]
    assert np.array_equal(next(_object_slices(path)), objects)


def test_memory_stays_below_the_file(tmp_path):
    objects = np.tile(make_objects(1000), (20, 1, 1))
    path = write(tmp_path / "adc.h5", objects)
    tracemalloc.start()
    assert sum(len(part) for part in _object_slices(path, 1000)) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * objects.nbytes


def bad(row, column, value):
    objects = make_objects()
    objects[17, row, column] = value
    return objects


@pytest.mark.parametrize(
    ("objects", "name", "words"),
    [
        (bad(3, 1, np.nan), "Particles", "Particles with nan in event 17; expected finite numbers"),
        (bad(3, 0, -1.0), "Particles", "pT in Particles with -1 in event 17; expected finite numbers >= 0"),
        (bad(3, 1, 1e300), "Particles", r"\|eta\| > 10 in row 3 of event 17; expected pT \[GeV\], eta, phi, class"),
        (bad(3, 2, -40.0), "Particles", r"\|phi\| > 2 pi in row 3 of event 17"),
        (bad(slice(None), slice(None), [5.0, 0, 0, 0]), "Particles", "pT > 0 of class 0 in row 0 of event 17"),
        (bad(5, 3, 2.0), "Particles", "class 2 in row 5 of event 17; expected 3, or 0 where there is no object"),
        (
            bad(slice(10, 12), slice(None), [[5.0, 0, 0, 4], [6.0, 0, 0, 4]]),
            "Particles",
            "a pT above that of the object before in row 11 of event 17",
        ),
        *(
            (
                bad(slice(5, 9), slice(None), [[0.0, *rest]] * 4),
                "Particles",
                "an angle or a class, but pT 0, in row 5 of event 17; expected pT",
            )
            for rest in ([0.5, 0, 0], [0, -0.5, 0], [0, 0, 3])
        ),
        (make_objects()[:, :18], "Particles", r"Particles of shape \(30, 18, 4\).*numbers of shape \(N, 19, 4\)"),
        (make_objects(), "Data", "without the dataset Particles; expected ADC2021's HDF5"),
    ],
)
def test_bad_content_is_named(tmp_path, objects, name, words):
    with pytest.raises(InputError, match=words):
        list(_object_slices(write(tmp_path / "bad.h5", objects, name), 8))


class TestAdc2021(FormatTestBase):
    name = "adc2021"

    def write(self, path, n):
        return write(path, make_objects(n))

    def write_other(self, path):
        return write(path, make_objects()[:, :18])
