"""What an integrator takes away: emulator, golden vectors, Verilog with its testbench, interface file, checksums.

Folder (whole or not there):
emulator/        C++17 sources (codae_l1.hls.emulator) and selftest.cpp
vectors/         inputs.txt, words.txt: integers, one event a line; towers.txt: index:word of the first events' towers;
                 inputs.hex, words.hex: the ports of the RTL; vectors.h5: the same, and oriented words
rtl/             Verilog, and <top>_tb.v, its testbench with the same vectors
interface.json   ports, words, latency, interval, version, checksum
selftest.sh      compiles the emulator with g++ alone, checks the vectors and SHA256SUMS
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.artifact import read_json, sha256
from codae_l1.data.errors import InputError
from codae_l1.data.pooling import TOWER_LSB_GEV, tower_words
from codae_l1.data.words import WordType
from codae_l1.hls.config import HlsConfig
from codae_l1.hls.emulator import NAMESPACE, emulator_sources, fill, values_of
from codae_l1.hls.folders import whole_folder
from codae_l1.hls.network import read_network
from codae_l1.hls.rtl import TOP, Interpreter, input_words
from codae_l1.hls.verilator import call_logged
from codae_l1.quantization.firmware import FirmwareModel, input_counts, input_word, output_word

_LOG = "selftest.log"


def export(
    firmware: FirmwareModel,
    rtl: Path | str,
    images: np.ndarray,
    counts: np.ndarray,
    config: HlsConfig,
    folder: Path | str,
    facts: dict[str, Any] | None = None,
    namespace: str = NAMESPACE,
) -> dict[str, Any]:
    """Write the folder, run its self-test, return interface.json.

    rtl: folder of `build_rtl` of the same firmware. images: (M, 72, 58, 3) GeV, pooled into the first vectors; counts:
    (N, *input_shape) integers, further vectors. facts: more for interface.json (resources, thresholds, stamp).
    Raises ToolError where the self-test fails.
    """
    design = read_json(Path(rtl) / "design.json")
    network = read_network(firmware.model, input_word(firmware.config))
    pooling = firmware.config.pooling
    sources, emulator = emulator_sources(network, output_word(firmware.config), pooling, namespace)
    inputs = input_words(design, np.concatenate([input_counts(images, firmware.config), counts]))
    inputs = inputs.reshape(-1, *firmware.config.input_shape)
    words = firmware.predict_words(inputs)
    _check_rtl(Path(rtl), inputs, words)
    interface = _interface(firmware, design, emulator, config) | (facts or {})
    interface["vectors"] = {"events": len(inputs), "from_towers": len(images)}
    with whole_folder(folder) as temporary:
        _write_texts(temporary / "emulator", sources | {"selftest.cpp": fill("selftest.cpp", values_of(emulator))})
        towers = tower_words(images, pooling)
        _write_vectors(temporary / "vectors", design, inputs.reshape(len(inputs), -1), words, towers)
        _write_hdf5(temporary / "vectors" / "vectors.h5", firmware, emulator, inputs, words, towers)
        _write_rtl(temporary / "rtl", Path(rtl), design, len(inputs))
        _write_texts(temporary, {"interface.json": json.dumps(interface, indent=1) + "\n"})
        _write_texts(temporary, {"selftest.sh": fill("selftest.sh", {})})
        files = sorted(p for p in temporary.rglob("*") if p.is_file())
        sums = "".join(f"{sha256(p)}  {p.relative_to(temporary)}\n" for p in files)
        _write_texts(temporary, {"SHA256SUMS": sums})
        log = temporary / _LOG
        call_logged(["sh", "selftest.sh"], temporary, log, config, "The self-test")
        log.unlink()
    return interface


def _check_rtl(rtl: Path, inputs: np.ndarray, words: np.ndarray) -> None:
    different = int((Interpreter(rtl).predict_words(inputs) != words).any(axis=1).sum())
    if different:
        raise InputError(
            f"the RTL in {rtl} gives other words than the firmware on {different} of {len(words)} vectors",
            "the RTL of this firmware",
            "run the synthesize stage again",
        )


def _interface(
    firmware: FirmwareModel, design: dict[str, Any], emulator: dict[str, Any], config: HlsConfig
) -> dict[str, Any]:
    given, made, port = (WordType(**design[key]) for key in ("input_word", "output_word", "rtl_output"))
    ports = [
        {"name": "clk", "direction": "input", "width": 1},
        {"name": "model_inp", "direction": "input", **_elements(design["inputs"], given)},
        {"name": "model_out", "direction": "output", **_elements(design["outputs"], port)},
    ]
    return {
        "version": emulator["version"],
        "checksum": emulator["checksum"],
        "namespace": emulator["namespace"],
        "top": f"{TOP}_wrapper",
        "ports": ports,
        "packing": "element i at bits [i * element_width +: element_width]; inputs in the order (phi, eta, input), the "
        "last index fastest; larger inputs have to be saturated before",
        "clock_period_ns": config.clock_period_ns,
        "latency_cycles": design["stages"],
        "latency_ns": design["stages"] * config.clock_period_ns,
        "initiation_interval": 1,
        "part": config.part,
        "input": {
            "shape": design["input_shape"],
            "word": str(given),
            "pooling": emulator["pooling"],
            "tower_lsb_gev": TOWER_LSB_GEV,
        },
        "output": {
            "word": str(made),
            "lsb": made.lsb,
            "score": "sign * word[component], higher is more anomalous",
            "sign": firmware.sign,
            "component": firmware.component,
        },
        "tools": {"rtl": design["tool"]},
    }


def _elements(number: int, word: WordType) -> dict[str, Any]:
    return {"width": number * word.width, "elements": number, "element_width": word.width, "element": str(word)}


def _write_texts(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)


def _write_vectors(
    folder: Path, design: dict[str, Any], inputs: np.ndarray, words: np.ndarray, towers: np.ndarray
) -> None:
    given, made, port = (WordType(**design[key]) for key in ("input_word", "output_word", "rtl_output"))
    flat = towers.reshape(len(towers), -1)
    lines = [" ".join(f"{i}:{event[i]}" for i in np.flatnonzero(event)) for event in flat]
    texts = {
        "inputs.txt": _lines(inputs),
        "words.txt": _lines(words),
        "towers.txt": "".join(f"{line}\n" for line in lines),
        "inputs.hex": _packed(inputs, given.width),
        "words.hex": _packed(words >> (made.fraction - port.fraction), port.width),
    }
    _write_texts(folder, texts)


def _lines(rows: np.ndarray) -> str:
    return "".join(" ".join(map(str, row)) + "\n" for row in rows.tolist())


def _packed(rows: np.ndarray, width: int) -> str:
    """Words (N, elements) -> a hexadecimal number a row, element i at bits [i * width +: width].

    >>> _packed(np.array([[1, -1], [2, 0]]), 4)
    'f1\\n02\\n'
    """
    mask, digits = (1 << width) - 1, -(-rows.shape[1] * width // 4)
    numbers = (sum((word & mask) << (i * width) for i, word in enumerate(row)) for row in rows.tolist())
    return "".join(f"{number:0{digits}x}\n" for number in numbers)


def _write_hdf5(
    path: Path,
    firmware: FirmwareModel,
    emulator: dict[str, Any],
    inputs: np.ndarray,
    words: np.ndarray,
    towers: np.ndarray,
) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        # Times would change the file's checksum.
        for name, values in {
            "inputs": inputs,
            "words": words,
            "firmware_word": firmware.firmware_word(words),
            "towers": towers.astype(np.int32),
        }.items():
            file.create_dataset(name, data=values, compression="gzip", track_times=False)
        for name in ("version", "checksum", "namespace"):
            file.attrs[name] = emulator[name]


def _write_rtl(folder: Path, rtl: Path, design: dict[str, Any], events: int) -> None:
    shutil.copytree(rtl / "src", folder, ignore=shutil.ignore_patterns("memfiles"))
    given, port = WordType(**design["input_word"]), WordType(**design["rtl_output"])
    values = {
        "TOP": TOP,
        "EVENTS": events,
        "LATENCY": design["stages"],
        "IN_BITS": design["inputs"] * given.width,
        "OUT_BITS": design["outputs"] * port.width,
        "HALF": design["clock_period_ns"] / 2,
    }
    _write_texts(folder, {f"{TOP}_tb.v": fill("testbench.v", values)})
