"""Convert a run's full model to TF-Lite (float16, int8), hold it against Keras and time it beside Keras.

    python scripts/tflite.py --run runs/demo

Writes runs/demo/tflite/<part>_<kind>.tflite and table.json; prints the table. Calibration events are of the training
split, those it is checked on of the validation split: QCD both.
"""

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run import cli, stage


def command() -> None:
    """The command's body."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument("--events", type=int, default=256, help="QCD events to check on")
    arguments = parser.parse_args()
    if arguments.events < 1:
        raise InputError(f"--events {arguments.events}", "a number >= 1", "correct it")
    run = stage.open_run(arguments.run, arguments.config, arguments.update)
    cli.import_tensorflow()

    from codae_l1.data.base.files import write_json
    from codae_l1.models.codae.model import load_codae
    from codae_l1.models.codae.scores import track_mask
    from codae_l1.models.evaluation.tflite import compare
    from codae_l1.scripts.run.events import read_each
    from codae_l1.scripts.run.folder import stamp

    run.require("train")
    model = load_codae(run.path("train", "codae.keras"))
    train, validation = (read_each(run, split, track_mask)[0][: arguments.events] for split in ("train", "validation"))
    with cli.Progress("tflite") as progress:
        rows = compare(model, train, validation, run.folder / "tflite", progress)
    write_json(run.folder / "tflite" / "table.json", {"rows": rows, "stamp": stamp(run.config.seed)})
    print(table(rows))


def table(rows: list[dict]) -> str:
    """The rows of models.tflite.compare as Markdown."""
    lines = [
        "| part | kind | kB | largest difference | correlation | CPU ms/event, batch 1 | batch 256 |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        agreement = ("", "0", "1")
        if row["kind"] != "keras":
            agreement = (f"{row['bytes'] / 1000:.0f}", f"{row['largest_difference']:.3g}", f"{row['correlation']:.5f}")
        speeds = (f"{row['cpu_ms_batch_1']:.2f}", f"{row['cpu_ms_batch_256']:.3f}")
        lines.append(f"| {' | '.join((row['part'], row['kind'], *agreement, *speeds))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(command)
