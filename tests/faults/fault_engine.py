"""One thing wrong in what a user gives, drawn at random, and what became of it.

A kind of input (a file format, a config, a run folder, ...) writes a good one, draws one change, and is read by the
code under test. What comes out is

    right      the values of the good input, or those that a plain reading of the changed one gives
    refused    InputError: one line, at most 500 characters
    unclear    InputError of several lines, or longer
    silent     other values than a plain reading gives, or values of what cannot be right
    traceback  any other exception, or a warning
    death      the process died, or took longer than DEADLINE seconds (tests/faults/fuzz.py alone can tell)

Only the first two are let pass. A case is (kind, change, seed), which makes it again:

    python tests/faults/fuzz.py --kind adc2021 --change value --seed 12345
"""

import shutil
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codae_l1.data.base.errors import InputError

GOOD = ("right", "refused")
OUTCOMES = (*GOOD, "unclear", "silent", "traceback", "death")
LONGEST = 500


class Wrong(Exception):
    """Raised by a plain reading: the input cannot be right, so that its reader must refuse it."""


@dataclass
class Outcome:
    """What became of one case; said: the message, or where it went wrong."""

    kind: str
    change: str
    seed: int
    outcome: str
    said: str = ""


@dataclass
class Kind:
    """A kind of input; subclasses say how it is written, changed, read, and read plainly.

    changes: name -> function(rng, thing) that changes the copy `thing` in place, or returns another.
    """

    folder: Path
    name: str = ""
    changes: dict = field(default_factory=dict)
    good = None

    def prepare(self):
        """Write the good input and read it once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.make()
        self.good = self.read(self.copy())

    def make(self):
        """Write the good input."""
        raise NotImplementedError

    def copy(self):
        """A fresh copy of the good input, which a change may alter."""
        raise NotImplementedError

    def read(self, thing):
        """What the code under test makes of it: anything that `same` compares."""
        raise NotImplementedError

    def plain(self, thing):
        """The same by a plain reading of another hand; Wrong where the input cannot be right."""
        raise Wrong("any change")

    def judge(self, change, seed):
        """Change a copy and read it: an Outcome."""
        rng = np.random.default_rng(seed)
        thing = self.copy()
        changed = self.changes[change](rng, thing)
        thing = thing if changed is None else changed
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            outcome, said = self._judged(thing)
        return Outcome(self.name, change, seed, outcome, said)

    def _judged(self, thing):
        try:
            found = self.read(thing)
        except InputError as error:
            text = str(error)
            clear = len(text) <= LONGEST and "\n" not in text
            return ("refused", text) if clear else ("unclear", f"{len(text)} characters: {text[:300]!r}")
        except Exception:
            return "traceback", " | ".join(traceback.format_exc().strip().splitlines()[-5:])
        if same(found, self.good):
            return "right", "as before"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = self.plain(thing)
        except Exception as error:
            return "silent", f"taken, though a plain reading says {type(error).__name__}: {error}"
        return ("right", "as stored") if same(found, expected) else ("silent", first_difference(found, expected))


def same(a, b):
    """Whether two values are equal: tables, sequences, arrays whatever their types of numbers, words."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        a, b = np.asarray(a), np.asarray(b)
        nan = a.dtype.kind == b.dtype.kind == "f"
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=nan)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


def first_difference(a, b, where="value"):
    """Words for the first place where two values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{where}: {sorted(a.keys() ^ b.keys())} in one alone"
        return next(first_difference(a[k], b[k], f"{where}.{k}") for k in a if not same(a[k], b[k]))
    shapes = f" of shapes {np.shape(a)}, {np.shape(b)}" if isinstance(a, np.ndarray) else ""
    return f"{where}: {str(a)[:120]} where {str(b)[:120]} is right{shapes}"


@dataclass
class FileKind(Kind):
    """A kind that is one file: `write(path)` writes it; each case has a fresh copy of it."""

    suffix: str = ".h5"

    def write(self, path):
        """Write a good file."""
        raise NotImplementedError

    def make(self):
        self.write(self.folder / f"good{self.suffix}")

    def copy(self):
        return Path(shutil.copyfile(self.folder / f"good{self.suffix}", self.folder / f"case{self.suffix}"))
