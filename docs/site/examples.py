"""Examples in docstrings as code: lines that begin with >>> and their results are put into a fence."""

import re

from griffe import Extension

_EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).+)*", re.MULTILINE)


class FencedExamples(Extension):
    """Rewrites the docstring of every object that is shown."""

    def on_object(self, *, obj, **_):
        """Put each example of the object's docstring into a fence."""
        if obj.docstring is not None:
            obj.docstring.value = _EXAMPLE.sub(lambda m: f"\n```pycon\n{m.group(0)}\n```\n", obj.docstring.value)
