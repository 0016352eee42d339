"""HDF5 on a disk that fills up: one line, whatever was being written, and no half file."""

import subprocess
import sys

import pytest

pytest.importorskip("resource")
_TEXTS = """
import resource, signal, sys
import numpy as np
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import new_hdf5

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import h5py
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), before[1]))
try:
    with new_hdf5(sys.argv[1]) as file:
        # Texts lie in a heap of the file, which HDF5 reads back while it writes.
        file["words"] = np.arange(4000)
        for name in ("signal", "file"):
            file[name] = np.array(["qcd", "h125"] * 2000).astype(h5py.string_dtype())
        file.create_dataset("packed", data=np.random.rand(4000), compression="gzip", chunks=(100,))
except InputError as error:
    print(error)
# What measures the coverage of this process writes when it ends.
resource.setrlimit(resource.RLIMIT_FSIZE, before)
"""


@pytest.mark.parametrize("limit", [100, 4096, 40_000, 150_000])
def test_texts_and_packed_numbers_on_a_full_disk_are_one_line(tmp_path, limit):
    command = [sys.executable, "-c", _TEXTS, str(tmp_path / "s.h5"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "s.h5 could not be written" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
