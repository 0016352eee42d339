"""How the trigger network is trained (distilled, in situ) and searched for. This module does not import Keras."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar, Literal

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.data.events import SIGNALS
from codae_l1.data.pooling import PoolingConfig
from codae_l1.models.codae.config import CODVAE_SCORES, SCORES


@dataclass(frozen=True)
class DistillConfig:
    """How a score of the full model is distilled.

    scores: name in models/codae/scores.py -> weight in the sum.
    given_energies: learn the excess of the score over that of QCD events with the same energies; the firmware must
    read energies. copies: number of flipped and rolled copies of each QCD event.
    steps, qat_steps: number of batches of the float training and of the quantization-aware training.
    margin, output_margin, quantile: head room and range of the calibration (quantization/_calibration.py).
    input_margin: head room of the input word, which then replaces firmware.count_bits; 0 keeps count_bits.
    sparsity: fraction of each layer's weights that are zero during QAT and after it (quantization/_pruning.py).
    """

    scores: dict[str, float] = field(default_factory=lambda: {"block_power": 1.0})
    given_energies: bool = False
    copies: int = 2
    steps: int = 2000
    qat_steps: int = 1500
    batch_size: int = 128
    learning_rate: float = 0.01
    qat_learning_rate: float = 0.002
    margin: float = 1.5
    output_margin: float = 6.0
    input_margin: float = 0.0
    quantile: float = 1.0
    sparsity: float = 0.0

    REMOVED: ClassVar[Mapping[str, Any]] = {"transform": "none"}

    def __post_init__(self):
        for name, weight in self.scores.items():
            if name not in SCORES + CODVAE_SCORES or not isfinite(weight):
                expected = f"a finite weight of one of {', '.join(SCORES + CODVAE_SCORES)}"
                raise InputError(f"distill.scores.{name} = {weight}", expected, "choose one of them")
        if not any(self.scores.values()):
            raise InputError(f"distill.scores = {self.scores}", "a weight other than zero", "name a score")
        for name in ("copies", "steps", "qat_steps", "batch_size", "learning_rate", "qat_learning_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"distill.{name} = {getattr(self, name)}", "a number above zero", "raise it")
        for name in ("margin", "output_margin"):
            if not 1 <= getattr(self, name) < float("inf"):
                raise InputError(f"distill.{name} = {getattr(self, name)}", "a finite number >= 1", "correct it")
        if self.input_margin and not 1 <= self.input_margin < float("inf"):
            raise InputError(f"distill.input_margin = {self.input_margin}", "0, or a finite number >= 1", "correct it")
        if not 0 < self.quantile <= 1:
            raise InputError(f"distill.quantile = {self.quantile}", "above 0, at most 1", "take 1 for the maximum")
        if not 0 <= self.sparsity < 1:
            raise InputError(f"distill.sparsity = {self.sparsity}", "a share from 0 to below 1", "correct it")


@dataclass(frozen=True)
class InSituConfig:
    """Quantization-aware training (QAT) through the decoder.

    epochs: number of epochs, each over at most `events` masks. train_decoder: also train f_R and the decoder.
    warm_up_copies: number of augmented copies of each event for the float student from which QAT starts.
    """

    epochs: int = 2
    events: int = 2048
    batch_size: int = 128
    learning_rate: float = 0.002
    train_decoder: bool = False
    warm_up_copies: int = 2

    def __post_init__(self):
        for name in ("epochs", "events", "batch_size", "learning_rate", "warm_up_copies"):
            if getattr(self, name) <= 0:
                raise InputError(f"in_situ.{name} = {getattr(self, name)}", "a number above zero", "raise it")


@dataclass(frozen=True)
class Training:
    """One training of a firmware network.

    distill: steps, rates and calibration; for a training in situ, those of the float student from which it starts.
    in_situ: QAT through the decoder. progress: called with what is done.
    """

    distill: DistillConfig = field(default_factory=DistillConfig)
    in_situ: InSituConfig = field(default_factory=InSituConfig)
    seed: int = 0
    progress: Progress | None = None

    def part(self, name: str) -> Progress | None:
        """The callback for one part of the training: it puts the name of the part in front of each text."""
        progress = self.progress
        return None if progress is None else lambda done, total, text: progress(done, total, f"{name}: {text}")


@dataclass(frozen=True)
class SpaceConfig:
    """The values to choose from, one list per choice; a list with one value leaves no choice.

    pools, inputs, count_bits: the network's input (FirmwareConfig). convs: number of convolutions; filters, kernels:
    of each (sides of squares, which are also the stride; a design whose windows leave cells out is refused).
    windows: sides (phi, eta) of the windows of a distance. dense: units of a hidden dense layer, 0 for none. tied: one
    weight per channel. weight_bits, word_bits: of each layer's weights, of each hidden layer's output. sparsity:
    fraction of the weights that is pruned. scores: what is distilled, name -> weight; given_energies: its excess over
    QCD of the same energies, where the inputs have some (DistillConfig). training: "distilled", or "in situ" (reads
    tracks alone, gives two words; `scores` has no effect then), or else "zero_bias" alone: distances from zero-bias
    crossings, or auto-encoders of them (`dense` 0 or 1), for which pools, inputs, count_bits, windows, dense, and
    weight_bits and word_bits of what is squared are chosen.
    """

    pools: tuple[int, ...] = (4,)
    inputs: tuple[tuple[str, ...], ...] = (("tracks",),)
    count_bits: tuple[int, ...] = (5,)
    convs: tuple[int, ...] = (1,)
    filters: tuple[int, ...] = (2, 4, 8)
    kernels: tuple[int, ...] = (2, 3, 4)
    windows: tuple[tuple[int, ...], ...] = ((6, 3),)
    dense: tuple[int, ...] = (0,)
    tied: tuple[bool, ...] = (True, False)
    weight_bits: tuple[int, ...] = (5, 6, 7, 8)
    word_bits: tuple[int, ...] = (5, 6, 7, 8)
    sparsity: tuple[float, ...] = (0.0, 0.25, 0.5)
    scores: tuple[dict[str, float], ...] = field(default_factory=lambda: (DistillConfig().scores,))
    given_energies: tuple[bool, ...] = (False,)
    training: tuple[Literal["distilled", "in situ", "zero_bias"], ...] = ("distilled",)

    REMOVED: ClassVar[Mapping[str, Any]] = {"energy_lsbs_gev": [4.0], "score_bits": [12], "strides": [0]}

    def __post_init__(self):
        for f in dataclasses.fields(self):
            if not getattr(self, f.name):
                raise InputError(f"scan.space.{f.name} = []", "at least one value", "add one")
        if self.on_crossings and len(set(self.training)) > 1:
            raise InputError(
                f"scan.space.training = {list(self.training)}",
                "zero_bias alone, or others: they are judged by other events",
                "make a search for each",
            )
        for window in self.windows:
            if len(window) != 2 or min(window) < 1:
                raise InputError(f"scan.space.windows with {list(window)}", "two numbers (phi, eta) >= 1", "correct it")
        for pool in self.pools:
            for inputs in self.inputs:
                PoolingConfig(pool, inputs)
        for values in self.scores:
            DistillConfig(scores=values)
        for share in self.sparsity:
            DistillConfig(sparsity=share)
        least = dict.fromkeys(("convs", "dense"), 0)
        least |= dict.fromkeys(("count_bits", "filters", "kernels", "weight_bits", "word_bits"), 1)
        for name, low in least.items():
            if min(getattr(self, name)) < low:
                raise InputError(f"scan.space.{name} = {list(getattr(self, name))}", f"numbers >= {low}", "correct it")

    @property
    def on_crossings(self) -> bool:
        """Whether designs learn from zero-bias crossings, and are judged by what they keep at a rate of these."""
        return "zero_bias" in self.training


@dataclass(frozen=True)
class ScanConfig:
    """The budget of a search.

    trials: number of networks that are trained. batch: number of designs that the sampler proposes at once. Its
    proposals depend on the trials of earlier batches only, so the search is the same for any number of workers.
    max_lut, max_latency_ns: limits of a design; it is not trained if the lower edge of its estimate exceeds them.
    lut_budgets: for each budget, the best design within it is written as a config, provided that its words lose at most
    max_loss of AUC, or of efficiency, with respect to its own float version, on every signal, averaged over the seeds.
    signals: where the space learns from zero bias, a design is worth the mean efficiency of these at the
    first of trigger.points.
    steps, qat_steps: short schedule of a trial.
    front_seeds: number of seeds with which each design of the front is trained at the end, with the run's own
    [distill], before Yosys maps it; 0 omits this.
    """

    trials: int = 30
    batch: int = 6
    max_lut: int = 17_280
    max_latency_ns: float = 50.0
    lut_budgets: tuple[int, ...] = (17_280, 5_000)
    max_loss: float = 0.003
    signals: tuple[str, ...] = ("h125", "h200", "svj2100")
    steps: int = 1000
    qat_steps: int = 600
    front_seeds: int = 3
    space: SpaceConfig = field(default_factory=SpaceConfig)

    REMOVED: ClassVar[Mapping[str, Any]] = {"attempts": 20, "events": 8000}

    def __post_init__(self):
        least = dict.fromkeys(("trials", "batch", "max_lut", "steps", "qat_steps"), 1)
        for name, low in {**least, "front_seeds": 0}.items():
            if getattr(self, name) < low:
                raise InputError(f"scan.{name} = {getattr(self, name)}", f"a number >= {low}", "raise it")
        if not 0 <= self.max_loss < 1:
            raise InputError(f"scan.max_loss = {self.max_loss}", "a difference from 0 to 1", "correct it")
        different = len(set(self.signals)) == len(self.signals) > 0
        if not different or not set(self.signals) <= set(SIGNALS):
            expected = f"different names out of {', '.join(SIGNALS)}"
            raise InputError(f"scan.signals = {list(self.signals)}", expected, "correct it")
        if not self.max_latency_ns > 0 or min(self.lut_budgets, default=1) < 1:
            raise InputError(
                f"scan.max_latency_ns = {self.max_latency_ns}, scan.lut_budgets = {list(self.lut_budgets)}",
                "numbers above zero",
                "correct them",
            )
