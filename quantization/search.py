"""The co-design search: what may be chosen, what it may cost, and which of the designs found are on the front.

A design is chosen value by value from a SpaceConfig by an Optuna trial; `design` makes of the choices the configs that
training reads. A point is better than another where its AUC is higher at no more LUT, or its LUT lower at no less AUC.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import PoolingConfig
from codae_l1.quantization.distill import DistillConfig
from codae_l1.quantization.f_m.network import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.precision import LayerPrecision

P = TypeVar("P")
Training = Literal["distilled", "in situ"]


@dataclass(frozen=True)
class SpaceConfig:
    """Values to choose from, one list a question; a list of one value asks nothing.

    pools, inputs, energy_lsbs_gev, count_bits: the network's input (FirmwareConfig).
    convs: number of convolutions; filters, kernels, strides: of each (sides of squares; stride 0: as the kernel).
    dense: units of a hidden dense layer, 0 for none. tied: one weight a channel.
    weight_bits, word_bits: of each layer's weights, of each hidden layer's output. score_bits: of the output word.
    sparsity: share of the weights that is pruned. scores: what is distilled, name -> weight; given_energies: its excess
    over QCD of the same energies, where the inputs have some (DistillConfig).
    training: "distilled", or "in situ" (reads tracks alone, gives two words; `scores` has no effect then).
    """

    pools: tuple[int, ...] = (4,)
    inputs: tuple[tuple[str, ...], ...] = (("tracks",),)
    energy_lsbs_gev: tuple[float, ...] = (4.0,)
    count_bits: tuple[int, ...] = (5,)
    convs: tuple[int, ...] = (1,)
    filters: tuple[int, ...] = (2, 4, 8)
    kernels: tuple[int, ...] = (2, 3, 4)
    strides: tuple[int, ...] = (0,)
    dense: tuple[int, ...] = (0,)
    tied: tuple[bool, ...] = (True, False)
    weight_bits: tuple[int, ...] = (5, 6, 7, 8)
    word_bits: tuple[int, ...] = (5, 6, 7, 8)
    score_bits: tuple[int, ...] = (12,)
    sparsity: tuple[float, ...] = (0.0, 0.25, 0.5)
    scores: tuple[dict[str, float], ...] = field(default_factory=lambda: (DistillConfig().scores,))
    given_energies: tuple[bool, ...] = (False,)
    training: tuple[Training, ...] = ("distilled",)

    def __post_init__(self):
        for f in dataclasses.fields(self):
            if not getattr(self, f.name):
                raise InputError(f"scan.space.{f.name} = []", "at least one value", "add one")
        for pool in self.pools:
            for inputs in self.inputs:
                for lsb in self.energy_lsbs_gev:
                    PoolingConfig(pool, inputs, lsb)
        for values in self.scores:
            DistillConfig(scores=values)
        for share in self.sparsity:
            DistillConfig(sparsity=share)
        for name in ("convs", "dense", "strides"):
            if min(getattr(self, name)) < 0:
                raise InputError(f"scan.space.{name} = {list(getattr(self, name))}", "numbers >= 0", "correct it")


@dataclass(frozen=True)
class ScanConfig:
    """The budget of a search.

    trials: networks trained. batch: asked of the sampler at once; its answers follow from the trials of earlier
    batches, so the search is the same for any number of workers. attempts: designs asked for a trained one, at most
    (a space of designs that are all too large ends there).
    max_lut, max_latency_ns: of a design; one whose estimate's lower edge is above is not trained. lut_budgets: for
    each, the best design of at most so many LUT is written as a config, if its words lose at most max_loss of AUC
    against its own float twin, on any signal, in the mean over the seeds.
    events: QCD training events at most. steps, qat_steps: short schedule of a trial.
    front_seeds: seeds that each design of the front is trained with at the end, by the run's own [distill], then mapped
    by Yosys; 0 leaves that out.
    """

    trials: int = 30
    batch: int = 6
    attempts: int = 20
    max_lut: int = 17_280
    max_latency_ns: float = 50.0
    lut_budgets: tuple[int, ...] = (17_280, 5_000)
    max_loss: float = 0.003
    events: int = 8000
    steps: int = 1000
    qat_steps: int = 600
    front_seeds: int = 3
    space: SpaceConfig = field(default_factory=SpaceConfig)

    def __post_init__(self):
        least = dict.fromkeys(("trials", "batch", "attempts", "max_lut", "events", "steps", "qat_steps"), 1)
        for name, low in {**least, "front_seeds": 0}.items():
            if getattr(self, name) < low:
                raise InputError(f"scan.{name} = {getattr(self, name)}", f"a number >= {low}", "raise it")
        if not 0 <= self.max_loss < 1:
            raise InputError(f"scan.max_loss = {self.max_loss}", "an AUC difference from 0 to 1", "correct it")
        if not self.max_latency_ns > 0 or min(self.lut_budgets, default=1) < 1:
            raise InputError(
                f"scan.max_latency_ns = {self.max_latency_ns}, scan.lut_budgets = {list(self.lut_budgets)}",
                "numbers above zero",
                "correct them",
            )


def suggest(trial: Any, space: SpaceConfig) -> dict[str, Any]:
    """Ask an Optuna trial for one value of each question: name -> value, JSON-ready."""

    def ask(name: str, values: Sequence[Any]) -> Any:
        # Optuna's categories are plain values; lists and tables are asked for by their place.
        if len(values) == 1:
            return values[0]
        if isinstance(values[0], tuple | dict):
            return values[trial.suggest_categorical(name, list(range(len(values))))]
        return trial.suggest_categorical(name, list(values))

    choices = {"training": ask("training", space.training), "scores": ask("scores", space.scores)}
    choices["inputs"] = list(ask("inputs", space.inputs))
    for name, key in (("pool", "pools"), ("energy_lsb_gev", "energy_lsbs_gev")):
        choices[name] = ask(name, getattr(space, key))
    for name in ("given_energies", "count_bits", "tied", "sparsity", "score_bits", "convs", "dense"):
        choices[name] = ask(name, getattr(space, name))
    layers = [f"conv{i + 1}" for i in range(choices["convs"])]
    for layer in layers:
        for name, key in (("filters", "filters"), ("kernel", "kernels"), ("stride", "strides")):
            choices[f"{layer}.{name}"] = ask(f"{layer}.{name}", getattr(space, key))
    for layer in layers + (["dense1"] if choices["dense"] else []):
        choices[f"{layer}.word_bits"] = ask(f"{layer}.word_bits", space.word_bits)
        choices[f"{layer}.weight_bits"] = ask(f"{layer}.weight_bits", space.weight_bits)
    choices["output.weight_bits"] = ask("output.weight_bits", space.weight_bits)
    return choices


def design(choices: dict[str, Any], distill: DistillConfig) -> tuple[FirmwareConfig, DistillConfig]:
    """Choices of `suggest` -> the configs of the network and of its training; InputError where no such network is.

    distill: what the choices leave open.
    """
    in_situ = choices["training"] == "in situ"
    convs = []
    for i in range(choices["convs"]):
        side, stride = choices[f"conv{i + 1}.kernel"], choices[f"conv{i + 1}.stride"]
        stride = stride or side
        convs.append(ConvConfig(choices[f"conv{i + 1}.filters"], (side, side), (stride, stride)))
    plain = FirmwareConfig(
        pool=choices["pool"],
        inputs=("tracks",) if in_situ else tuple(choices["inputs"]),
        energy_lsb_gev=choices["energy_lsb_gev"],
        count_bits=choices["count_bits"],
        conv=tuple(convs),
        dense=(choices["dense"],) if choices["dense"] else (),
        # Two for z_m, which the decoder is conditioned on.
        outputs=2 if in_situ else 1,
        tied=choices["tied"],
        precision={},
    )
    precision = {}
    for name in plain.layers:
        words = choices["score_bits"] if name == "output" else choices[f"{name}.word_bits"]
        precision[name] = LayerPrecision(choices[f"{name}.weight_bits"], output_bits=words)
    training = dataclasses.replace(
        distill,
        scores=distill.scores if in_situ else choices["scores"],
        given_energies=choices["given_energies"] and plain.inputs != ("tracks",),
        sparsity=choices["sparsity"],
    )
    return dataclasses.replace(plain, precision=precision), training


def front(points: Sequence[P], auc: Sequence[float], lut: Sequence[float]) -> list[P]:
    """The points that no other one beats in both AUC (higher is better) and LUT (lower), cheapest first.

    >>> front(["a", "b", "c"], [0.8, 0.9, 0.85], [100, 200, 300])
    ['a', 'b']
    """
    order = sorted(range(len(points)), key=lambda i: (lut[i], -auc[i]))
    best, kept = float("-inf"), []
    for i in order:
        if auc[i] > best:
            best = auc[i]
            kept.append(points[i])
    return kept
