"""A study of trigger rates: crossings of one or several pile-ups from one pool, streamed, and what they say."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.events import SIGNALS, ZERO_BIAS
from codae_l1.data.generation.config import Work
from codae_l1.data.generation.crossings import has_fewer, make_chunks, redrawn_collisions, require_pythia
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.models.evaluation.crossing_rates import pileup_points
from codae_l1.scripts.run.config import TriggerConfig
from codae_l1.scripts.studies._streamed_reach import predicted_reach
from codae_l1.scripts.studies._streamed_words import RunWords, Streamed
from codae_l1.scripts.studies.trigger import trigger_section

# Scores, the first of which orders the highest crossings; pile-up at which thresholds are fixed, if it is asked for.
SCORES, REFERENCE = ("rtl", "block_power", "active_pixels"), 50.0
HIGHEST = 100
# Keys of the table [generation] that the command's options give, or that a study has no use for.
_GIVEN = {
    "n_crossings": "--crossings",
    "n_signal": "--signals",
    "pileup": "--pileup",
    "pileup_shares": "one value of --pileup for each sample",
    "n_signal_validation": "--signals; all crossings are of the test split",
    "n_images": "make_data.py --layout crossings, which keeps images",
    "all_images": "make_data.py --layout crossings, which keeps images",
}
_STUDY, _NETWORK = "study.json", "trigger network"


@dataclass(frozen=True)
class Study:
    """What is streamed: a sample per pile-up, each in its folder.

    folder: of the study. configs: mean number of collisions -> config of its crossings. words: what measures them.
    """

    folder: Path
    configs: Mapping[float, CrossingsConfig]
    words: RunWords

    @property
    def reference(self) -> float:
        """The pile-up whose sample comes first and at which thresholds are fixed."""
        return REFERENCE if REFERENCE in self.configs else next(iter(self.configs))

    def sample_folder(self, mu: float) -> Path:
        """Where the chunks of a pile-up are."""
        return self.folder / f"pileup-{mu:g}"

    def check(self) -> None:
        """InputError where the study's folder holds crossings of another config or network, or Pythia is missing.

        More crossings of the same config are made in addition to those that are there.
        """
        require_pythia()
        for mu, config in self.configs.items():
            path = self.sample_folder(mu) / _STUDY
            if not path.exists():
                continue
            made, asked = read_json(path), self._made_from(config)
            different = [key for key in asked if made.get(key) != asked[key]] if isinstance(made, dict) else [_STUDY]
            more = different == ["n_crossings"] and has_fewer({k: v for k, v in made.items() if k != _NETWORK}, config)
            if different and not more:
                raise InputError(
                    f"{path.parent} with crossings of another {different[0]}",
                    "crossings of the config and the trigger network given, as many or fewer",
                    "choose another --name, or remove the folder",
                )

    def make(self, work: Work) -> dict[float, dict[str, Streamed]]:
        """The crossings of each pile-up by process, made where they are not there; the reference's pool is shared."""
        made: dict[float, dict[str, Streamed]] = {}
        for mu in sorted(self.configs, key=lambda mu: mu != self.reference):
            config, folder = self.configs[mu], self.sample_folder(mu)
            write_json(folder / _STUDY, self._made_from(config))
            pool = self.sample_folder(self.reference) if mu != self.reference else None
            tasks = make_chunks(config, self.words, folder, _titled(work, mu), pool)
            processes = dict.fromkeys(task.process for task in tasks)
            made[mu] = {name: Streamed([t for t in tasks if t.process == name], folder) for name in processes}
        return {mu: made[mu] for mu in self.configs}

    def _made_from(self, config: CrossingsConfig) -> dict[str, Any]:
        return {**dump(config), _NETWORK: self.words.network}


def study_configs(
    table: Mapping[str, Any], crossings: int, signals: int, pileup: tuple[float, ...]
) -> dict[float, CrossingsConfig]:
    """Pile-up -> config of its sample; table: the keys of a file's [generation]."""
    for key in (key for key in _GIVEN if key in table):
        raise InputError(f"generation.{key} in the config of a study", _GIVEN[key], "remove the key")
    if crossings < 1 or signals < 0:
        raise InputError(
            f"--crossings {crossings}, --signals {signals}", "at least one crossing, signals >= 0", "correct them"
        )
    # The folder of a sample has its pile-up as its name.
    if len({f"{mu:g}" for mu in pileup}) < len(pileup):
        raise InputError(
            f"--pileup {' '.join(f'{mu:g}' for mu in pileup)}", "different values, in six digits", "name each once"
        )
    common = {"processes": list(SIGNALS), **table, "n_crossings": [0, 0, 0, crossings], "n_signal": signals}
    common |= {"n_signal_validation": 0} | ({} if signals else {"processes": []})
    return {mu: parse(CrossingsConfig, {**common, "pileup": [mu]}, "generation") for mu in pileup}


def study_results(study: Study, trigger: TriggerConfig, made: Mapping[float, Mapping[str, Streamed]]) -> dict[str, Any]:
    """What the crossings say, ready for JSON; every sample is read from its files, a chunk at a time."""
    mu = study.reference
    samples = {at: (of[ZERO_BIAS], {name: of[name] for name in SIGNALS if name in of}) for at, of in made.items()}
    zero_bias, signals = samples[mu]
    generated = {
        name: {key: of.column(key).astype(float) for key in ("jet_ht", "scalar_pt")} for name, of in signals.items()
    }
    section = trigger_section(trigger, zero_bias, signals, SCORES, generated)
    section |= {
        "pileup": mu,
        "crossings": len(zero_bias),
        "file": f"rates/{study.folder.name}/{study.sample_folder(mu).name}",
        "vertex_lost": {name: of.vertex_lost() for name, of in made[mu].items()},
    }
    against = None
    if len(samples) > 1:
        menu = {path: of["threshold"] for path, of in section["menu"]["paths"].items()}
        against = pileup_points(samples, trigger.points, menu, trigger.crossing_khz, SCORES, mu)
    return {
        "predicted_reach": {
            f"{at:g}": predicted_reach(config, trigger.crossing_khz) for at, config in study.configs.items()
        },
        "generation": {f"{at:g}": dump(config) for at, config in study.configs.items()},
        "redrawn_collisions": redrawn_collisions(study.configs[mu], study.sample_folder(mu)),
        "network": study.words.network,
        "trigger": section,
        "against_pileup": against,
        "highest": zero_bias.highest(SCORES[0], HIGHEST),
    }


def _titled(work: Work, mu: float) -> Work:
    """The same with the pile-up in its progress."""
    progress = work.progress
    if progress is None:
        return work
    return replace(work, progress=lambda done, total, text: progress(done, total, f"pile-up {mu:g}, {text}"))
