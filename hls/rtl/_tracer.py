"""A network's records -> da4ml's symbolic values, layer by layer (each kind's `trace`, hls/layers/)."""

from collections.abc import Sequence
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
