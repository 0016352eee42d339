"""The top-tagging reference's layout, written by pandas and PyTables: columns, coordinates, images, bad files."""

import pickle
import sys
import tracemalloc

import h5py
import numpy as np
import pytest
from format_base import FormatTestBase

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._top_tagging import COARSE, FINE, JetImageConfig, align, jet_images, jet_slices, relative
from codae_l1.data.formats.tables import write_jets

pandas = pytest.importorskip("pandas")
pytest.importorskip("tables")


def make_jets(n=20, seed=0):
    """Constituents (n, 200, 4): massless, hardest first, zero-padded; labels (n,)."""
    rng = np.random.default_rng(seed)
    pt = np.sort(rng.exponential(10, (n, 200)), axis=1)[:, ::-1] * (np.arange(200) < rng.integers(20, 200, n)[:, None])
    eta = rng.normal(0, 0.2, (n, 200)) + rng.uniform(-2, 2, (n, 1))
    phi = rng.normal(0, 0.2, (n, 200)) + rng.uniform(-np.pi, np.pi, (n, 1))
    momenta = [pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    return np.stack(momenta, axis=-1).astype(np.float32), rng.integers(0, 2, n)


def frame_of(constituents, labels):
    """The reference's columns: float32 of the constituents and the truth, and two integers; ttv is never a label."""
    names = [f"{component}_{i}" for i in range(constituents.shape[1]) for component in ("E", "PX", "PY", "PZ")]
    names += ["truthE", "truthPX", "truthPY", "truthPZ"]
    floats = np.column_stack([constituents.reshape(len(labels), -1), np.zeros((len(labels), 4), np.float32)])
    integers = {"ttv": 1 - labels.astype(np.int64), "is_signal_new": labels.astype(np.int64)}
    return pandas.concat([pandas.DataFrame(floats, columns=names), pandas.DataFrame(integers)], axis=1)


def write(path, constituents, labels, **options):
    """As the reference set was written: a pandas table."""
    frame_of(constituents, labels).to_hdf(path, key="table", format="table", **options)
    return path


@pytest.mark.parametrize("options", [{}, {"complib": "zlib", "complevel": 5}, {"complib": "blosc", "complevel": 5}])
def test_the_jets_of_a_pandas_table(tmp_path, options):
    constituents, labels = make_jets()
    path = write(tmp_path / "jets.h5", constituents, labels, **options)
    parts = list(jet_slices(path, 7))
    assert [len(part) for part in parts] == [7, 7, 6]
    assert np.array_equal(np.concatenate([p.constituents for p in parts]), constituents)
    assert np.array_equal(np.concatenate([p.is_signal for p in parts]), labels == 1)
    assert parts[0].constituents.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda frame: frame[[*frame.columns[:-2], "is_signal_new", "ttv"]], {}),
        (lambda frame: frame[sorted(frame.columns)], {}),
        (lambda frame: frame[[c for c in frame.columns if not c.startswith("truth")]], {}),
        (lambda frame: frame.assign(mass=np.float32(80), n=np.int64(3)), {}),
        (lambda frame: frame.astype({"E_0": np.float64, "PX_5": np.float64, "is_signal_new": np.int8}), {}),
        (lambda frame: frame, {"data_columns": ["is_signal_new", "E_3"]}),
        (lambda frame: frame.astype({"is_signal_new": np.float32, "ttv": np.float32}), {}),
    ],
)
@pytest.mark.parametrize("n_constituents", [200, 20])
def test_columns_are_found_by_name(tmp_path, change, options, n_constituents):
    constituents, labels = make_jets()
    constituents = constituents[:, :n_constituents]
    frame = change(frame_of(constituents, labels))
    frame.to_hdf(tmp_path / "jets.h5", key="table", format="table", **options)
    parts = list(jet_slices(tmp_path / "jets.h5", 7))
    assert np.array_equal(np.concatenate([p.constituents for p in parts]), constituents)
    assert np.array_equal(np.concatenate([p.is_signal for p in parts]), labels == 1)


def drop(*names):
    return lambda path: frame_of(*make_jets()).drop(columns=[*names]).to_hdf(path, key="table", format="table")


def unnamed(path, floats, **changes):
    """A table without names: 2 jets of one constituent each."""
    table = np.zeros(2, [("values_block_0", "f4", (floats,)), ("values_block_1", "i8", (2,))])
    table["values_block_0"][:, :4] = 5, 3, 4, 0
    table["values_block_1"][1, 0] = changes.pop("ttv", 0)
    for column, value in changes.items():
        table["values_block_0"][1, int(column[1:])] = value
    with h5py.File(path, "w") as file:
        file["table/table"] = table


def pickled(path, content):
    frame_of(*make_jets()).to_hdf(path, key="table", format="table")
    with h5py.File(path, "r+") as file:
        file["table/table"].attrs["values_block_1_kind"] = np.bytes_(pickle.dumps(content, 0))


def test_a_table_without_names_has_the_layout_of_the_reference(tmp_path):
    unnamed(tmp_path / "jets.h5", 804)
    [jets] = jet_slices(tmp_path / "jets.h5")
    assert jets.constituents.shape == (2, 200, 4)
    assert jets.constituents[:, 0].tolist() == [[5, 3, 4, 0]] * 2


def anonymous(path, truth=True, order=("constituents", "truth"), labels=("ttv", "is_signal_new")):
    """A table without names: 20 jets, half of them tops with the top quark's four-vector, columns in an order."""
    constituents, is_signal = make_jets()
    parts = {"constituents": constituents.reshape(20, 800), "truth": np.zeros((20, 4), np.float32)}
    if truth:
        parts["truth"][is_signal == 1] = np.hypot(173, 600), 600, 0, 0
    integers = {"ttv": np.arange(20) % (2 if truth else 3), "is_signal_new": is_signal}
    table = np.zeros(20, [("values_block_0", "f4", (804,)), ("values_block_1", "i8", (2,))])
    table["values_block_0"] = np.concatenate([parts[name] for name in order], axis=1)
    table["values_block_1"] = np.column_stack([integers[name] for name in labels])
    with h5py.File(path, "w") as file:
        file["table/table"] = table
    return constituents, is_signal == 1


@pytest.mark.parametrize(("truth", "said"), [(True, "jets are signal"), (False, "is_signal_new could be exchanged")])
def test_columns_without_names_are_said(tmp_path, truth, said):
    constituents, is_signal = anonymous(tmp_path / "jets.h5", truth)
    lines = []
    parts = list(jet_slices(tmp_path / "jets.h5", 6, lines.append))
    assert np.array_equal(np.concatenate([part.constituents for part in parts]), constituents)
    assert np.array_equal(np.concatenate([part.is_signal for part in parts]), is_signal)
    assert [line.endswith(said) for line in lines] == [True]
    assert f"{is_signal.sum()} of 20 jets are signal" in lines[0]
    # Who takes the first jets alone is told of those.
    next(iter(jet_slices(tmp_path / "jets.h5", 6, lines.append)))
    assert f"{is_signal[:6].sum()} of 6 jets are signal" in lines[1]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: anonymous(p, order=("truth", "constituents")), r"with a (gap among|constituent of 173 GeV)"),
        (
            lambda p: anonymous(p, labels=("is_signal_new", "ttv")),
            r"jet \d+ with(out)? a top quark, but is_signal_new = ",
        ),
        (lambda p: anonymous(p, False, labels=("is_signal_new", "ttv")), "is_signal_new = 2 of jet 2"),
        # Of signals alone: the first constituent is a top quark.
        (lambda p: unnamed(p, 804, c0=624, c1=600, c2=0, c4=5, c5=3), "jet 1 with a constituent of 171 GeV of mass"),
        (lambda p: unnamed(p, 804, c4=10, c5=6, c6=8), "jet 1 with a constituent harder than the one before"),
        (lambda p: unnamed(p, 804, c800=5, c801=3, c802=4), "jet 1 with 0 GeV as its top quark's mass"),
        (lambda p: unnamed(p, 804, c800=np.nan), "jet 1 with a top quark that is no number"),
        (lambda p: unnamed(p, 804, c800=200, c801=100), "jet 1 with a top quark, but is_signal_new = 0"),
        (lambda p: unnamed(p, 804, ttv=3), "jet 1 with ttv = 3, in columns without names; expected 0, 1 or 2"),
    ],
)
def test_columns_without_names_that_cannot_be_right_are_refused(tmp_path, make, words):
    make(tmp_path / "jets.h5")
    with pytest.raises(InputError, match=words) as error:
        list(jet_slices(tmp_path / "jets.h5"))
    assert len(str(error.value)) <= 500


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            drop("is_signal_new"),
            r"bad.h5: table/table without the column is_signal_new; expected E_i, PX_i, PY_i, PZ_i",
        ),
        (drop("PY_7"), r"without the column PY_7; .* of i = 0 to 199, and is_signal_new; give the columns"),
        (drop("E_7"), r"without the column E_7;"),
        (drop("E_199"), r"without the column E_199;"),
        (lambda path: unnamed(path, 800), r"values_block_0 float32\[800\], .* expected values_block_0 of 804 floats"),
        (lambda path: unnamed(path, 604), r"values_block_0 float32\[604\]"),
        # As if E of all constituents came first.
        (lambda path: unnamed(path, 804, c0=5, c1=40), r"jet 1 with an energy below \|p\|, in columns without names"),
        # As if the top quark's four-vector came first, which is zero for QCD.
        (
            lambda path: unnamed(path, 804, c0=0, c1=0, c2=0, c4=5, c5=3, c6=4),
            r"jet 1 with a gap among its constituents, in columns without names",
        ),
        (lambda path: unnamed(path, 804, c0=-5), r"energy of constituents with -5 in event 1"),
        (lambda path: unnamed(path, 804, c1=0, c2=0, c3=1), r"jet 1 without a constituent of pT > 0"),
        (lambda path: pickled(path, ["ttv"]), r"values_block_1 of shape \(2,\) with 1 names, 1 of them different"),
        (lambda path: pickled(path, ["ttv", "E_0"]), r"values_block_1 of shape \(2,\) with 2 names"),
        # What would run a function is not run.
        (lambda path: pickled(path, [print, "ttv"]), r"values_block_1 of shape \(2,\) with unreadable names"),
    ],
)
def test_columns_that_are_not_the_references_are_named(tmp_path, make, words):
    make(tmp_path / "bad.h5")
    with pytest.raises(InputError, match=words):
        list(jet_slices(tmp_path / "bad.h5"))


def test_momenta_beyond_float32_are_refused(tmp_path):
    constituents, labels = make_jets()
    frame = frame_of(constituents, labels).astype({"E_0": np.float64})
    frame.loc[3, "E_0"] = 1e39
    frame.to_hdf(tmp_path / "jets.h5", key="table", format="table")
    with pytest.raises(InputError, match="constituents as float32 with inf in event 3"):
        list(jet_slices(tmp_path / "jets.h5"))


def test_memory_stays_below_the_file(tmp_path):
    constituents, labels = make_jets(3000)
    path = write(tmp_path / "jets.h5", constituents, labels, complib="zlib", complevel=1)
    tracemalloc.start()
    assert sum(len(jets) for jets in jet_slices(path, 256)) == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.4 * constituents.nbytes


def test_relative_coordinates_of_a_jet_counted_by_hand():
    eta, phi, pt = np.array([1.0, 1.2]), np.array([3.1, -3.1]), np.array([60.0, 20.0])
    momenta = [pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]
    jet = np.zeros((1, 200, 4))
    jet[0, :2] = np.stack(momenta, axis=-1)
    x, y, z = (m.sum() for m in momenta[1:])
    found = relative(jet)[0]
    for i in range(2):
        around = phi[i] - np.arctan2(y, x)
        around -= 2 * np.pi * np.round(around / (2 * np.pi))
        expected = [eta[i] - np.arcsinh(z / np.hypot(x, y)), around, pt[i] / np.hypot(x, y)]
        assert found[i] == pytest.approx(expected, abs=1e-6)
    # Across the seam at pi, not around the detector.
    assert np.abs(found[:, 1]).max() < 0.1
    assert not found[2:].any()
    assert not relative(np.zeros((1, 200, 4))).any()


def test_images_are_shares_of_pt_in_pixels():
    coordinates = np.array([[[0.05, -0.05, 3.0], [-0.8, 0.79, 1.0], [0.8, 0.0, 9.0], [0.0, -0.81, 9.0], [0, 0, 0]]])
    image = jet_images(coordinates)
    assert image.shape == (1, 16, 16)
    assert image[0, 8, 7] == 0.75
    assert image[0, 0, 15] == 0.25
    assert image.sum() == 1.0
    assert not jet_images(np.zeros((2, 5, 3))).any()
    assert (COARSE.bins, COARSE.pixel_eta, FINE.bins, FINE.pixel_eta, FINE.pixel_phi) == (16, 0.1, 40, 0.029, 0.035)


def test_aligned_jets_are_centred_turned_and_flipped():
    rng = np.random.default_rng(3)
    jets = np.stack([rng.normal(0, 0.3, (50, 30)), rng.normal(0, 0.1, (50, 30)), rng.random((50, 30))], axis=-1)
    eta, phi, weight = np.moveaxis(align(jets), -1, 0)
    for x in (eta, phi):
        assert (weight * x).sum(axis=1) == pytest.approx(np.zeros(50), abs=1e-12)
        assert ((weight * np.sign(x)).sum(axis=1) >= 0).all()
    assert (weight * eta * phi).sum(axis=1) == pytest.approx(np.zeros(50), abs=1e-12)
    assert ((weight * phi**2).sum(axis=1) >= (weight * eta**2).sum(axis=1)).all()
    assert (weight == jets[..., 2]).all()


def test_an_aligned_image_does_not_see_rotation_reflection_or_shift():
    rng = np.random.default_rng(4)
    jet = np.stack([rng.normal(0, 0.2, 40), rng.normal(0, 0.1, 40), rng.random(40)], axis=-1)[None]
    turned = jet.copy()
    turned[..., 0] = 0.07 + np.cos(1.1) * jet[..., 0] - np.sin(1.1) * jet[..., 1]
    turned[..., 1] = -0.02 - np.sin(1.1) * jet[..., 0] - np.cos(1.1) * jet[..., 1]
    assert align(turned) == pytest.approx(align(jet), abs=1e-12)
    assert np.array_equal(jet_images(turned, FINE), jet_images(jet, FINE))
    plain = JetImageConfig(40, 0.029, 0.035)
    assert not np.array_equal(jet_images(turned, plain), jet_images(jet, plain))


def other_table(path):
    frame = pandas.DataFrame({"pt": np.ones(3), "n": np.ones(3, np.int64)})
    frame.to_hdf(path, key="table", format="table")


def other_group(path):
    with h5py.File(path, "w") as file:
        file["jets"] = np.zeros((3, 4))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (other_table, r"table/table with values_block_0 float64\[1\].*expected values_block_0 of 804 floats"),
        (other_group, "without the dataset table/table; expected the top-tagging reference's HDF5"),
        (lambda path: path.write_bytes(b"no HDF5" * 99), "bad.h5 is truncated or not HDF5"),
        (lambda path: None, "bad.h5 does not exist; expected the top-tagging reference's HDF5"),
    ],
)
def test_bad_files_are_named(tmp_path, make, words):
    make(tmp_path / "bad.h5")
    with pytest.raises(InputError, match=words):
        list(jet_slices(tmp_path / "bad.h5"))


def test_bad_energy_names_its_jet(tmp_path):
    constituents, labels = make_jets()
    constituents[13, 5, 2] = np.nan
    path = write(tmp_path / "jets.h5", constituents, labels)
    with pytest.raises(InputError, match="constituents with nan in event 13; expected finite numbers"):
        list(jet_slices(path, 6))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda jet: jet * [0, 1, 1, 1], r"constituent 0 of jet 13 with an energy below \|p\|; expected E, px, py and"),
        (lambda jet: jet * [0.99, 1, 1, 1], r"constituent 0 of jet 13 with an energy below \|p\|"),
        (lambda jet: np.minimum(jet, 1e37) * [1, 1, 1, 3], r"constituent \d of jet 13 with an energy below \|p\|"),
    ],
)
def test_what_no_jet_has_is_refused_with_names_too(tmp_path, change, words):
    constituents, labels = make_jets()
    constituents[:, 100:] = 0
    constituents[13] = change(constituents[13])
    path = write(tmp_path / "jets.h5", constituents, labels)
    with pytest.raises(InputError, match=words):
        list(jet_slices(path, 6))


def test_zeros_before_a_constituent_are_said(tmp_path):
    constituents, labels = make_jets()
    constituents[:, 100:] = 0
    before = constituents.copy()
    # In front of all, and among them.
    constituents[13], constituents[2, 4] = np.roll(constituents[13], 1, axis=0), 0
    lines = []
    parts = list(jet_slices(write(tmp_path / "jets.h5", constituents, labels), 6, lines.append))
    assert lines == ["2 of 20 jets have zeros before a constituent, which are taken for none"]
    found = np.concatenate([part.constituents for part in parts])
    assert np.array_equal(found, constituents)
    assert np.array_equal(jet_images(relative(found[13:14])), jet_images(relative(before[13:14])))


def test_energies_that_rounding_has_put_below_the_momentum_are_read(tmp_path):
    constituents, labels = make_jets(200)
    momentum = np.linalg.norm(constituents[..., 1:].astype(float), axis=-1)
    assert (constituents[..., 0] < momentum).sum() > 1000
    # Of half precision as well, and of tables with few decimals.
    half, energies = constituents.astype(np.float16).astype(np.float32), constituents.copy()
    energies[..., 0] = np.round(energies[..., 0], 2)
    for rounded in (constituents, half, energies, np.round(constituents, 1), np.round(constituents, 2)):
        path = write(tmp_path / "jets.h5", rounded, labels)
        assert np.array_equal(np.concatenate([part.constituents for part in jet_slices(path)]), rounded)


@pytest.mark.parametrize("name", ["E_1000000000", f"PX_{'9' * 5000}", "PZ_200"])
def test_a_number_of_a_constituent_that_others_lack_is_refused(tmp_path, name):
    frame = frame_of(*make_jets()).rename(columns={"truthE": name})
    frame.to_hdf(tmp_path / "jets.h5", key="table", format="table")
    with pytest.raises(InputError, match=r"without the column (E|PX)_200; expected E_i, PX_i, PY_i, PZ_i of i = 0 to"):
        list(jet_slices(tmp_path / "jets.h5"))


@pytest.mark.parametrize("tell", [True, False])
def test_columns_of_weights_are_said(tmp_path, tell, caplog):
    frame, lines = frame_of(*make_jets()).rename(columns={"truthE": "weight", "truthPX": "Event_Weights"}), []
    frame.to_hdf(tmp_path / "jets.h5", key="table", format="table")
    list(jet_slices(tmp_path / "jets.h5", 6, lines.append if tell else None))
    said = "weight, Event_Weights are not used: each jet has the weight 1"
    assert (lines, caplog.messages) == (([said], []) if tell else ([], [f"{tmp_path / 'jets.h5'}: {said}"]))


def test_a_label_that_is_neither_is_refused(tmp_path):
    constituents, labels = make_jets()
    labels[11] = 2
    path = write(tmp_path / "jets.h5", constituents, labels)
    with pytest.raises(InputError, match=r"jets.h5: is_signal_new = 2 of jet 11; expected 0 \(QCD\) or 1 \(signal\)"):
        list(jet_slices(path, 6))


def test_without_hdf5plugin_the_message_says_what_to_install(tmp_path, monkeypatch):
    path = write(tmp_path / "jets.h5", *make_jets(), complib="blosc", complevel=5)
    # 32001 is Blosc's number; an earlier test may have registered it for good.
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32001)
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(InputError, match=r"/table/table compressed by blosc; .*pip install hdf5plugin"):
        list(jet_slices(path))


def test_hdf5plugin_does_not_help_with_lzo(tmp_path, monkeypatch):
    path = write(tmp_path / "jets.h5", *make_jets(), complib="zlib", complevel=5)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: False)
    monkeypatch.setattr("codae_l1.data.formats._hdf5._name_of", lambda known: "lzo")
    with pytest.raises(InputError, match=r"compressed by lzo, lzo; .*; repack it where PyTables has LZO: ptrepack"):
        list(jet_slices(path))


class TestTopTagging(FormatTestBase):
    name = "top-tagging"

    def write(self, path, n):
        if not n:
            write_jets(path, [], {})
            return path
        return write(path, *make_jets(n), complib="zlib", complevel=1)

    def write_other(self, path):
        other_table(path)
        return path
