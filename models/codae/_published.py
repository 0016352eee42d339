"""The published CoDAE and CoDVAE (arXiv:2306.12955), or others of their code, as models of this package.

Files are the TF-Lite files of the three parts, or a TensorFlow checkpoint. Every weight of the model comes from one of
them and every weight in them is used once, but for the prior of a CoDVAE: its temperatures are in no file, so that an
imported CoDVAE has no prior, and no score that needs one (kl, elbo).
"""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_arrays, reading
from codae_l1.data.formats import read_events
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae._checkpoint_weights import checkpoint_prefix, read_checkpoint
from codae_l1.models.codae._published_layout import PARTS, PartWeights, assign, checksum
from codae_l1.models.codae._tflite_weights import read_tflite
from codae_l1.models.codae.codvae import CoDVAE
from codae_l1.models.codae.config import CoDAEConfig
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.codae.scores import codae_scores

Kind = Literal["codae", "codvae"]
# SHA-256 (checksum) of the published float16 weights, as read from the TF-Lite files of Luca96/dark-autoencoders.
_PUBLISHED: dict[str, dict[str, str]] = {
    "codae": {
        "f_m": "dee8a970f0564f94d3519be9d556aea981f5244e11ada76cbb55b2f12e006462",
        "f_r": "2cabd064387452807526a2550b2dc70dba0943b1de9b5d72615c3a38d136e1e9",
        "decoder": "af89aa1a4219c3703e1e80a5577347d84efefc235d2e74abbfa50730d0eb348d",
    },
    "codvae": {
        "f_m": "3f5d858e1fa6f8072d035f990e2a5f30bdf6f1553d9fe6a6fa5e6f4e5afc8b2c",
        "f_r": "86a5f7144c4073cd07f7c4f6caeede22c7d5bc9492891afe28cab4fa9d7263d5",
        "decoder": "51770487853fd9878a725fe01ea17d57a11a5f1b1dfabe106f9ee93d4ba8dc03",
    },
}
# Scores of the public sample that are compared, with the column that holds them.
_REFERENCES = {"z0": "z_m[0]", "z1": "z_m[1]", "mse": "reco_mse"}
# Largest difference that is let pass, relative to max(1, value): rounding gives 2e-4, a wrong layout 1e-2 and more.
_TOLERANCE = 1e-3
# Events of each file of the public sample that are scored.
_EVENTS = 16


@dataclass(frozen=True)
class Imported:
    """A model with the weights of some files.

    model: CoDAE, or a CoDVAE without prior. files: all that it was read from. published: part -> whether its weights
    are the published ones.
    """

    model: CoDAE
    files: tuple[Path, ...]
    published: dict[str, bool]

    def compare(self, folder: Path) -> dict[str, float]:
        """Score the public sample and compare with its reference_scores.npz.

        Gives score -> largest difference, relative to max(1, value); InputError where it is above 1e-3.
        """
        files, masks = _references(folder), []
        for path, _ in files:
            masks.append(track_mask(read_events(path).images[:_EVENTS]))
        # In one call, which compiles the scores once.
        scores, largest = codae_scores(self.model, np.concatenate(masks), _EVENTS), {}
        for name in _REFERENCES:
            expected = np.concatenate([reference[name][:_EVENTS] for _, reference in files]).astype(np.float64)
            difference = np.abs(scores[name] - expected) / np.maximum(1, np.abs(expected))
            largest[name] = float(difference.max())
        worst = max(largest, key=lambda name: largest[name])
        if not largest[worst] <= _TOLERANCE:
            raise InputError(
                f"{worst} of the public sample differs by {largest[worst]:.2g} from that of the published model",
                f"at most {_TOLERANCE:g}",
                "take the published files; weights of your own are imported without --sample and CODAE_SAMPLE",
            )
        return largest


def read_published(kind: Kind, files: Sequence[Path], config: CoDAEConfig, seed: int = 0) -> Imported:
    """The model of TF-Lite files, one for each part, or of a checkpoint (its .index file, its data file, or both).

    config: sizes, with a `categorical` table for a CoDVAE. Raises InputError for a wrong, missing or surplus file, a
    part of the other kind of model, and every weight that has no place or is not there.
    """
    if kind not in _PUBLISHED or (config.categorical is None) != (kind == "codae"):
        raise InputError(
            f"model.categorical = {config.categorical} for --kind {kind}",
            "none for a CoDAE, a table for a CoDVAE",
            "correct the config, or --kind",
        )
    parts: dict[str, PartWeights] = {}
    used = _with_companions(files)
    for weights in _read(used, config):
        if weights.part in parts:
            sources = f"{parts[weights.part].source} and {weights.source}"
            raise InputError(f"{weights.part} twice, in {sources}", "one file of each part", "remove one")
        parts[weights.part] = weights
    if missing := [part for part in PARTS if part not in parts or not parts[part].layers]:
        raise InputError(f"no {missing[0]} in the files", "f_m, f_R and the decoder", "name the file of each part")
    model = CoDAE(config, seed) if kind == "codae" else CoDVAE(config, seed, known_prior=False)
    published = {}
    for part, weights in parts.items():
        _check_kind(kind, weights)
        assign(model, weights)
        published[part] = checksum(weights) == _PUBLISHED[kind][part]
    return Imported(model, used, published)


def _with_companions(files: Sequence[Path]) -> tuple[Path, ...]:
    """The files, and of a checkpoint all of its own."""
    found: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise InputError(f"{file} does not exist", "a TF-Lite file or one of a checkpoint", "check the path")
        prefix = checkpoint_prefix(file)
        others = sorted(file.parent.glob(f"{glob.escape(prefix.name)}.*")) if prefix else []
        for each in (file, *(other for other in others if checkpoint_prefix(other) == prefix)):
            if each.resolve() != found.setdefault(each.name, each).resolve():
                raise InputError(f"{each} and {found[each.name]} of one name", "files of different names", "rename one")
    return tuple(found.values())


def _read(files: Sequence[Path], config: CoDAEConfig) -> list[PartWeights]:
    found, prefixes = [], []
    for file in files:
        prefix = checkpoint_prefix(file)
        if prefix is not None and prefix not in prefixes:
            prefixes.append(prefix)
            found += read_checkpoint(prefix, config)
        elif prefix is None:
            found.append(read_tflite(file, config))
    return found


def _check_kind(kind: Kind, weights: PartWeights) -> None:
    """Refuse a part of the other published model, whose layers have the same shapes."""
    for other in (name for name in _PUBLISHED if name != kind):
        if checksum(weights) == _PUBLISHED[other][weights.part]:
            raise InputError(
                f"{weights.source} holds the {weights.part} of the published {other}", f"that of the {kind}", "take it"
            )


def _references(folder: Path) -> list[tuple[Path, dict[str, np.ndarray]]]:
    """The files of the public sample that have published scores: (path, score -> (N,))."""
    scores = folder / "reference_scores.npz"
    expected, remedy = "the public sample with its scores", "correct --sample"
    rows = read_arrays(scores, expected, remedy, ("columns",))
    with reading(scores, expected, remedy):
        columns = [str(name) for name in rows.pop("columns")]
        at: dict[str, Any] = {name: columns.index(column) for name, column in _REFERENCES.items()}
    paths = {path.stem: path for path in sorted(folder.glob("t*/*.npz"))}
    found = [(paths[stem], {name: row[:, i] for name, i in at.items()}) for stem, row in rows.items() if stem in paths]
    if not found:
        raise InputError(f"{folder} without the files of {scores.name}", "train/ and test/ of the sample", "fetch them")
    return found
