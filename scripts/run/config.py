"""The config of a run: one section a stage, each the frozen dataclass of the code that it configures; TOML or JSON."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, read_toml
from codae_l1.data.events import QCD
from codae_l1.data.formats.event_file import Events
from codae_l1.data.generation.config import GenerationConfig
from codae_l1.data.menu import MenuConfig
from codae_l1.data.sample import CROSSINGS, SAMPLE_PILEUP
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.codae.config import COMPACT, CoDAEConfig
from codae_l1.models.evaluation.crossing_rates import parse_point
from codae_l1.models.evaluation.rates import RUN3_LUMINOSITY
from codae_l1.models.systems.registry import SystemsConfig
from codae_l1.models.training.config import COMPACT_TRAINING, TrainingConfig
from codae_l1.quantization.config import DistillConfig, InSituConfig, ScanConfig
from codae_l1.quantization.f_m.config import AUTOENCODER, FirmwareConfig


@dataclass(frozen=True)
class DataConfig:
    """Where the run's events come from.

    events: "sample" (the events that ship with the project), a path of an HDF5 file of our form, or "generate".
    generation: how to generate them, read where events = "generate".
    background: what models learn from and signals are told from: "qcd", or "zero_bias" of a file that make_data
        --layout crossings wrote with images.
    """

    events: str = "sample"
    generation: GenerationConfig = field(default_factory=GenerationConfig)
    background: Literal["qcd", "zero_bias"] = QCD

    def __post_init__(self):
        if self.events not in ("sample", "generate") and Path(self.events).suffix not in Events.suffixes:
            raise InputError(
                f"data.events = {self.events!r} with suffix {Path(self.events).suffix!r}",
                f'"sample", "generate" or an HDF5 file of our form ({", ".join(Events.suffixes)})',
                "make one with scripts/make_data.py --out; scripts/score.py takes .npz, too",
            )
        if self.background != QCD and self.events in ("sample", "generate"):
            raise InputError(
                f"data.background = {self.background!r} with data.events = {self.events!r}, which is QCD",
                "a file of crossings with images in data.events",
                "make one with scripts/make_data.py --layout crossings --all-images (docs/training.md)",
            )


@dataclass(frozen=True)
class EvaluationConfig:
    """bootstrap: resamplings of each AUC error. fprs: false-positive rates of the working points.

    rates_khz: rates of weighted QCD at which signal efficiencies are stated, at luminosity_cm2s [cm^-2 s^-1].
    """

    bootstrap: int = 200
    fprs: tuple[float, ...] = (0.1, 0.03, 0.01, 0.001)
    rates_khz: tuple[float, ...] = (0.1, 0.03, 0.01, 0.003)
    luminosity_cm2s: float = RUN3_LUMINOSITY

    def __post_init__(self):
        positive = all(0 < value < float("inf") for value in (*self.rates_khz, self.luminosity_cm2s))
        if not positive:
            raise InputError(
                f"evaluation.rates_khz = {list(self.rates_khz)}, luminosity_cm2s = {self.luminosity_cm2s}",
                "finite numbers above zero",
                "correct them",
            )
        for key, values in (("rates_khz", self.rates_khz), ("fprs", self.fprs)):
            if not values:
                raise InputError(f"evaluation.{key} = []", "at least one number", "add one, or remove the key")
            if len({f"{value:g}" for value in values}) < len(values):
                raise InputError(
                    f"evaluation.{key} = {list(values)}, two of which have one name",
                    "numbers that differ in six digits",
                    "remove one",
                )
        if self.bootstrap < 2 or not all(0 < f < 1 for f in self.fprs):
            raise InputError(
                f"evaluation.bootstrap = {self.bootstrap}, evaluation.fprs = {list(self.fprs)}",
                "at least 2 resamplings, rates between 0 and 1",
                "correct them",
            )


@dataclass(frozen=True)
class TriggerConfig:
    """Rates on zero-bias crossings, and what the trigger keeps beside a menu.

    crossings: "sample" (those that ship with the project; none where data.events is a file of the user's), a file of
    `make_data.py --layout crossings`, or "none".
    crossing_khz: rate of crossings of filled bunches; of the LHC 2,544 bunches x 11.245 kHz. points: working points, a
    share of crossings such as "1e-3", a rate such as "20 kHz", or a rate beyond the menu such as "1 kHz pure". menu:
    its paths and their rate.
    """

    crossings: str = "sample"
    crossing_khz: float = 28_607.0
    points: tuple[str, ...] = ("1e-2", "1e-3", "20 kHz pure", "1 kHz pure")
    menu: MenuConfig = MenuConfig.PRESETS["phase1"]

    def __post_init__(self):
        if not 0 < self.crossing_khz < float("inf"):
            raise InputError(f"trigger.crossing_khz = {self.crossing_khz}", "a rate above 0 kHz", "correct it")
        if not self.menu.total_khz < self.crossing_khz:
            raise InputError(
                f"trigger.menu.total_khz = {self.menu.total_khz:g}",
                f"a rate below that of the crossings, {self.crossing_khz:g} kHz",
                "lower it, or correct trigger.crossing_khz",
            )
        asked = [parse_point(name, self.crossing_khz)[1:] for name in self.points]
        if self.crossings not in ("sample", "none") and Path(self.crossings).suffix not in Events.suffixes:
            raise InputError(
                f"trigger.crossings = {self.crossings!r}",
                f'"sample", "none" or a file of crossings ({", ".join(Events.suffixes)})',
                "make one with scripts/make_data.py --layout crossings",
            )
        # "1e-3" and "0.001" are one point.
        if not asked or len(set(asked)) < len(asked):
            raise InputError(f"trigger.points = {list(self.points)}", "at least one, all different", "correct them")

    @property
    def path(self) -> Path:
        """The file of crossings; there is none where crossings = "none"."""
        return CROSSINGS if self.crossings == "sample" else Path(self.crossings)


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines the numbers of a run; the defaults describe one compact run, the demo.

    seed: the seed from which all others are derived. A table of a TOML file changes the keys that it names and keeps
    the others of the compact run; `preset = "paper"` in `[model]` or `[training]` starts from the published ones
    instead.
    """

    seed: int = 1
    data: DataConfig = field(default_factory=DataConfig)
    model: CoDAEConfig = COMPACT
    training: TrainingConfig = COMPACT_TRAINING
    firmware: FirmwareConfig = AUTOENCODER
    distill: DistillConfig = field(default_factory=DistillConfig)
    in_situ: InSituConfig = field(default_factory=InSituConfig)
    hls: HlsConfig = field(default_factory=HlsConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    trigger: TriggerConfig = field(default_factory=TriggerConfig)
    scan: ScanConfig = field(default_factory=ScanConfig)
    systems: SystemsConfig = field(default_factory=SystemsConfig)

    def __post_init__(self):
        if self.seed < 0:
            raise InputError(f"seed = {self.seed}", "a number >= 0", "correct it")
        self.firmware.check_windows()
        plain = DistillConfig()
        which = ("scores", "given_energies", "input_margin", "sparsity")
        unused = [name for name in which if getattr(self.distill, name) != getattr(plain, name)]
        if self.firmware.distance and unused:
            raise InputError(
                f"distill.{unused[0]} = {getattr(self.distill, unused[0])} with firmware.distance",
                "its default, for it has no effect on a distance",
                'remove it, or set firmware.preset = "distilled"',
            )
        if self.firmware.outputs != 1:
            raise InputError(
                f"firmware.outputs = {self.firmware.outputs}",
                "1, the distilled score (in situ, a run takes the two of z_m by itself)",
                "remove it",
            )

    def why_no_crossings(self) -> str | None:
        """Why the run has no zero-bias crossings, or None; what a file of them carries is another question.

        >>> RunConfig(data=DataConfig("mine.h5")).why_no_crossings()
        "data.events = 'mine.h5' without crossings of their own (trigger.crossings)"
        """
        if self.trigger.crossings == "none":
            return 'trigger.crossings = "none"'
        own = self.data.events in ("sample", "generate") or self.data.background != QCD
        if self.trigger.crossings == "sample" and not own:
            return f"data.events = {self.data.events!r} without crossings of their own (trigger.crossings)"
        mean = self.data.generation.pileup_mean
        if self.trigger.crossings == "sample" and self.data.events == "generate" and mean != SAMPLE_PILEUP:
            return f"events of pile-up {mean:g} without crossings of their own (trigger.crossings)"
        return None


_CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def load_config(path: Path | str) -> RunConfig:
    """Read a TOML config, or the config.json of a run folder; errors name the file or the dotted path of the key.

    A bare name, such as demo, is one of the configs that the package holds (scripts/configs).
    """
    path = Path(path)
    packaged = _CONFIGS / f"{path}.toml"
    if path.parent == Path() and not path.suffix and not path.is_file() and packaged.is_file():
        path = packaged
    shipped = _CONFIGS / path.name
    if path.parent == Path() and not path.exists() and shipped.is_file():
        near = shipped.relative_to(Path.cwd()) if shipped.is_relative_to(Path.cwd()) else shipped
        raise InputError(f"{path} does not exist", "a TOML config", f"--config {near} is the shipped one")
    try:
        return parse(RunConfig, _read_stored(path) if path.suffix == ".json" else read_toml(path))
    except InputError as error:
        if str(path) in error.received:
            raise
        raise InputError(f"{path}: {error.received}", error.expected, error.remedy) from error


def _read_stored(path: Path) -> dict[str, Any]:
    """A run folder's config.json; those of before firmware.distance was a key have a network without one."""
    stored = read_json(path)
    if isinstance(stored, dict) and isinstance(stored.get("firmware"), dict):
        stored["firmware"].setdefault("distance", [])
    return stored
