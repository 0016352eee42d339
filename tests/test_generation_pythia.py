"""Whole generation with Pythia 8, tiny: number of workers, resume, seeds, provenance, the command line."""

import importlib.util
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.config import parse
from codae_l1.data.errors import InputError
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.generation.generate import generate
from codae_l1.data.splits import split_of
from codae_l1.data.store import EventFile
from codae_l1.scripts.make_data import configuration

pytestmark = [
    pytest.mark.generate,
    pytest.mark.skipif(
        importlib.util.find_spec("pythia8mc") is None, reason="pythia8mc is not installed: pip install -e '.[generate]'"
    ),
]

TINY = GenerationConfig(
    n_qcd=4,
    n_signal=2,
    processes=("qcd", "h1000", "svj4100"),
    seed=7,
    pileup_blocks=20,
    pileup_block_size=2,
    chunk_events=2,
)


ROOT = Path(__file__).parents[1]


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny sample made undisturbed by one worker."""
    return generate(TINY, tmp_path_factory.mktemp("tiny") / "events.h5", workers=1, command="made in a test")


def checksum(path):
    with EventFile(path) as file:
        file.verify()
        return file.checksum


def test_content_and_splits(tiny):
    with EventFile(tiny) as file:
        events = file.read()
        signal, split = events.signal, split_of(file.pileup_block)
        assert signal.tolist() == ["qcd"] * 4 + ["h1000"] * 2 + ["svj4100"] * 2
        assert split[4:].tolist() == ["test"] * 4
        assert file.pileup_block[:4].tolist() == [0, 1, 2, 3]
        assert (file.n_tracks > 20).all()
        assert ((events.images[..., 0] > 0).sum(axis=(1, 2)) <= file.n_tracks).all()
        # Weighted back to the falling spectrum; signals count one each.
        assert len(np.unique(file.weight[:4])) == 4
        assert (file.weight[4:] == 1).all()


def test_provenance_says_how_it_was_made(tiny):
    with EventFile(tiny) as file:
        made = file.provenance
    assert parse(GenerationConfig, made["config"]) == TINY
    assert made["command"] == "made in a test"
    assert made["versions"]["pythia8mc"] == "8.317.2"
    assert made["processes"]["qcd"]["accepted"] == 4
    assert made["processes"]["qcd"]["tried"] >= 4
    assert made["processes"]["qcd"]["cross_section_pb"] > 1e3


def test_interrupted_with_two_workers_and_resumed_gives_the_same(tiny, tmp_path):
    def stop(done, total, text):
        if done >= 2:
            raise Interrupted

    # The pool is taken over: starting Pythia for soft collisions takes seconds.
    (tmp_path / "events.work").mkdir()
    for block in tiny.with_suffix(".work").glob("pileup-*"):
        shutil.copy(block, tmp_path / "events.work")
    with pytest.raises(Interrupted):
        generate(TINY, tmp_path / "events.h5", workers=2, progress=stop)
    assert not (tmp_path / "events.h5").exists()
    # Temporary files start with a dot and may vanish at any time.
    kept = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "events.work").glob("[!.]*.h5")}
    assert kept
    (tmp_path / "events.work" / ".qcd-half-written.h5").write_bytes(b"half")
    seen = []
    generate(TINY, tmp_path / "events.h5", workers=2, progress=lambda *step: seen.append(step))
    assert seen[0][0] >= 2
    assert seen[-1] == (8, 8, "done")
    assert all((tmp_path / "events.work" / name).stat().st_mtime_ns == t for name, t in kept.items())
    assert checksum(tmp_path / "events.h5") == checksum(tiny)
    assert not list((tmp_path / "events.work").glob(".*"))


def test_work_folder_of_another_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"config": {}}))
    with pytest.raises(InputError, match=r"work folder .* of another config or version; .* remove the folder"):
        generate(TINY, tmp_path / "events.h5", work_folder=tmp_path)


def test_missing_pythia_names_the_command(tmp_path, monkeypatch):
    import importlib.metadata

    real = importlib.metadata.version

    def version(name):
        if name == "pythia8mc":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(InputError, match=r"pythia8mc is not installed; .*pip install pythia8mc==8.317.2 awkward"):
        generate(TINY, tmp_path / "events.h5")


def test_command_line_flags_win_over_the_file(tmp_path):
    (tmp_path / "c.toml").write_text("[generation]\nn_qcd = 5\nseed = 3\n")
    config = configuration(tmp_path / "c.toml", {"seed": 4})
    assert (config.n_qcd, config.seed) == (5, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[generation]\nn_qdc = 5\n", "unknown key generation.n_qdc; expected one of n_qcd"),
        ('[generation]\nn_qcd = "many"\n', "generation.n_qcd = 'many' (str); expected int"),
        ("[generation\n", "is not TOML"),
        ("[generation]\nn_qcd = 0\nn_signal = 0\n", "a sample of no events"),
    ],
)
def test_command_line_names_what_is_wrong(tmp_path, text, words):
    (tmp_path / "c.toml").write_text(text)
    run = make_data("--config", tmp_path / "c.toml", "--out", tmp_path / "e.h5")
    assert run.returncode == 2
    assert words in run.stderr
    assert run.stderr.strip().count("\n") == 0
    assert not (tmp_path / "e.h5").exists()


def make_data(*words):
    command = [sys.executable, ROOT / "scripts" / "make_data.py", *words]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)


def test_the_shipped_samples_config_is_valid():
    text = (ROOT / "scripts" / "configs" / "sample.toml").read_text()
    config = parse(GenerationConfig, tomllib.loads(text)["generation"], "generation")
    assert config.n_qcd >= 6000
    assert config.n_signal >= 300
