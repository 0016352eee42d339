"""Progress of long work: one type, which every function that takes long calls with the same three things."""

from collections.abc import Callable

# Called with the number of steps that are done, the number of all steps, and what is being done.
Progress = Callable[[int, int, str], None]
