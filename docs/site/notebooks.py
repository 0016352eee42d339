"""Execute tutorials: the code cells in order, in one namespace, with what they print as their outputs.

    python docs/site/notebooks.py docs/tutorials/*.ipynb           # execute
    python docs/site/notebooks.py --write docs/tutorials/*.ipynb   # and store the outputs in the notebooks

The run folder is CODAE_RUN, or runs/demo. No Jupyter is needed, and cells use no magic.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any


def execute(notebook: dict[str, Any]) -> None:
    """Run the code cells and replace their outputs; an exception of a cell names the cell and ends the run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"<cell {number}>", "exec"), namespace)
        lines = printed.getvalue().splitlines(keepends=True)
        cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []
        cell["execution_count"] = number


def main() -> None:
    """Execute the notebooks that are named."""
    write = "--write" in sys.argv
    for path in [Path(name) for name in sys.argv[1:] if name != "--write"]:
        text = path.resolve()
        notebook = json.loads(text.read_text())
        execute(notebook)
        if write:
            text.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        print(f"{path}: {sum(cell['cell_type'] == 'code' for cell in notebook['cells'])} cells")


if __name__ == "__main__":
    main()
