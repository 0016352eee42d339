"""The registry of the systems that are trained and compared on the same events, one line each, and their configs.

A system is a class (models/systems/base.py says what it has) and one line of SystemsConfig: its name, where the class
is, and the defaults of its table `[systems.<name>]`. `scripts/train.py --model NAME` trains one, `scripts/compare.py`
compares them. Nothing here imports TensorFlow: a class is imported when it is asked for.
"""

# ruff: noqa: RUF009 (`_system` is dataclasses.field)

from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import PoolingConfig
from codae_l1.models.systems._density_configs import InnSystemConfig, NaeSystemConfig
from codae_l1.models.systems._removed import REMOVED
from codae_l1.models.systems._training_table import BRIEF as BRIEF
from codae_l1.models.systems._training_table import BRIEF_COSINE as BRIEF_COSINE
from codae_l1.models.systems._training_table import SystemTraining, _CosineTraining
from codae_l1.models.systems._training_table import require_sizes as _require_sizes

if TYPE_CHECKING:
    from codae_l1.models.systems.base import System

# Pixels per side of the jet images that there are.
JET_SIDES = (16, 40)


@dataclass(frozen=True)
class DirichletConfig:
    """hidden: units. concentration: a of the prior, one entry per component (R of them). latent_weight: of the latent
    KL in the loss."""

    latent_weight: ClassVar[float] = 0.1

    hidden: int = 512
    concentration: tuple[float, ...] = (1.0, 0.25, 0.1)

    def __post_init__(self):
        _require_sizes("Dirichlet VAE", hidden=self.hidden)
        if len(self.concentration) < 2 or not all(0 < a < float("inf") for a in self.concentration):
            raise InputError(
                f"Dirichlet VAE's concentration = {list(self.concentration)}",
                "two or more finite numbers above zero",
                "correct it",
            )


@dataclass(frozen=True)
class DirichletSystemConfig:
    """Published: 200 epochs of batches of 256. On the shipped events the loss has settled after far fewer."""

    model: DirichletConfig = DirichletConfig()
    training: _CosineTraining = _CosineTraining(30, 256, 1e-3)


@dataclass(frozen=True)
class QcdOrWhatConfig:
    """filters: of the first convolution and of all others. units: of the dense layers, twice. bottleneck: size of z."""

    filters: tuple[int, ...] = (10, 5)
    units: tuple[int, ...] = (400, 100)
    bottleneck: int = 32

    def __post_init__(self):
        sizes = (*self.filters, *self.units, self.bottleneck)
        if (len(self.filters), len(self.units)) != (2, 2) or min(sizes) < 1 or self.units[0] % 400:
            raise InputError(
                f"QCD-or-What of filters {list(self.filters)}, units {list(self.units)}, bottleneck {self.bottleneck}",
                "two filters, two units (the first a multiple of 20 x 20), all at least one",
                "correct them",
            )


@dataclass(frozen=True)
class QcdOrWhatSystemConfig:
    """Sizes and training."""

    model: QcdOrWhatConfig = QcdOrWhatConfig()
    training: SystemTraining = SystemTraining(6)


@dataclass(frozen=True)
class RawAEConfig:
    """units: of the encoder's layers, mirrored in the decoder. bottleneck: size of z."""

    units: tuple[int, ...] = (64, 32)
    bottleneck: int = 6

    def __post_init__(self):
        if min((*self.units, self.bottleneck)) < 1:
            raise InputError(
                f"raw_ae of units {list(self.units)}, bottleneck {self.bottleneck}", "numbers >= 1", "correct them"
            )


@dataclass(frozen=True)
class RawAESystemConfig:
    """Sizes and training."""

    model: RawAEConfig = RawAEConfig()
    training: SystemTraining = SystemTraining(20, 128)


@dataclass(frozen=True)
class CctConfig:
    """filters: of the convolutions, the last is the width of a token. layers, heads, key: of the attention.

    mlp: units, the last as wide as a token. The defaults are for two cores; models/systems/_cct.py has the published
    sizes.
    """

    filters: tuple[int, ...] = (16, 32, 64)
    layers: int = 2
    heads: int = 2
    key: int = 32
    mlp: tuple[int, ...] = (64, 64)

    def __post_init__(self):
        sizes = (*self.filters, self.layers, self.heads, self.key, *self.mlp)
        if not self.filters or not self.mlp or min(sizes) < 1 or self.mlp[-1] != self.filters[-1]:
            raise InputError(
                f"CCT of filters {list(self.filters)}, {self.layers} layers, {self.heads} heads, key {self.key}, mlp "
                f"{list(self.mlp)}",
                "numbers >= 1, the last of mlp as wide as the last of filters",
                "correct them",
            )


@dataclass(frozen=True)
class CctSystemConfig:
    """Sizes and training; published: 30 epochs."""

    model: CctConfig = CctConfig()
    training: _CosineTraining = _CosineTraining(20, learning_rate=2e-3)


@dataclass(frozen=True)
class _AnomalyClrConfig:
    """loss: CLR, AnomCLR or AnomCLR+ (models/systems/_contrastive.py). width: of the representation and of all units.

    layers: of the transformer. Published: 160 and 4, 673,600 parameters.
    """

    loss: Literal["CLR", "AnomCLR", "AnomCLR+"] = "AnomCLR+"
    width: int = 32
    layers: int = 2

    def __post_init__(self):
        if min(self.width, self.layers) < 1 or self.width % 4:
            raise InputError(
                f"anomaly_clr of width {self.width}, {self.layers} layers",
                "numbers >= 1, the width a multiple of its 4 heads",
                "correct them",
            )


@dataclass(frozen=True)
class _AnomalyClrSystemConfig:
    """Sizes and training; published: 500 epochs of batches of 128 at 5e-5."""

    model: _AnomalyClrConfig = _AnomalyClrConfig()
    training: SystemTraining = SystemTraining(20, 128, 1e-3)


@dataclass(frozen=True)
class PcaEventsConfig:
    """components: k."""

    components: int = 6

    def __post_init__(self):
        rows, columns, _ = PoolingConfig().shape
        if not 0 <= self.components <= rows * columns:
            raise InputError(
                f"systems.pca_events.components = {self.components}", f"0 to {rows * columns}", "correct it"
            )


@dataclass(frozen=True)
class BoostedTreesConfig:
    """trees: at most; the number with the lowest log loss on the events kept apart is taken. leaves: per tree.

    leaf_events: at least, in a leaf. learning_rate: shrinkage of each tree.
    """

    leaves: ClassVar[int] = 8
    leaf_events: ClassVar[int] = 20
    learning_rate: ClassVar[float] = 0.05

    trees: int = 300

    def __post_init__(self):
        if self.trees < 1:
            raise InputError(f"systems.bdt.trees = {self.trees}", "a number >= 1", "correct it")


@dataclass(frozen=True)
class MixtureConfig:
    """components: Gaussians of the mixture."""

    components: int = 5

    def __post_init__(self):
        if self.components < 1:
            raise InputError(f"systems.gaussian_mixture.components = {self.components}", "a number >= 1", "raise it")


@dataclass(frozen=True)
class _IsolationConfig:
    """trees, each grown from 256 events (both as Liu, Ting and Zhou, ICDM 2008)."""

    trees: int = 100

    def __post_init__(self):
        _require_sizes("isolation_forest", trees=self.trees)


@dataclass(frozen=True)
class JetAEConfig:
    """filters: channels of every convolution. bottleneck: size of z."""

    filters: int = 128
    bottleneck: int = 2

    def __post_init__(self):
        _require_sizes("jet auto-encoder", filters=self.filters, bottleneck=self.bottleneck)


@dataclass(frozen=True)
class JetAESystemConfig:
    """The small auto-encoder and its training: 10 epochs of Adam at a constant rate, batch 32."""

    model: JetAEConfig = JetAEConfig()
    training: SystemTraining = SystemTraining(10, 32, 1e-3)


@dataclass(frozen=True)
class JetDirichletConfig(DirichletConfig):
    """Sizes of arXiv:2104.08291: 40 x 40 pixels, 100 units; side = 16 takes the coarse images."""

    hidden: int = 100
    side: int = 40

    def __post_init__(self):
        super().__post_init__()
        if self.side not in JET_SIDES:
            raise InputError(f"jet_dirichlet.model.side = {self.side}", "16 or 40", "choose one of them")


@dataclass(frozen=True)
class JetDirichletSystemConfig:
    """As arXiv:2104.08291, with 30 of its 200 epochs."""

    model: JetDirichletConfig = JetDirichletConfig()
    training: SystemTraining = SystemTraining(30, 100, 5e-3)


@dataclass(frozen=True)
class PcaConfig:
    """components: k. side: pixels per side of its images, 16 or 40."""

    components: int = 2
    side: int = 16

    def __post_init__(self):
        if self.components < 0 or self.side not in JET_SIDES:
            raise InputError(
                f"pca of {self.components} components, side {self.side}", "0 or more, 16 or 40", "correct them"
            )


@dataclass(frozen=True)
class _DarkClrConfig:
    """width: of the representation; the other sizes are multiples of it. Published: 128, 1,122,304 parameters."""

    width: int = 32

    def __post_init__(self):
        if self.width < 1 or self.width % 4:
            raise InputError(f"dark_clr.model.width = {self.width}", "a multiple of its 4 heads", "correct it")


@dataclass(frozen=True)
class _DarkClrSystemConfig:
    """Size and training; published: 150 epochs of batches of 256 at 5e-5, of 100,000 jets."""

    model: _DarkClrConfig = _DarkClrConfig()
    training: SystemTraining = SystemTraining(30, 256, 1e-3)


def _system(path: str, config: Any = None) -> Any:
    """A line of SystemsConfig. path: "module.Class" in models/systems. config: defaults of its table, if it has one."""
    return field(default=config, init=config is not None, metadata={"class": path})


@dataclass(frozen=True)
class SystemsConfig:
    """All systems in the order of the tables of results; a field with a config is a table `[systems.<name>]`.

    codae, codvae and untrained have none: they take the run's `[model]` and `[training]`; cct_three_class takes the
    table of cct.
    """

    REMOVED: ClassVar[dict[str, Any]] = REMOVED

    codae: None = _system("_codae.CodaeSystem")
    codvae: None = _system("_codae.CodvaeSystem")
    dirichlet: DirichletSystemConfig = _system("_dirichlet.DirichletSystem", DirichletSystemConfig())
    qcd_or_what: QcdOrWhatSystemConfig = _system("_qcd_or_what.QcdOrWhatSystem", QcdOrWhatSystemConfig())
    raw_ae: RawAESystemConfig = _system("_raw_ae.RawAESystem", RawAESystemConfig())
    cct: CctSystemConfig = _system("_cct.CctSystem", CctSystemConfig())
    cct_three_class: None = _system("_cct.CctThreeClassSystem")
    observables: None = _system("_observables.ObservablesSystem")
    pca_events: PcaEventsConfig = _system("pca.PcaEventsSystem", PcaEventsConfig())
    bdt: BoostedTreesConfig = _system("_boosted_trees.BoostedTreesSystem", BoostedTreesConfig())
    latent_norm: None = _system("_latent.LatentNormSystem")
    mahalanobis: None = _system("_latent.MahalanobisSystem")
    gaussian_mixture: MixtureConfig = _system("_latent.MixtureSystem", MixtureConfig())
    isolation_forest: _IsolationConfig = _system("_latent.IsolationSystem", _IsolationConfig())
    anomaly_clr: _AnomalyClrSystemConfig = _system("_anomaly_clr.AnomalyClrSystem", _AnomalyClrSystemConfig())
    untrained: None = _system("_latent.UntrainedSystem")
    jet_ae: JetAESystemConfig = _system("_jets.JetAESystem", JetAESystemConfig())
    fns_ae: JetAESystemConfig = _system("_jets.FnsSystem", JetAESystemConfig(JetAEConfig(32, 6)))
    pca: PcaConfig = _system("pca.PcaSystem", PcaConfig())
    jet_dirichlet: JetDirichletSystemConfig = _system("_jets.JetDirichletSystem", JetDirichletSystemConfig())
    dark_clr: _DarkClrSystemConfig = _system("_dark_clr.DarkClrSystem", _DarkClrSystemConfig())
    objects_ae: None = _system("_anomaly_clr.ObjectsAESystem")
    nae: NaeSystemConfig = _system("_nae.NaeSystem", NaeSystemConfig())
    inn: InnSystemConfig = _system("_inn.InnSystem", InnSystemConfig())


# Names of all systems, in the order of the tables.
SYSTEMS = tuple(f.name for f in fields(SystemsConfig))


def create_system(name: str, config: Any, seed: int = 0) -> "System":
    """An untrained system; config: its own dataclass."""
    return system_class(name)(config, seed)


def system_class(name: str) -> "type[System]":
    """The class of a name; InputError lists the names where there is none."""
    if name not in SYSTEMS:
        raise InputError(f"model {name!r}", f"one of {', '.join(SYSTEMS)}", "choose one of them")
    path = next(f.metadata["class"] for f in fields(SystemsConfig) if f.name == name)
    module, cls = path.split(".")
    return getattr(import_module(f"codae_l1.models.systems.{module}"), cls)
