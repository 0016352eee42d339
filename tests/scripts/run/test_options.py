"""Options that go only with, or only without, another one are refused the other way, and have their defaults."""

import argparse

import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run.options import Companions


def settled(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--all", action="store_true")
    with_all, without_all = Companions(parser, "--all"), Companions(parser, "--all", present=False)
    with_all.add("--names", "which", ["a", "b"], nargs="+")
    with_all.add("--depth", "how deep", 3, type=int)
    without_all.add("--name", "which one")
    arguments = parser.parse_args(words)
    with_all.settle(arguments)
    without_all.settle(arguments)
    return arguments


def test_what_was_not_given_has_its_default():
    assert vars(settled()) == {"all": False, "names": ["a", "b"], "depth": 3, "name": None}
    assert vars(settled("--all", "--depth", "2")) == {"all": True, "names": ["a", "b"], "depth": 2, "name": None}
    assert settled("--name", "c").name == "c"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--depth", "3"), "--depth without --all; expected both; add --all, or leave it out"),
        (("--depth", "3", "--names", "a"), "--names, --depth without --all; expected both; .* leave them out"),
        (("--all", "--name", "a"), "--name with --all; expected one or the other; drop --all, or leave it out"),
    ],
)
def test_the_other_way_is_refused(words, says):
    with pytest.raises(InputError, match=says):
        settled(*words)
