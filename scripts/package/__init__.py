"""codae-l1: from a collision's image to a bit-exact Level-1 trigger decision.

    import codae_l1

    run = codae_l1.open_run("runs/demo")
    run.executor("rtl").scores(images)    # (N,) float64, higher is more anomalous
    run.accept(images, "1e-3")            # (N,) bool: what fires at a thousandth of all crossings

The sub-packages are data, models, quantization, hls and scripts; imports run in that order.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run

    __version__: str

__all__ = ["__version__", "open_run"]


def __getattr__(name: str) -> str:
    """The version of the installed package, looked up when it is asked for: importlib.metadata is slow to import."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("codae-l1")


def open_run(folder: Path | str, trust: bool = False) -> "Run":
    """Open a run folder for scoring; imports no TensorFlow.

    trust: load compiled libraries that the run's stages did not record as well. Raises InputError where `folder` holds
    no run.
    """
    from codae_l1.scripts.run.run import Run

    return Run(Path(folder), trust=trust)
