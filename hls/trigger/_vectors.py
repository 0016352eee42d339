"""Golden vectors: the same events for Python, C++ and RTL, as text, as hexadecimal numbers of the ports, and as HDF5.

inputs.txt, words.txt, scores.txt, accept.txt   integers, one event per line: input and output words, score, accept bits
towers.txt                          index:word of the towers of the first events, those above zero
inputs.hex, words.hex               ports of the pipeline
towers.hex, scores.hex, accept.hex  ports of the trigger; the first events only, one line per slice or event
identity.txt, identity.hex          version and checksum of what they belong to
vectors.h5                          inputs, words, scores, accept, towers; version, checksum, namespace
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.files import new_hdf5, write_attributes
from codae_l1.hls.trigger._wrapper import TriggerRtl
from codae_l1.hls.trigger.emulator import version_word


@dataclass(frozen=True)
class Vectors:
    """Events of an export.

    towers: (M, 72, 58, inputs) int64 words of the first M events. inputs: (N, *input_shape) int64, N >= M, saturated.
    words: (N, outputs) int64 of QKeras.
    """

    trigger: TriggerRtl
    towers: np.ndarray
    inputs: np.ndarray
    words: np.ndarray

    def texts(self) -> dict[str, str]:
        """{file name: text} of all but the HDF5."""
        trigger, design = self.trigger, self.trigger.design
        given, made, port = design.input_word, design.output_word, design.rtl_output
        inputs, decision = self.inputs.reshape(len(self.inputs), -1), trigger.decision
        accept, first = decision.accept(self.words, kill=False).astype(int), len(self.towers)
        flat = self.towers.reshape(first, -1)
        pairs = (" ".join(f"{i}:{event[i]}" for i in np.flatnonzero(event)) for event in flat)
        slice_bits = trigger.values()["EVENT_BITS"] // trigger.slices
        identity = version_word(trigger.version) << 256 | int(trigger.checksum, 16)
        return {
            "inputs.txt": _lines(inputs),
            "words.txt": _lines(self.words),
            "scores.txt": _lines(decision.scores(self.words)[:, None]),
            "accept.txt": _lines(accept),
            "towers.txt": "".join(f"{line}\n" for line in pairs),
            "identity.txt": f"{trigger.version}\n{trigger.checksum}\n",
            "inputs.hex": packed(inputs, given.width),
            "words.hex": packed(self.words >> (made.fraction - port.fraction), port.width),
            "towers.hex": _hexadecimal(trigger.slice_words(self.towers), slice_bits),
            "scores.hex": packed(decision.scores(self.words[:first])[:, None], trigger.score_bits),
            "accept.hex": packed(accept[:first], 1),
            "identity.hex": _hexadecimal([identity], 288),
        }

    def write_hdf5(self, path: Path, namespace: str) -> None:
        """Write vectors.h5."""
        decision = self.trigger.decision
        with new_hdf5(path) as file:
            # Times would change the file's checksum.
            for name, values in {
                "inputs": self.inputs,
                "words": self.words,
                "scores": decision.scores(self.words),
                "accept": decision.accept(self.words, kill=False),
                "towers": self.towers.astype(np.int32),
            }.items():
                file.create_dataset(name, data=values, compression="gzip", track_times=False)
            attributes: dict[str, Any] = {"version": self.trigger.version, "checksum": self.trigger.checksum}
            write_attributes(file, attributes | {"namespace": namespace})


def _lines(rows: np.ndarray) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())


def packed(rows: np.ndarray, width: int) -> str:
    """Words (N, elements) -> a hexadecimal number per row, element i at bits [i * width +: width].

    >>> packed(np.array([[1, -1], [2, 0]]), 4)
    'f1\\n02\\n'
    """
    mask = (1 << width) - 1
    numbers = [sum((word & mask) << (i * width) for i, word in enumerate(row)) for row in rows.tolist()]
    return _hexadecimal(numbers, rows.shape[1] * width)


def _hexadecimal(numbers: list[int], bits: int) -> str:
    return "".join(f"{number:0{-(-bits // 4)}x}\n" for number in numbers)
