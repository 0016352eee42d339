"""The co-design search: what may be chosen, what it may cost, and which designs are on the Pareto front.

A design is chosen value by value from a SpaceConfig by an Optuna trial; `design` turns the choices into the configs
that training reads. A point is better than another if its figure of merit (a mean AUC, or a mean efficiency) is higher
at no more LUT and, on crossings, no higher pure rate, or if one of these is lower and the others are no worse.
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

    if space.on_crossings:
        names = {"inputs": "inputs", "pool": "pools", "count_bits": "count_bits", "windows": "windows"}
        names |= {key: key for key in ("dense", "weight_bits", "word_bits")}
        asked = {name: ask(name, getattr(space, key)) for name, key in names.items()}
        return {"training": "zero_bias", **{k: list(v) if isinstance(v, tuple) else v for k, v in asked.items()}}
    choices = {"training": ask("training", space.training), "scores": ask("scores", space.scores)}
    choices["inputs"] = list(ask("inputs", space.inputs))
    choices["pool"] = ask("pool", space.pools)
    for name in ("given_energies", "count_bits", "tied", "sparsity", "convs", "dense"):
        choices[name] = ask(name, getattr(space, name))
    layers = [f"conv{i + 1}" for i in range(choices["convs"])]
    for layer in layers:
        for name, key in (("filters", "filters"), ("kernel", "kernels")):
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
    if choices["training"] == "zero_bias":
        return _distance(choices), distill
    in_situ = choices["training"] == "in situ"
    convs = []
    for i in range(choices["convs"]):
        side = choices[f"conv{i + 1}.kernel"]
        convs.append(ConvConfig(choices[f"conv{i + 1}.filters"], (side, side), (side, side)))
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


def _distance(choices: dict[str, Any]) -> FirmwareConfig:
    """The network of a distance: a group of tracks and one of energies, bits of what is squared."""
    inputs, windows = tuple(choices["inputs"]), tuple(choices["windows"])
    groups = tuple(filter(None, (("tracks",) * ("tracks" in inputs), tuple(n for n in inputs if n != "tracks"))))
    plain = FirmwareConfig(
        pool=choices["pool"],
        inputs=inputs,
        count_bits=choices["count_bits"],
        conv=(ConvConfig(len(groups), windows, windows),),
        dense=(choices["dense"],) if choices["dense"] else (),
        distance=groups,
        precision={},
    )
    squared = str(plain.squared)
    bits = {"weight_bits": choices["weight_bits"], "output_bits": choices["word_bits"]}
    named = {name: plain.layer_precision(name) for name in plain.layers}
    return dataclasses.replace(plain, precision={**named, squared: dataclasses.replace(named[squared], **bits)})


def front(points: Sequence[P], merit: Sequence[float], *costs: Sequence[float]) -> list[P]:
    """The points that no other one beats in merit (higher is better) and all costs (lower), the cheapest first.

    >>> front(["a", "b", "c"], [0.8, 0.9, 0.85], [100, 200, 300])
    ['a', 'b']
    >>> front(["a", "b", "c"], [0.8, 0.9, 0.85], [100, 200, 300], [25, 25, 20])
    ['a', 'b', 'c']
    """
    rows = list(zip(*costs, strict=True))
    kept: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (rows[i], -merit[i])):
        cheaper = (j for j in kept if all(a <= b for a, b in zip(rows[j], rows[i], strict=True)))
        if all(merit[j] < merit[i] for j in cheaper):
            kept.append(i)
    return [points[i] for i in kept]
