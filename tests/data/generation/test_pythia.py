"""Whole generation with Pythia 8, tiny: number of workers, resume, seeds, provenance, the command line."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.generation._parallel import Piece, make_piece, prepare, versions
from codae_l1.data.generation.config import GenerationConfig, Work
from codae_l1.data.generation.generate import generate
from codae_l1.data.splits import split_of
from codae_l1.scripts.make_data import _configuration

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


ROOT = Path(__file__).parents[3]


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def cluster():
    """Address of a Dask cluster of two workers on this machine, as dask-jobqueue's would have one."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.worker.daemon": True}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs="CRITICAL"
        ) as made,
    ):
        yield made.scheduler_address


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny sample made undisturbed by one local worker."""
    return generate(TINY, tmp_path_factory.mktemp("tiny") / "events.h5", Work(workers=1, command="made in a test"))


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


def copy_pool(tiny, folder, config=TINY):
    """Take the pile-up pool over: starting Pythia for soft collisions takes seconds."""
    prepare(folder, dump(config))
    for block in tiny.with_suffix(".work").glob("pileup-*"):
        shutil.copy(block, folder)


def test_interrupted_on_a_scheduler_by_address_and_resumed_gives_the_same_bytes(tiny, tmp_path, cluster):
    def stop(done, total, text):
        if done >= 2:
            raise Interrupted

    work = tmp_path / "events.work"
    copy_pool(tiny, work)
    with pytest.raises(Interrupted):
        generate(TINY, tmp_path / "events.h5", Work(progress=stop, scheduler=cluster))
    assert not (tmp_path / "events.h5").exists()
    # Temporary files start with a dot and may vanish at any time.
    kept = {p.name: p.stat().st_mtime_ns for p in work.glob("[!.]*.h5")}
    assert kept
    (work / ".qcd-half-written.h5").write_bytes(b"half")
    seen = []
    generate(TINY, tmp_path / "events.h5", Work(None, None, lambda *step: seen.append(step), "made in a test", cluster))
    assert seen[0][0] >= 2
    assert seen[-1] == (8, 8, "done")
    assert all((work / name).stat().st_mtime_ns == t for name, t in kept.items())
    assert (tmp_path / "events.h5").read_bytes() == tiny.read_bytes()
    assert not list(work.glob(".*"))


def test_killed_on_the_command_line_and_resumed_gives_the_same_bytes(tiny, tmp_path):
    work, out = tmp_path / "events.work", tmp_path / "events.h5"
    copy_pool(tiny, work)
    (tmp_path / "c.toml").write_text(
        '[generation]\nn_qcd = 4\nn_signal = 2\nprocesses = ["qcd", "h1000", "svj4100"]\nseed = 7\n'
        "pileup_blocks = 20\npileup_block_size = 2\nchunk_events = 2\n"
    )
    words = [sys.executable, ROOT / "scripts/make_data.py", "--config", tmp_path / "c.toml", "--out", out]
    process = subprocess.Popen([*map(str, words), "--workers", "1"], stdout=subprocess.DEVNULL)
    while not list(work.glob("[!.]*.h5")) and process.poll() is None:
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    generate(TINY, out, Work(workers=1, command="made in a test"))
    assert out.read_bytes() == tiny.read_bytes()


def test_two_workers_of_dask_jobqueue_as_documented(tiny, tmp_path):
    pytest.importorskip("dask_jobqueue")
    [code] = [c for c in (ROOT / "docs/events.md").read_text().split("```python\n")[1:] if "dask_jobqueue" in c]
    (tmp_path / "example.py").write_text(code.split("```")[0])
    copy_pool(tiny, tmp_path / "events.work")
    run = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    with EventFile(tmp_path / "events.h5") as made, EventFile(tiny) as expected:
        assert made.checksum == expected.checksum


def test_no_scheduler_at_the_address(tmp_path, monkeypatch):
    monkeypatch.setattr("codae_l1.data.generation._parallel._PATIENCE_S", 1)
    with pytest.raises(InputError, match=r"no Dask scheduler at 127.0.0.1:1 .*; expected the address of a running one"):
        generate(TINY, tmp_path / "events.h5", Work(scheduler="127.0.0.1:1"))


def test_a_scheduler_without_workers_is_waited_for_in_words(tmp_path):
    def stop(done, total, text):
        if text.startswith("waiting"):
            raise Interrupted(text)

    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty:
        work = Work(progress=stop, scheduler=empty.scheduler_address)
        with pytest.raises(Interrupted, match="has no worker yet"):
            generate(TINY, tmp_path / "events.h5", work)


def test_workers_of_other_versions_or_without_the_folder_refuse(tmp_path):
    piece = Piece(("a",), 1, "qcd", lambda folder: (folder / "a").touch())
    with pytest.raises(InputError, match=r"a worker with .*; install the same versions on all workers"):
        make_piece(piece, tmp_path, {**versions(), "generator": 0})
    with pytest.raises(InputError, match=r"a worker without the work folder .*; choose one: --work-folder"):
        make_piece(piece, tmp_path, versions())
    prepare(tmp_path, {})
    # Neither is what a killed run leaves; a folder of the user's may hold such.
    (tmp_path / ".gitignore").touch()
    (tmp_path / ".bash-rc").touch()
    prepare(tmp_path, {})
    assert {p.name for p in tmp_path.glob(".*")} == {".gitignore", ".bash-rc"}
    make_piece(piece, tmp_path, versions())
    assert piece.is_there(tmp_path)


@pytest.mark.parametrize("mean", [0.0, 200.0])
def test_pile_up_from_none_to_two_hundred(tiny, tmp_path, mean, cluster):
    config = replace(TINY, n_qcd=2, processes=("qcd",), pileup_mean=mean)
    if mean:
        copy_pool(tiny, tmp_path / "events.work", config)
    with EventFile(generate(config, tmp_path / "events.h5", Work(scheduler=cluster))) as file:
        sums = file.read().images[..., 1].sum(axis=(1, 2))
        assert file.pileup_block.tolist() == [0, 1]
    assert (tmp_path / "events.work" / "pileup-00000.npz").exists() == (mean > 0)
    # Two soft collisions per block: 200 of them leave the same energy a hundred times.
    assert (sums < 700).all() if mean == 0 else (sums > 700).all()


def test_work_folder_of_another_config(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"config": {}}))
    with pytest.raises(InputError, match=r"work folder .* of another config or version; .* remove the folder"):
        generate(TINY, tmp_path / "events.h5", Work(folder=tmp_path))


def test_a_work_folder_that_holds_other_files_is_refused(tmp_path):
    # It would be taken for a block of the pool.
    (tmp_path / "pileup-00000.npz").touch()
    with pytest.raises(
        InputError, match=r"holds other files \(pileup-00000.npz\); .*choose another one: --work-folder"
    ):
        generate(TINY, tmp_path / "events.h5", Work(folder=tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["pileup-00000.npz"]


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
    config = _configuration(tmp_path / "c.toml", {"seed": 4})
    assert (config.n_qcd, config.seed) == (5, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[generation]\nn_qdc = 5\n", "unknown key generation.n_qdc; expected one of n_qcd"),
        ('[generation]\nn_qcd = "many"\n', "generation.n_qcd = 'many' (str); expected int"),
        ("[generation\n", "is not TOML"),
        ("[generation]\nn_qcd = 0\nn_signal = 0\n", "a sample of no events"),
        ('[generation]\nprocesses = ["qcd", "qcd"]\n', "expected different names out of qcd, h125"),
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
