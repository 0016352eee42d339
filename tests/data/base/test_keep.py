"""keep(): made once, made again when its inputs change, gone on with after a kill, never in a folder of others."""

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.keep import digest, keep, without_speed


def test_a_result_is_made_once_for_the_same_inputs(tmp_path):
    calls = []

    def make(folder):
        calls.append(folder)
        (folder / "artifact").write_text("made")
        return {"value": len(calls)}

    for _ in range(2):
        assert keep(tmp_path / "a", {"seed": 1, "bits": 4}, make) == {"value": 1}
    # The order of keys says nothing.
    assert keep(tmp_path / "a", {"bits": 4, "seed": 1}, make) == {"value": 1}
    assert calls == [tmp_path / "a"]


def test_other_inputs_start_over_in_an_empty_folder(tmp_path):
    def make(folder):
        found = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
        (folder / "checkpoint").write_text("1")
        return found

    assert keep(tmp_path / "a", 1, make) == []
    assert keep(tmp_path / "a", 2, make) == []
    assert keep(tmp_path / "a", 1, make) == []


def test_a_killed_make_goes_on_from_its_checkpoint(tmp_path):
    def killed(folder):
        (folder / "checkpoint").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path / "a", 1, killed)
    assert keep(tmp_path / "a", 1, lambda folder: (folder / "checkpoint").read_text()) == "half"


def test_a_folder_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"holds files of something else \(thesis.tex\); expected an empty or a new"):
        keep(tmp_path, 1, lambda folder: 1)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_what_only_says_how_fast_does_not_count():
    assert digest(without_speed({"hls": {"jobs": 1, "part": "a"}})) == digest({"hls": {"part": "a"}})
    assert digest({"part": "a"}) != digest({"part": "b"})


def test_what_a_killed_claim_leaves_is_no_file_of_others(tmp_path):
    (tmp_path / "..inputs-abcd1234").write_text("half")
    assert keep(tmp_path, 1, lambda folder: "made") == "made"
