"""Options that a command takes only with, or only without, another one."""

import argparse
from typing import Any

from codae_l1.data.base.errors import InputError


class Companions:
    """Options that belong to a flag: given the other way they are refused, since nothing would read them.

    flag: such as "--all". present: whether they go with the flag, or exclude it.
    """

    def __init__(self, parser: argparse.ArgumentParser, flag: str, present: bool = True):
        self.flag, self.present = flag, present
        self._group = parser.add_argument_group(f"{'only with' if present else 'not with'} {flag}")
        self._known: dict[str, tuple[str, Any]] = {}

    def add(self, option: str, help: str, default: Any = None, **rest: Any) -> None:
        """Add an option as argparse does; its default shows in the help unless it is None or False."""
        shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else default
        text = help if default is None or default is False else f"{help} (default: {shown})"
        # Without a default, argparse tells what was given from what was not.
        action = self._group.add_argument(option, default=argparse.SUPPRESS, help=text, **rest)
        self._known[action.dest] = (option, default)

    def settle(self, arguments: argparse.Namespace) -> None:
        """Fill in the defaults; InputError where an option was given that the flag, or its absence, rules out."""
        flagged = getattr(arguments, self.flag.lstrip("-").replace("-", "_"))
        given = [option for name, (option, _) in self._known.items() if hasattr(arguments, name)]
        if given and self.present != (flagged is not None and flagged is not False):
            together, remedy = ("without", f"add {self.flag}") if self.present else ("with", f"drop {self.flag}")
            raise InputError(
                f"{', '.join(given)} {together} {self.flag}",
                f"{'both' if self.present else 'one or the other'}",
                f"{remedy}, or leave {'it' if len(given) == 1 else 'them'} out",
            )
        for name, (_, default) in self._known.items():
            setattr(arguments, name, getattr(arguments, name, default))
