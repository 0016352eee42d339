"""Files that are written whole or not at all: to a temporary file next to the target, which is flushed and renamed."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError


@contextmanager
def whole_file(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the target's folder; rename it to `path` when the block ends well, else remove it.

    Raises InputError where the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays, since Keras and NumPy choose the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise InputError(
            f"{path} could not be written ({error.strerror or error})",
            "a writable folder with free space",
            "free some space or choose another folder; nothing half-written was left",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_json(path: Path | str, content: Any) -> None:
    """Write JSON whole or not at all; NaN is refused, since JSON has none."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON; a missing or broken file raises InputError that names it."""
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", "a JSON file", "run the stage that writes it first") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "a JSON file", "check the path") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not JSON ({error})", "a whole JSON file", "remove it and run its stage") from None


def sha256(path: Path | str) -> str:
    """SHA-256 of a file, hexadecimal, read in slices."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
