"""JSON with one value of another type."""

import copy

# One of each type; numbers count as one type, since a whole number may stand for a fraction.
VALUES = (None, "text", [], {}, 2.5, True, [1], {"a": 1})


def places(value, at=()):
    """Path of each value in a JSON: keys, and of a list the first and the last index."""
    if at:
        yield at
    inside = value if isinstance(value, dict) else sorted({0, len(value) - 1} - {-1}) if isinstance(value, list) else ()
    for key in inside:
        yield from places(value[key], (*at, key))


def found(value, at):
    """The value at a path."""
    for key in at:
        value = value[key]
    return value


def changed(content, at, value):
    """A copy with another value at a path."""
    content = copy.deepcopy(content)
    found(content, at[:-1])[at[-1]] = value
    return content


def wrong(content):
    """(path, value) of all changes to another type."""
    for at in places(content):
        yield from ((at, value) for value in VALUES if _kind(value) != _kind(found(content, at)))


def _kind(value):
    return float if type(value) is int else type(value)
