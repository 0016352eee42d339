"""The co-design search: what may be chosen, what it may cost, and which designs are on the Pareto front.

A design is chosen value by value from a SpaceConfig by an Optuna trial; `design` turns the choices into the configs
that training reads. A point is better than another if its AUC is higher at no more LUT, or its LUT lower at no less
AUC.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

from codae_l1.quantization.config import DistillConfig, SpaceConfig
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.precision import LayerPrecision

P = TypeVar("P")
# Width of the output word of every design.
SCORE_BITS = 12


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
    choices["pool"] = ask("pool", space.pools)
    for name in ("given_energies", "count_bits", "tied", "sparsity", "convs", "dense"):
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
        count_bits=choices["count_bits"],
        conv=tuple(convs),
        dense=(choices["dense"],) if choices["dense"] else (),
        # Two for z_m, which the decoder is conditioned on.
        outputs=2 if in_situ else 1,
        tied=choices["tied"],
        precision={},
    )
    plain.check_windows()
    precision = {}
    for name in plain.layers:
        words = SCORE_BITS if name == "output" else choices[f"{name}.word_bits"]
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
