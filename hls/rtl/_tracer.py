"""A network's records -> da4ml's symbolic values, layer by layer (each kind's `trace`, hls/layers/)."""

import inspect
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from codae_l1.data.base.progress import Progress
from codae_l1.data.base.words import WordType
from codae_l1.hls.network.records import Network, check_chain


def symbolic_input(shape: Sequence[int], word: WordType, hwconf: Any, solver_options: dict[str, Any] | None) -> Any:
    """da4ml's FixedVariableArray of `shape`, every element of type `word`."""
    from da4ml.trace import FixedVariableArray

    kif = (np.full(shape, bits) for bits in (int(word.keep_negative), word.integer, word.fraction))
    return FixedVariableArray.from_kif(*kif, hwconf=hwconf, solver_options=solver_options)  # type: ignore[arg-type]


def trace_layers(network: Network, inputs: Any, progress: Progress | None = None) -> dict[str, Any]:
    """Symbolic inputs of the network's shape -> {layer name: symbolic output}, in the order of the layers."""
    check_chain(network)
    traces, value = {}, inputs
    for index, layer in enumerate(network.layers):
        value = layer.trace(value)
        traces[layer.name] = value
        if progress is not None:
            progress(index + 1, len(network.layers), f"traced {layer.name}, depth {np.max(value.latency):g}")
    return traces


@contextmanager
def solved_once() -> Iterator[None]:
    """A block in which da4ml solves no product of a vector and a matrix twice, as windows of equal weights ask it to.

    So does its search for the best depth. Where da4ml is compiled, its calls are compiled in, and nothing is kept.
    """
    from da4ml.cmvm import api

    # The outer of the two ends with the best of its depths once more, the inner is asked for at several depths.
    solvers = {name: getattr(api, name, None) for name in ("jit_solve", "_solve")}
    plain = {name: _once(solver) for name, solver in solvers.items() if inspect.isfunction(solver)}
    try:
        for name, solver in plain.items():
            setattr(api, name, solver)
        yield
    finally:
        for name in plain:
            setattr(api, name, solvers[name])


def _once(solver: Callable[..., Any]) -> Callable[..., Any]:
    """`solver` of a matrix and options, called once for each of these."""
    solved: dict[tuple[Any, ...], Any] = {}

    def call(kernel: np.ndarray, **options: Any) -> Any:
        # Not repr, which leaves out what is in the middle of a long array.
        key = kernel.shape, kernel.tobytes(), pickle.dumps(options)
        if key not in solved:
            solved[key] = solver(kernel, **options)
        return solved[key]

    return call
