"""The error that a user sees: what was received, what was expected, and what to do.

Commands print it on one line and end with exit code 2; a traceback is for our mistakes, never for a user's.
"""

# Characters of a message: one line that is still read.
_MOST = 500
# Of the longest clause, at its end, where it is cut.
_END = 60


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
        super().__init__(_one_line(received, expected, remedy))

    def __reduce__(self):
        # Exceptions are pickled by their args, which is the joined text; worker processes send the three clauses.
        return type(self), (self.received, self.expected, self.remedy)


def _one_line(*clauses: str) -> str:
    """The three clauses on one line of at most _MOST characters; the longest is cut in its middle where they are more.

    >>> text = _one_line("x" * 1000, "y", "z\\nz")
    >>> len(text), text[-24:]
    (500, 'xxxxx; expected y; z | z')
    """
    lines = [" | ".join(line.strip() for line in clause.splitlines() if line.strip()) for clause in clauses]
    while (beyond := len("; expected ; ") + sum(map(len, lines)) - _MOST) > 0:
        longest = max(range(len(lines)), key=lambda i: len(lines[i]))
        kept = max(len(lines[longest]) - beyond - len(" ... "), _END)
        lines[longest] = f"{lines[longest][: kept - _END]} ... {lines[longest][-_END:]}"
    received, expected, remedy = lines
    return f"{received}; expected {expected}; {remedy}"


class ToolError(InputError):
    """An outside program (compiler, Verilator, Yosys, vendor tool) is missing or failed."""
