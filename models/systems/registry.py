"""The registry: every system that is trained and compared on the same events, by its name.

A system is a class (models/systems/base.py says what it has), its config one field of SystemsConfig, the table
`[systems.<name>]` of a run's TOML. `scripts/train.py --model NAME` trains one, `scripts/compare.py` compares them.
"""

from dataclasses import dataclass, field
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems.array import BoostedTreesSystem, ObservablesSystem
from codae_l1.models.systems.base import System
from codae_l1.models.systems.boosted_trees import BoostedTreesConfig
from codae_l1.models.systems.cct import CctSystem, CctSystemConfig, CctThreeClassSystem, CctThreeClassSystemConfig
from codae_l1.models.systems.codae import CodaeSystem, CodvaeSystem
from codae_l1.models.systems.density import IsolationConfig, MixtureConfig
from codae_l1.models.systems.dirichlet import DirichletSystem, DirichletSystemConfig
from codae_l1.models.systems.jets import (
    FnsSystem,
    FnsSystemConfig,
    JetAESystem,
    JetAESystemConfig,
    JetDirichletConfig,
    JetDirichletSystem,
    PcaConfig,
    PcaSystem,
)
from codae_l1.models.systems.latent import (
    IsolationSystem,
    LatentNormSystem,
    MahalanobisSystem,
    MixtureSystem,
    UntrainedSystem,
)
from codae_l1.models.systems.qcd_or_what import QcdOrWhatSystem, QcdOrWhatSystemConfig
from codae_l1.models.systems.raw_ae import PcaEventsConfig, PcaEventsSystem, RawAESystem, RawAESystemConfig

_CLASSES: tuple[type[System], ...] = (
    CodaeSystem,
    CodvaeSystem,
    DirichletSystem,
    QcdOrWhatSystem,
    RawAESystem,
    CctSystem,
    CctThreeClassSystem,
    ObservablesSystem,
    PcaEventsSystem,
    BoostedTreesSystem,
    LatentNormSystem,
    MahalanobisSystem,
    MixtureSystem,
    IsolationSystem,
    UntrainedSystem,
    JetAESystem,
    FnsSystem,
    PcaSystem,
    JetDirichletSystem,
)
# Name -> class, in the order of the tables.
SYSTEMS: dict[str, type[System]] = {cls.name: cls for cls in _CLASSES}


@dataclass(frozen=True)
class SystemsConfig:
    """One field, and so one table `[systems.<name>]`, a system.

    codae, codvae and untrained have none: they take the run's `[model]` and `[training]` (models/systems/codae.py).
    """

    dirichlet: DirichletSystemConfig = field(default_factory=DirichletSystemConfig)
    qcd_or_what: QcdOrWhatSystemConfig = field(default_factory=QcdOrWhatSystemConfig)
    raw_ae: RawAESystemConfig = field(default_factory=RawAESystemConfig)
    cct: CctSystemConfig = field(default_factory=CctSystemConfig)
    cct_three_class: CctThreeClassSystemConfig = field(default_factory=CctThreeClassSystemConfig)
    pca_events: PcaEventsConfig = field(default_factory=PcaEventsConfig)
    bdt: BoostedTreesConfig = field(default_factory=BoostedTreesConfig)
    gaussian_mixture: MixtureConfig = field(default_factory=MixtureConfig)
    isolation_forest: IsolationConfig = field(default_factory=IsolationConfig)
    jet_ae: JetAESystemConfig = field(default_factory=JetAESystemConfig)
    fns_ae: FnsSystemConfig = field(default_factory=FnsSystemConfig)
    pca: PcaConfig = field(default_factory=PcaConfig)
    jet_dirichlet: JetDirichletConfig = field(default_factory=JetDirichletConfig)


def create_system(name: str, config: Any, seed: int = 0) -> System:
    """An untrained system; config: its own dataclass."""
    return system_class(name)(config, seed)


def system_class(name: str) -> type[System]:
    """The class of a name; InputError lists the names where there is none."""
    if name not in SYSTEMS:
        raise InputError(f"model {name!r}", f"one of {', '.join(SYSTEMS)}", "choose one of them")
    return SYSTEMS[name]
