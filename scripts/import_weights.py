"""Import the weights of the published CoDAE or CoDVAE, or of others of their code, as the full model of a new run.

    python scripts/import_weights.py --kind codae encoder1.tflite encoder2.tflite decoder.tflite --out runs/published
    python scripts/import_weights.py --kind codvae weights-100-0.766.index --out runs/published-codvae

The TF-Lite files of the three parts, in any order and under any names, or a TensorFlow checkpoint (its .index file; its
data file lies beside it). The run has the published sizes ([model] preset = "paper") unless --config names others. It
keeps a copy of the files in weights/, and stage train is done from them: codae-l1 run --run runs/published goes on.

The weights are compared with the published ones by their checksum, and the scores of the public sample with those that
are published, where --sample or CODAE_SAMPLE names its folder. Where neither can tell, a warning says so.
docs/published.md says what the files hold.
"""

import dataclasses
import os
import shutil
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_table, sha256, whole_folder, write_json
from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.models.codae.published import Imported
    from codae_l1.scripts.run.config import RunConfig

KINDS = ("codae", "codvae")
# What the files in weights/ are, and how they were verified.
_SOURCE = "source.json"


def _command() -> None:
    """Parse the arguments, read and verify the weights, make the run and its stages make_data and train."""
    parser = cli.parser(__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="TF-Lite files, or a checkpoint")
    parser.add_argument("--kind", choices=KINDS, required=True, help="which model")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to make")
    parser.add_argument("--config", type=Path, help="TOML config of the run; its [model] is that of the weights")
    parser.add_argument(
        "--sample", type=Path, help="folder of the public sample, to compare scores (default: that of CODAE_SAMPLE)"
    )
    arguments = parser.parse_args()
    if arguments.kind == "codvae" and arguments.sample is not None:
        raise InputError("--sample with --kind codvae", "--kind codae, whose scores are published", "leave it out")
    config = _config(arguments)
    _check_out(arguments.out, config)
    cli.import_tensorflow(config.training.deterministic)
    from codae_l1.models.codae.published import read_published

    found = read_published(arguments.kind, arguments.files, config.model, config.seed)
    told = {"kind": arguments.kind, **_verify(found, arguments)}
    told["files"] = {file.name: sha256(file) for file in found.files}
    print(f"{arguments.kind}, {found.model.count_params():,} parameters: {told['verified']}", flush=True)
    if arguments.kind == "codvae":
        print("no prior: its temperatures are in no file, so that there is no score kl or elbo", flush=True)
    _make_run(arguments.out, config, found.files, told)


def _config(arguments: Namespace) -> "RunConfig":
    """The run's config: of --config, or the compact run's with the published model in place of its own."""
    from codae_l1.models.codae.config import PAPER, CategoricalConfig
    from codae_l1.models.training.config import TrainingConfig
    from codae_l1.scripts.run.config import RunConfig, load_config

    if arguments.config is not None:
        return load_config(arguments.config)
    categorical = CategoricalConfig() if arguments.kind == "codvae" else None
    model = dataclasses.replace(PAPER, categorical=categorical)
    return RunConfig(model=model, training=TrainingConfig.PRESETS["paper"])


def _check_out(out: Path, config: "RunConfig") -> None:
    """Refuse a folder that holds anything but a run of this config with imported weights."""
    cli.output("--out", out, "folder")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / "weights" / _SOURCE).is_file():
        raise InputError(f"--out {out} holds other files", "a new or empty folder", "name another")
    from codae_l1.scripts.run.folder import RunFolder

    RunFolder(out, config)


def _verify(found: "Imported", arguments: Namespace) -> dict[str, Any]:
    """Compare with what is published: `verified`, a sentence, and the figures behind it."""
    sample = arguments.sample or (Path(os.environ["CODAE_SAMPLE"]) if os.environ.get("CODAE_SAMPLE") else None)
    told: dict[str, Any] = {"published": found.published}
    if arguments.kind == "codae" and sample is not None:
        told["differences"] = found.compare(cli.existing(str(sample)))
        largest = max(told["differences"].values())
        same = "the weights are the published ones, and " if all(found.published.values()) else ""
        told["verified"] = f"verified: {same}scores of the public sample within {largest:.1g} of those published"
    elif all(found.published.values()):
        told["verified"] = "verified: the weights are the published ones"
    else:
        other = ", ".join(part for part, same in found.published.items() if not same)
        told["verified"] = f"not verified: {other} differ from the published weights"
        remedy = " and no public sample is named (--sample)" if arguments.kind == "codae" else ""
        print(f"warning: nothing verifies these weights: {other} are not the published ones{remedy}", flush=True)
    return told


def _make_run(out: Path, config: "RunConfig", files: tuple[Path, ...], told: dict[str, Any]) -> None:
    """The run folder with the files in weights/, and its stages make_data and train."""
    from codae_l1.scripts import make_data, train
    from codae_l1.scripts.run.run import Run

    kept = out / "weights" / _SOURCE
    if kept.is_file() and read_table(kept, remedy="name another --out").get("files") != told["files"]:
        raise InputError(f"{kept.parent} holds other weights", "a new run, or the same files", "name another --out")
    if not kept.is_file():
        with whole_folder(out / "weights", ours=(_SOURCE,)) as temporary:
            for file in files:
                shutil.copyfile(file, temporary / file.name)
            write_json(temporary / _SOURCE, told)
    run = Run(out, config)
    stage.do(run, "make_data", make_data.work)
    stage.do(run, "train", train.work)


if __name__ == "__main__":
    cli.run(_command)
