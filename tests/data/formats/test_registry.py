"""The registry of input formats: each has tests, and no two formats have options of one name."""

import dataclasses

from format_base import FormatTestBase

from codae_l1.data.formats import FORMATS


def test_names_and_options_are_those_of_one_format():
    names = [known.name for known in FORMATS]
    assert len(set(names)) == len(names)
    options = [field.name for known in FORMATS for field in dataclasses.fields(known.Options)]
    assert len(set(options)) == len(options)


def test_options_have_a_default_and_help():
    for known in FORMATS:
        for field in dataclasses.fields(known.Options):
            assert field.default is not dataclasses.MISSING
            assert field.metadata["help"]


def test_every_format_inherits_the_tests(request):
    """Test files that are collected alone see their own class only, so the sources are read."""
    written = "".join(path.read_text() for path in request.path.parent.glob("test_*.py"))
    for known in FORMATS:
        assert f'({FormatTestBase.__name__}):\n    name = "{known.name}"' in written, known.name
