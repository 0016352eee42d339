"""Latency and initiation interval of the Verilog pipeline, counted in its cycle-accurate simulation.

An event e(t) is on the input ports at rising edge t, and y(t) is the output register's word after that edge. The
latency L is counted on steps: the input holds A, then B from edge k on; L is the only number with
y(t) = word(A) for t < k + L and y(t) = word(B) for t >= k + L, for every step that is tried.
So L is the time from the edge that takes the event into the input registers to the edge that puts its word into the
output register; a block that reads that register takes the word one edge later, after L + 1.
The interval II is the smallest number of cycles for which events that change every II cycles come out every II cycles:
y(t II + L) = word(e(t)) for every event of a stream of different ones.

The expected words are those of the integer interpreter, which has no clock.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import ToolError
from codae_l1.hls.network.executor import RtlDesign
from codae_l1.hls.rtl.build import Interpreter, RtlSimulation

# Steps tried, and events of the back-to-back stream.
_STEPS, _STREAM = 16, 256
# Longest interval tried: clocks.
_LONGEST_INTERVAL = 16


@dataclass(frozen=True)
class ClockCount:
    """What the simulation showed.

    latency_cycles: clocks from the edge that takes an event to the edge that gives its word; None where every event
    tried has the same word, so that nothing can be counted. interval_cycles: clocks from an event to the next; None
    likewise. steps, events: how many steps and back-to-back events it was counted on. tool: the simulator.
    """

    latency_cycles: int | None
    interval_cycles: int | None
    steps: int
    events: int
    tool: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def count_clocks(folder: Path | str, seed: int = 0) -> ClockCount:
    """Count latency and interval of a `build_rtl` folder in simulation, on random inputs of `seed`.

    Raises ToolError where a word comes out that no event gave, or where the latency is not the pipeline's stages.
    """
    simulation, interpreter = RtlSimulation(folder), Interpreter(folder)
    stages = simulation.design.stages
    counts = _events(simulation.design, _STREAM, seed)
    words = interpreter.predict_words(counts)
    steps = [(i, i + 1) for i in range(_STREAM - 1) if (words[i] != words[i + 1]).any()][:_STEPS]
    tool = f"Verilator {_verilator_version()}"
    if not steps:
        return ClockCount(None, None, 0, len(counts), tool)
    latency = _count_latency(simulation, [(counts[a], counts[b], words[a], words[b]) for a, b in steps], stages)
    if latency != stages:
        raise ToolError(
            f"the simulated pipeline in {folder} answers after {latency} clocks",
            f"its {stages} stages ({simulation.design.tool})",
            "build the RTL again; if it stays, report it with the folder's design.json",
        )
    return ClockCount(latency, _count_interval(simulation, counts, words, latency), len(steps), len(counts), tool)


def _count_latency(simulation: RtlSimulation, steps: list[tuple[np.ndarray, ...]], stages: int) -> int:
    """The latency common to all steps (counts A, counts B, word A, word B); ToolError where a step has none."""
    hold = 2 * stages + 8
    found = set()
    for before, after, word_before, word_after in steps:
        stream = np.concatenate([np.repeat(before[None], hold, 0), np.repeat(after[None], hold, 0)])
        # The pipeline is full of A well before the step; what comes before is the content it started with.
        seen = simulation.predict_clocks(stream)[hold - 1 :]
        new = (seen == word_after).all(1)
        latency = int(new.argmax()) - 1
        clean = new.any() and latency >= 0 and new[latency + 1 :].all() and (seen[: latency + 1] == word_before).all()
        found.add(latency if clean else None)
    if len(found) != 1 or None in found:
        raise ToolError(
            f"the simulated pipeline has no single latency: {sorted(found, key=str)} clocks on {len(steps)} steps",
            "each step of the input to come out once, as the interpreter's word",
            "build the RTL again; compare the interpreter and the simulation with hls.mismatch.compare",
        )
    return found.pop()


def _count_interval(simulation: RtlSimulation, counts: np.ndarray, words: np.ndarray, latency: int) -> int:
    """The smallest number of clocks between events at which all of them come out right; ToolError where none does."""
    for interval in range(1, _LONGEST_INTERVAL + 1):
        stream = np.concatenate([np.repeat(counts, interval, 0), np.repeat(counts[-1:], latency, 0)])
        if np.array_equal(simulation.predict_clocks(stream)[latency::interval][: len(words)], words):
            return interval
    raise ToolError(
        f"the simulated pipeline gives wrong words even with an event every {_LONGEST_INTERVAL} clocks",
        "the interpreter's words",
        "build the RTL again; compare the interpreter and the simulation with hls.mismatch.compare",
    )


def _events(design: RtlDesign, n: int, seed: int) -> np.ndarray:
    """Random counts (n, *input shape) int64 over the input word, each event of another density."""
    rng = np.random.default_rng(seed)
    low, high = design.input_word.bounds
    shape = (n, *design.input_shape)
    dense = rng.random((n, *[1] * len(design.input_shape)))
    return np.where(rng.random(shape) < dense, rng.integers(low, high, shape, endpoint=True), 0)


def _verilator_version() -> str:
    from importlib.metadata import version

    return version("verilator")
