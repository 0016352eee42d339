"""Stage make_data: what later stages would refuse of the events is refused before anything is trained."""

import dataclasses
import sys

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import QCD
from codae_l1.data.formats.event_file import EventFile, write_events
from codae_l1.data.sample import SAMPLE
from codae_l1.scripts import make_data
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import DataConfig, RunConfig
from codae_l1.scripts.run.events import splits
from codae_l1.scripts.run.folder import RunFolder


def events_with(path, calibration):
    """Shipped events, 50 QCD of each split but `calibration` in that one, and a signal in the test split."""
    with EventFile(SAMPLE) as file:
        split, qcd = splits(file), file.signal == QCD
        numbers = {"train": 50, "validation": 50, "calibration": calibration, "test": 50}
        chosen = [np.flatnonzero(qcd & (split == name))[:n] for name, n in numbers.items()]
        chosen.append(np.flatnonzero(~qcd & (split == "test"))[:1])
        write_events(path, file.read_where(np.concatenate(chosen)))


@pytest.mark.parametrize(("calibration", "accepted"), [(40, False), (50, True)])
def test_too_few_events_of_any_split_are_refused_at_once(tmp_path, calibration, accepted):
    path = tmp_path / "events.h5"
    events_with(path, calibration)
    run = RunFolder(tmp_path / "run", RunConfig(data=DataConfig(events=str(path))))
    if accepted:
        assert make_data.work(run)["events"]["splits"]["calibration"] == {QCD: 50}
        return
    with pytest.raises(InputError, match=r"40 QCD events in the calibration split .* at least 50"):
        make_data.work(run)


@pytest.mark.parametrize("layout", make_data.LAYOUTS)
def test_help_says_what_each_option_of_a_layout_is(layout):
    kind, *_ = make_data.LAYOUTS[layout]
    said = make_data._described(kind)
    assert set(said) == {field.name for field in dataclasses.fields(kind)}
    assert all(said.values())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--layout", "foo"), "invalid choice: 'foo' (choose from"),
        (("--layout=foo",), "invalid choice: 'foo' (choose from"),
        (("--layout",), "expected one argument; see"),
    ],
)
def test_a_layout_that_is_none_is_one_line(monkeypatch, capsys, words, says):
    monkeypatch.setattr(sys, "argv", ["make_data.py", *words])
    with pytest.raises(SystemExit) as stop:
        cli.run(make_data.command)
    error = capsys.readouterr().err
    assert (stop.value.code, error.count("\n")) == (2, 1)
    assert error.startswith(f"error: argument --layout: {says}")
