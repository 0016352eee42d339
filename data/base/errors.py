"""The error that a user sees: what was received, what was expected, and what to do.

Commands print it on one line and end with exit code 2; a traceback is for our mistakes, never for a user's.
"""

# Characters of a message; what is longer hides what matters.
_LONGEST = 500
_CUT = " ... "


class InputError(Exception):
    """A user's mistake, or a tool's refusal, in three clauses; its message is one line of at most 500 characters.

    received: what was found, with the file, key or value named.
    expected: what the code can take.
    remedy: what to do, as an instruction.

    >>> str(InputError("events.h5 does not exist", "an HDF5 file of events", "make one with scripts/make_data.py"))
    'events.h5 does not exist; expected an HDF5 file of events; make one with scripts/make_data.py'
    """

    def __init__(self, received: str, expected: str, remedy: str):
        self.received, self.expected, self.remedy = received, expected, remedy
        super().__init__(_one_line(f"{received}; expected {expected}; {remedy}"))

    def __reduce__(self):
        # Exceptions are pickled by their args, which is the joined text; worker processes send the three clauses.
        return type(self), (self.received, self.expected, self.remedy)


def _one_line(text: str) -> str:
    """Lines joined; of a text that is too long the beginning and the end, where the remedy stands.

    >>> _one_line("a\\nb"), len(_one_line("a" * 10_000))
    ('a b', 500)
    """
    text = " ".join(text.split("\n"))
    kept = _LONGEST - len(_CUT)
    return text if len(text) <= _LONGEST else text[: kept - kept // 2] + _CUT + text[-(kept // 2) :]


class ToolError(InputError):
    """An outside program (compiler, Verilator, Yosys, vendor tool) is missing or failed."""
