"""Generated jets and objects: physics, layouts as their public readers expect them, one example of each command."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats._top_tagging import jet_slices
from codae_l1.data.formats.adc2021 import _object_slices
from codae_l1.data.generation.config import Work
from codae_l1.data.generation.jets import JetConfig, generate_jets
from codae_l1.data.generation.objects import ObjectConfig, _event_objects, generate_objects

pytestmark = [
    pytest.mark.generate,
    pytest.mark.skipif(
        importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed: pip install -e '.[generate]'"
    ),
]
ROOT = Path(__file__).parents[3]
JETS = JetConfig(n_top=6, n_qcd=4, seed=3, chunk_events=4)


@pytest.fixture(scope="module")
def jets(tmp_path_factory):
    return generate_jets(JETS, tmp_path_factory.mktemp("jets") / "jets.h5", Work(workers=2))


def make_data(*words):
    command = [sys.executable, ROOT / "scripts" / "make_data.py", *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)


def test_pandas_reads_the_jets_as_the_reference_set(jets):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("tables")
    table = pandas.read_hdf(jets, "table")
    assert table.shape == (10, 806)
    assert table.columns[:5].tolist() == ["E_0", "PX_0", "PY_0", "PZ_0", "E_1"]
    assert table.columns[-7:].tolist() == ["PZ_199", "truthE", "truthPX", "truthPY", "truthPZ", "ttv", "is_signal_new"]
    assert table.is_signal_new.sum() == 6
    assert table.ttv.tolist() == [0, 0, 0, 1, 2] * 2
    tops = table[table.is_signal_new == 1]
    mass = np.sqrt(tops.truthE**2 - tops.truthPX**2 - tops.truthPY**2 - tops.truthPZ**2)
    assert ((mass > 150) & (mass < 200)).all()
    assert (table[table.is_signal_new == 0].truthE == 0).all()
    # Slices of rows, which pandas finds by PyTables' own means.
    assert (pandas.read_hdf(jets, "table", start=3, stop=5) == table.iloc[3:5]).all(axis=None)
    [ours] = jet_slices(jets)
    assert (ours.constituents.reshape(10, -1) == table.iloc[:, :800].to_numpy()).all()


def test_jets_are_in_their_window_and_tops_are_heavier(jets):
    [made] = jet_slices(jets)
    total = made.constituents.sum(axis=1, dtype=np.float64)
    pt = np.hypot(total[:, 1], total[:, 2])
    assert ((pt > 545) & (pt < 651)).all()
    assert (np.abs(np.arcsinh(total[:, 3] / pt)) < 2.05).all()
    mass = np.sqrt(total[:, 0] ** 2 - (total[:, 1:] ** 2).sum(axis=1))
    assert np.median(mass[made.is_signal]) > 130 > np.median(mass[~made.is_signal])
    constituent_pt = np.hypot(made.constituents[..., 1], made.constituents[..., 2])
    assert (np.diff(constituent_pt, axis=1) <= 1e-3).all()
    assert len(np.unique(pt)) == 10


def test_jets_on_one_worker_are_the_same_bytes(jets, tmp_path):
    assert generate_jets(JETS, tmp_path / "jets.h5", Work(workers=1)).read_bytes() == jets.read_bytes()


def test_objects_of_the_background(tmp_path):
    config = ObjectConfig(n_events=12, chunk_events=6)
    path = generate_objects(config, tmp_path / "background.h5", Work(workers=1))
    with h5py.File(path) as file:
        assert file["Particles"].shape == (12, 19, 4)
        assert file["Particles_Names"][:].tolist() == [b"Pt", b"Eta", b"Phi", b"Class"]
    [objects] = _object_slices(path)
    pt, eta = objects[..., 0], np.abs(objects[..., 1])
    assert (np.maximum(pt[:, 1], pt[:, 5]) > 23).all()
    for first, last, least, edge in ((1, 5, 3, 2.5), (5, 9, 3, 2.1), (9, 19, 15, 4)):
        mine = pt[:, first:last]
        assert (np.diff(mine, axis=1) <= 0).all()
        assert ((mine == 0) | (mine > least)).all()
        assert (eta[:, first:last] <= edge).all()


def test_objects_are_ordered_and_leptons_are_no_jets():
    class Jets:
        def jets(self, candidates):
            return np.array([[80.0, 1.0, 1.0], [31.0, -1.0, 3.1], [20.0, 2.0, -1.0]])

    electrons, muons = np.array([[5.0, 0.3, 0.3]]), np.array([[4.0, 2.0, 2.0], [30.0, -1.0, -3.1]])
    candidates = np.array([[30.0, 0.0, 0.0], [40.0, 1.0, np.pi / 2]])
    objects = _event_objects(candidates, electrons, muons, Jets())
    assert objects[0] == pytest.approx([50, 0, np.arctan2(-40, -30), 1])
    assert objects[1].tolist() == [5.0, 0.3, 0.3, 2]
    assert objects[5:7, 0].tolist() == [30.0, 4.0]
    # The jet of 31 GeV is the muon of 30 GeV, found across the seam of phi.
    assert objects[9:12, 0].tolist() == [80.0, 20.0, 0.0]
    assert objects[9:12, 3].tolist() == [4, 4, 0]


def test_commands_as_documented(tmp_path):
    words = "--layout adc2021 --kind a-4l --n-events 3 --workers 1 --out {}"
    run = make_data(*words.format(tmp_path / "signal.h5").split())
    assert run.returncode == 0, run.stderr
    [objects] = _object_slices(tmp_path / "signal.h5")
    assert len(objects) == 3
    assert ((objects[:, 1:9, 0] > 0).sum(axis=1) >= 1).all()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--layout adc2021 --kind b-4l --out x.h5", "generation.kind = 'b-4l'; expected one of 'background', 'a-4l'"),
        ("--layout top-tagging --n-top 0 --n-qcd 0 --out x.h5", "a sample of no jets; expected at least one"),
        ("--layout top-tagging --n-top 5", "--n-top without --out"),
        ("--layout crossings --out x.txt", "--out x.txt; expected a name that ends with .h5 or .hdf5"),
        ("--workers 2 --scheduler tcp://x:1 --out x.h5", "--workers with --scheduler; expected one of them"),
    ],
)
def test_command_line_names_what_is_wrong(words, expected):
    run = make_data(*words.split())
    assert run.returncode == 2
    assert expected in run.stderr
    assert run.stderr.strip().count("\n") == 0


def test_windows_upside_down_are_refused():
    with pytest.raises(InputError, match=r"generation.pt_max_gev = 500.0; expected more than pt_min_gev"):
        JetConfig(pt_max_gev=500.0)
    with pytest.raises(InputError, match=r"generation.n_events = 0; expected a value >= 1"):
        ObjectConfig(n_events=0)
