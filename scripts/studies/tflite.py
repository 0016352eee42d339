"""A run's full model as TF-Lite (float16, int8), compared with Keras and timed beside it.

Calibration events are of the training split, those that the versions are checked on of the validation split: QCD both.
"""

from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.events import read_each
from codae_l1.scripts.run.folder import stamp
from codae_l1.scripts.run.tables import markdown_table

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run

_TITLES = ("part", "kind", "kB", "largest difference", "correlation", "CPU ms/event, batch 1", "batch 256")


def compare_tflite(run: "Run", n_events: int) -> str:
    """Write RUN/tflite/<part>_<kind>.tflite and table.json; returns the table. n_events: QCD events to check on."""
    if n_events < 1:
        raise InputError(f"--tflite {n_events}", "a number of events >= 1", "correct it")
    run.require("train")
    cli.import_tensorflow()

    from codae_l1.data.pooling import track_mask
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.evaluation.tflite import compare

    model = load_codae(run.path("train", "codae.keras"))
    train, validation = (read_each(run, split, track_mask)[0][:n_events] for split in ("train", "validation"))
    with cli.Progress("tflite") as progress:
        rows = compare(model, train, validation, run.folder / "tflite", progress)
    write_json(run.folder / "tflite" / "table.json", {"rows": rows, "stamp": stamp(run.config.seed)})
    return markdown_table(_TITLES, map(_cells, rows))


def _cells(row: dict[str, Any]) -> list[str]:
    agreement = ["", "0", "1"]
    if row["kind"] != "keras":
        agreement = [f"{row['bytes'] / 1000:.0f}", f"{row['largest_difference']:.3g}", f"{row['correlation']:.5f}"]
    return [row["part"], row["kind"], *agreement, f"{row['cpu_ms_batch_1']:.2f}", f"{row['cpu_ms_batch_256']:.3f}"]
