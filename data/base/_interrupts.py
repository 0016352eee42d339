"""Ctrl-C and its like, kept out of functions from which an exception would not come back."""

import signal
import sys
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupted_outside(codes: Set[CodeType]) -> Iterator[None]:
    """A block that an interrupt ends between calls of functions of these codes: one within them waits for their end.

    Libraries in C that call back lose an exception, as h5py does where HDF5 writes while an object of it is deleted:
    Python prints a traceback, and the command goes on. Signals that end the process in another way are left alone.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # Python takes signals in the main thread alone.
    main = threading.current_thread() is threading.main_thread()
    taken = [number for number in _SIGNALS if main and before[number] == signal.default_int_handler]

    def within(frame: FrameType | None) -> bool:
        while frame is not None and frame.f_code not in codes:
            frame = frame.f_back
        return frame is not None

    at_end = False

    def later(frame: FrameType, event: str, argument: Any) -> None:
        """What Python calls before and after each function, once there is an interrupt that waits."""
        if not at_end and not within(frame):
            sys.setprofile(None)
            raise KeyboardInterrupt

    def handler(number: int, frame: FrameType | None) -> None:
        if not within(frame):
            raise KeyboardInterrupt
        sys.setprofile(later)

    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        at_end = True
        for number in taken:
            signal.signal(number, before[number])
        if sys.getprofile() is later:
            sys.setprofile(None)
            raise KeyboardInterrupt
