"""The error that a user sees: what was received, what was expected, and what to do.

Commands print it on one line and end with exit code 2; a traceback is for our mistakes, never for a user's.
"""


class InputError(Exception):
    """A user's mistake, or a tool's refusal, in three clauses.

    received: what was found, with the file, key or value named.
    expected: what the code can take.
    remedy: what to do, as an instruction.

    >>> str(InputError("events.h5 does not exist", "an HDF5 file of events", "make one with scripts/make_data.py"))
    'events.h5 does not exist; expected an HDF5 file of events; make one with scripts/make_data.py'
    """

    def __init__(self, received: str, expected: str, remedy: str):
        self.received, self.expected, self.remedy = received, expected, remedy
        super().__init__(f"{received}; expected {expected}; {remedy}")

    def __reduce__(self):
        # Exceptions are pickled by their args, which is the joined text; worker processes send the three clauses.
        return type(self), (self.received, self.expected, self.remedy)


class ToolError(InputError):
    """An outside program (compiler, Verilator, Yosys, vendor tool) is missing or failed."""
