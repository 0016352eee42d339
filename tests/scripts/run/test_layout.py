"""Each value of a stage's JSON that a later command reads is of its type, or refused with its path and the remedy."""

import hashlib

import pytest
from wrong_types import changed, found, wrong

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.scripts.run._layout import ANY, LAYOUT, misfit
from codae_l1.scripts.run.config import RunConfig
from codae_l1.scripts.run.folder import RunFolder


def example(layout, number=0):
    """A value that fits; number: which of the layouts in a tuple it is of."""
    if isinstance(layout, tuple):
        return example(layout[min(number, len(layout) - 1)], number)
    if isinstance(layout, dict):
        return {"x" if key == ANY else key: example(of, number) for key, of in layout.items()}
    if isinstance(layout, list):
        return [example(layout[0], number)]
    return {int: 3, float: 1.5, str: "text", None: None}[layout]


def fits(value, layout):
    """Whether a value is one of those that a layout allows, by its type alone."""
    if isinstance(layout, tuple):
        return any(fits(value, one) for one in layout)
    kind = type(layout) if isinstance(layout, dict | list) else layout
    allowed = {None: (type(None),), float: (int, float)}.get(kind, (kind,))
    return type(value) in allowed and (kind not in (dict, list) or not value)


def of(layout, at):
    """The layouts that stand at a path, as a tuple."""
    layouts = (layout,)
    for key in at:
        inside = []
        for one in layouts:
            for each in one if isinstance(one, tuple) else (one,):
                if isinstance(each, list):
                    inside.append(each[0])
                elif isinstance(each, dict) and (key in each or ANY in each):
                    inside.append(each.get(key, each.get(ANY)))
        layouts = tuple(inside)
    return layouts


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("stage", LAYOUT)
def test_every_value_of_another_type_is_found(stage, number):
    content = example(LAYOUT[stage], number)
    assert misfit(stage, content) is None
    tried = 0
    for at, value in wrong(content):
        if fits(value, of(LAYOUT[stage], at)):
            continue
        said = misfit(stage, changed(content, at, value))
        assert said is not None, (at, value)
        assert said[0].startswith(str(at[0])), (at, value, said)
        tried += 1
    assert tried > 10


def test_what_is_not_read_may_be_anything():
    content = {"summary": [1], "of_a_later_release": {"a": None}, "events": {"checksum": "a", "more": 3}}
    assert misfit("make_data", content) is None
    assert misfit("of a later release", content) is None


@pytest.mark.parametrize(
    ("stage", "at", "value", "says"),
    [
        ("train", ("orientation",), {"mse": [1]}, "orientation.mse = [1]; expected an integer"),
        ("quantize", ("comparison", "scatter", "qcd", "float"), [1, "2"], "comparison.scatter.qcd.float[1] = '2'"),
        ("synthesize", ("resources", "LUT"), [3], "resources.LUT = [3]; expected an integer; put it back, or remove"),
        ("synthesize", ("latency_ns",), True, "latency_ns = True; expected a number"),
        ("evaluate", ("auc", "h125", "rtl", "value"), None, "auc.h125.rtl.value = None; expected a number"),
        ("evaluate", ("rates",), [], "rates = []; expected a table"),
        ("report", ("verdict", "sentence"), 3, "verdict.sentence = 3; expected a text"),
        ("evaluate", ("stamp",), "now", "stamp = 'now'; expected a table"),
    ],
)
def test_the_message_has_file_path_type_and_remedy(tmp_path, stage, at, value, says):
    run, content = RunFolder(tmp_path, RunConfig()), {"summary": "made"}
    for key in at[:-1]:
        found(content, at[: at.index(key)])[key] = {}
    write_json(tmp_path / f"{stage}.json", changed(content, at, value))
    with pytest.raises(InputError) as refused:
        run.read(stage)
    message = str(refused.value)
    assert message.startswith(f"{tmp_path / stage}.json: {says}")
    assert message.endswith(f"run python scripts/{stage}.py --run {tmp_path}, which makes it anew")


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"files": {"quantize/f_m.npz": "x"}}, "record.files.quantize/f_m.npz = 'x'; expected a table"),
        ({"files": {"a": {"bytes": [1], "mtime_ns": 1, "sha256": "x"}}}, "record.files.a.bytes = [1]"),
        ({"files": [1]}, "record.files = [1]; expected a table"),
    ],
)
def test_a_record_of_other_types_is_none(tmp_path, record, says):
    run = RunFolder(tmp_path, RunConfig())
    write_json(tmp_path / "make_data.json", {"record": {"sum": "", "needs": {}, **record}})
    content = (tmp_path / "make_data.json").read_bytes()
    # Its sum is right.
    sum_ = hashlib.sha256(content).hexdigest()
    (tmp_path / "make_data.json").write_bytes(content.replace(b'"sum": ""', f'"sum": "{sum_}"'.encode(), 1))
    with pytest.raises(InputError) as refused:
        run.path("make_data")
    assert f"make_data.json: {says}" in str(refused.value)
