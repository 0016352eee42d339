"""Boosted trees that see the signals, in firmware by conifer, at about the LUT of the default trigger network.

    pip install --no-deps conifer==1.11 pybind11
    apt-get install ghdl
    python benchmarks/trees_firmware.py [--trees 30 10] [--depth 3] [--seeds 1 2 3] [--out trees] [--crossings FILE]

The trees read what the default reads: active pixels in windows of 24 x 12 towers, and beside these fifteen words the
sums of the five rings and of all. scikit-learn grows them in two steps for the tail, as the ceiling of a run
(codae_l1.scripts.run): after the first trees, zero bias that they tell from signals counts less, and the further trees
continue from there. Thresholds are integers, leaves integers of one step, so that conifer's model has no rounding.

conifer (https://github.com/thesps/conifer) writes VHDL, GHDL translates it to Verilog, and this project's Yosys flow
maps it together with the sums, which are a QKeras network in da4ml's Verilog like those of the default. Its HLS
backends need Vitis or Vivado HLS and are not used. On all shipped test crossings the sums of leaves are compared
with three words of conifer: of its model in Python, of its VHDL in GHDL, and of the Verilog with the sums, clocked by
Verilator. Prints LUT, FF, latency, and the table of distances.py, of the test split of --crossings or of the shipped
ones; ends with status 1, or Verilator's error, where a word differs.
"""

import argparse
import contextlib
import importlib
import importlib.util
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from distances import POINTS, Known, check, learned

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import scratch_folder
from codae_l1.data.base.words import WordType
from codae_l1.data.events import SIGNALS, ZERO_BIAS
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.sample import CROSSINGS
from codae_l1.hls.target.config import HlsConfig
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import load_config

# Windows in phi and eta, as those of the default network; bits of the words of a cell, a window and the largest sum.
PLACES, RINGS, CELL_BITS, WINDOW_BITS, SUM_BITS = 3, 5, 5, 7, 11
FEATURES = PLACES * RINGS + RINGS + 1
# Bits of conifer's words, with sign: of features, thresholds and scores.
BITS = 12
# As in codae_l1.scripts.run._ceiling: share of zero bias that counts less in the second step, and how much it counts.
_HARD, _EASY, _LEAST = 0.97, 0.02, 20
_LEARNING_RATE, _SUBSAMPLE = 0.3, 0.5
_VERILOG = """module trees_wrapper(input clk, input [{inputs}:0] model_inp, output [{top}:0] model_out);
    wire [{sums}:0] sums;
    codae_wrapper front(.clk(clk), .model_inp(model_inp), .model_out(sums));
    BDTTop bdt(.clk(clk), .X({{{order}}}), .X_vld(1'b1), .y(model_out), .y_vld());
endmodule
"""


def features(cells: np.ndarray) -> np.ndarray:
    """Counts of cells (n, 18, 15, 1) -> windows, rings, sum of all: (n, 21) int64."""
    counts = np.minimum(cells[..., 0], (1 << CELL_BITS) - 1).reshape(len(cells), PLACES, 6, RINGS, 3).sum(axis=(2, 4))
    counts = np.minimum(counts, (1 << WINDOW_BITS) - 1)
    rings = counts.sum(axis=1)
    return np.concatenate([counts.reshape(len(cells), -1), rings, rings.sum(axis=1)[:, None]], axis=1)


def sums_network() -> Any:
    """The features as a QKeras network of ones: cells (N, 18, 15, 1) -> (N, 21)."""
    import keras
    import qkeras

    ones = qkeras.quantized_bits(2, 1, alpha=1)
    inputs, windows = keras.Input((18, 15, 1), name="cells"), PLACES * RINGS
    x = qkeras.QConv2D(1, (6, 3), (6, 3), use_bias=False, kernel_quantizer=ones, name="windows")(inputs)
    x = keras.layers.Flatten(name="flatten")(qkeras.QActivation(f"quantized_relu({WINDOW_BITS},{WINDOW_BITS})")(x))
    x = qkeras.QDense(FEATURES, use_bias=False, kernel_quantizer=ones, name="sums")(x)
    x = qkeras.QActivation(f"quantized_relu({SUM_BITS},{SUM_BITS})", name="sums_relu")(x)
    model = keras.Model(inputs, x, name="sums")
    model.get_layer("windows").set_weights([np.ones((6, 3, 1, 1))])
    kernel = [np.eye(windows), np.tile(np.eye(RINGS), (PLACES, 1)), np.ones((windows, 1))]
    model.get_layer("sums").set_weights([np.concatenate(kernel, axis=1)])
    return model


def grow(file: CrossingFile, trees: tuple[int, int], depth: int, seed: int) -> Any:
    """Trees of a file's zero bias, train and validation split, and of its signals, validation split."""
    from sklearn.ensemble import GradientBoostingClassifier

    def read(process: str, split: str) -> np.ndarray:
        return features(file.pooled(("tracks",), file.where(process, split)))

    background = np.concatenate([read(ZERO_BIAS, split) for split in ("train", "validation")])
    table = np.concatenate([background, *(read(name, "validation") for name in SIGNALS)])
    n, weight = len(background), np.ones(len(table))
    weight[n:] = n / (len(table) - n)
    options = {"max_depth": depth, "learning_rate": _LEARNING_RATE, "subsample": _SUBSAMPLE, "min_samples_leaf": _LEAST}
    model = GradientBoostingClassifier(
        n_estimators=trees[0], init="zero", warm_start=True, random_state=seed, **options
    )
    labels = np.arange(len(table)) >= n
    model.fit(table, labels, sample_weight=weight)
    score = model.decision_function(background)
    hard = np.where(score > np.quantile(score, _HARD), 1.0, _EASY)
    weight[:n] = hard / hard.mean()
    if trees[1]:
        model.set_params(n_estimators=sum(trees)).fit(table, labels, sample_weight=weight)
    return model


def ensemble(model: Any, depth: int) -> tuple[dict[str, Any], int]:
    """conifer's description of trees with integer thresholds and leaves, and the steps of a leaf in a unit.

    The steps are the largest power of two with which no sum of leaves leaves its word.
    """
    found = [tree.tree_ for [tree] in model.estimators_]
    leaves = [tree.value[tree.feature < 0, 0, 0] * model.learning_rate for tree in found]
    reach = max(sum(values.max() for values in leaves), -sum(values.min() for values in leaves))
    steps = 1 << int(math.log2(((1 << BITS - 1) - 1 - len(found) / 2) / reach))
    trees = []
    for tree in found:
        values = np.where(tree.feature < 0, np.rint(tree.value[:, 0, 0] * model.learning_rate * steps), 0)
        trees.append(
            {
                "feature": tree.feature.tolist(),
                "weight": [np.eye(FEATURES, dtype=int)[f].tolist() if f >= 0 else [0] * FEATURES for f in tree.feature],
                "threshold": np.floor(tree.threshold).astype(int).tolist(),
                "value": values.astype(int).tolist(),
                "children_left": tree.children_left.tolist(),
                "children_right": tree.children_right.tolist(),
            }
        )
    facts = {"max_depth": depth, "n_trees": len(trees), "n_features": FEATURES, "n_classes": 2, "init_predict": [0]}
    return {
        **facts,
        "norm": 1,
        "library": "sklearn",
        "splitting_convention": "<=",
        "trees": [[t] for t in trees],
    }, steps


def tree_words(described: dict[str, Any], table: np.ndarray) -> np.ndarray:
    """The sum of leaves of conifer's description of trees for features (n, 21): (n,) int64."""
    words, rows = np.zeros(len(table), np.int64), np.arange(len(table))
    for [tree] in described["trees"]:
        feature, threshold = (np.array(tree[name]) for name in ("feature", "threshold"))
        children = np.array([tree["children_left"], tree["children_right"]])
        node = np.zeros(len(table), np.int64)
        for _ in range(described["max_depth"]):
            right = table[rows, feature[node]] > threshold[node]
            node = np.where(feature[node] >= 0, children[right.astype(int), node], node)
        words += np.array(tree["value"])[node]
    return words


def _ap_types() -> Path:
    """The folder of hls4ml's ap_fixed.h; InputError unless all is installed that makes firmware of trees."""
    spec = importlib.util.find_spec("hls4ml")
    if importlib.util.find_spec("conifer") is None or shutil.which("ghdl") is None or spec is None or not spec.origin:
        raise InputError("no conifer or no ghdl", "both", "see --help")
    return Path(spec.origin).parent / "templates" / "vivado" / "ap_types"


def conifer_models(described: dict[str, Any], folder: Path) -> tuple[Any, Any]:
    """conifer's models of trees: in Python, and in VHDL, written to a folder and compiled by GHDL."""
    # Its wheel has no ap_fixed.h, and it calls the first python3 of the path.
    os.environ["XILINX_AP_INCLUDE"] = str(_ap_types())
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    conifer = importlib.import_module("conifer")
    precision = {"Precision": f"ap_fixed<{BITS},{BITS}>", "OutputDir": str(folder)}
    with contextlib.chdir(folder.parent):
        # It leaves a folder where it is called.
        vhdl = conifer.model.make_model(described, conifer.backends.vhdl.auto_config() | precision)
    if not vhdl.compile():
        raise InputError(f"GHDL does not compile {folder}", "conifer's VHDL", f"read the logs in {folder}")
    return conifer.model.ModelBase(described), vhdl


def write_verilog(vhdl: Path, front: Path, folder: Path) -> None:
    """The Verilog of sums and trees, in one folder, with the module trees_wrapper on top."""
    folder.mkdir()
    for path in (front / "src").rglob("*.v"):
        shutil.copy(path, folder)
    command = ["ghdl", "synth", "--std=08", "--work=BDT", "--out=verilog", "BDTTop"]
    with (folder / "BDTTop.v").open("w") as out, (vhdl / "ghdl_synth.log").open("w") as log:
        subprocess.run(command, cwd=vhdl, stdout=out, stderr=log, check=True)
    # The first element of a VHDL array holds the highest bits.
    pad = f"{BITS - SUM_BITS}'d0"
    order = ", ".join(f"{pad}, sums[{SUM_BITS * i} +: {SUM_BITS}]" for i in range(FEATURES))
    ends = {"inputs": 18 * 15 * 5 - 1, "sums": SUM_BITS * FEATURES - 1, "top": BITS - 1}
    (folder / "trees_wrapper.v").write_text(_VERILOG.format(order=order, **ends))


def simulated(folder: Path, cells: np.ndarray, words: np.ndarray, latency: int, config: HlsConfig) -> str:
    """What the testbench of the Verilog in a folder says of cells (n, 18, 15, 1) whose words (n,) are known."""
    from codae_l1.hls.rtl.verilator import run_testbench
    from codae_l1.hls.trigger._vectors import packed
    from codae_l1.hls.trigger.emulator import fill

    vectors = folder.parent / "vectors"
    vectors.mkdir()
    (vectors / "inputs.hex").write_text(packed(cells.reshape(len(cells), -1), CELL_BITS))
    (vectors / "words.hex").write_text(packed(words[:, None], BITS))
    ports = {"INPUT_BITS": 18 * 15 * CELL_BITS, "OUTPUT_BITS": BITS}
    facts = {"TOP": "trees", "EVENTS": len(cells), "LATENCY": latency, "HALF": config.clock_period_ns / 2}
    (folder / "trees_tb.v").write_text(fill("testbench.v", facts | ports))
    return run_testbench(folder, "trees_tb", config, folder.parent / "testbench.log")


def mapped(folder: Path, latency: int, config: HlsConfig) -> str:
    """LUT, FF, DSP of the Verilog in a folder, by Yosys, and its latency."""
    from codae_l1.hls.cost.synthesis import count_resources, map_module

    files = [path for path in sorted(folder.glob("*.v")) if path.stem not in ("trees_tb", "lookup_table")]
    with scratch_folder() as scratch:
        cells = map_module("trees_wrapper", files, Path(scratch), folder.parent, config)["cells"]
    found, nanoseconds = count_resources(cells), latency * config.clock_period_ns
    return f"{found['LUT']:,} LUT, {found['FF']:,} FF, {found['DSP']} DSP, {latency} cycles, {nanoseconds:g} ns"


def main() -> None:
    """Grow, write, compare, map, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, nargs=2, default=[30, 10], help="of the first and of the second step")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the part of the table a tree sees")
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="shares of crossings, or rates in kHz")
    parser.add_argument("--crossings", type=Path, help="whose test split is judged; by default the shipped")
    parser.add_argument("--out", type=Path, default=Path("trees-firmware"), help="folder of what is built, a new one")
    options = parser.parse_args()
    config = load_config("demo")
    check(options, config)
    if min(*options.trees, options.depth) < 1:
        raise InputError(f"--trees {options.trees}, --depth {options.depth}", "numbers >= 1", "correct them")
    _ap_types()
    cli.import_tensorflow(config.training.deterministic)
    folder, file = options.out.resolve(), CrossingFile(CROSSINGS)
    folder.mkdir(parents=True, exist_ok=True)
    stages = make_sums(folder / "sums", config.hls)
    firmware = learned(config, 1).firmware
    shipped = Known(config, firmware)
    cells = np.concatenate([shipped.counts(process) for process in shipped.read])
    known = Known(config, firmware, options.crossings) if options.crossings else shipped
    judged, differ = [], 0
    for seed in options.seeds:
        described, steps = ensemble(grow(file, options.trees, options.depth, seed), options.depth)
        where = folder / f"seed{seed}"
        where.mkdir()
        models = conifer_models(described, where / "vhdl")

        judged.append(f"trees, seed {seed}")
        known.add(judged[-1], lambda c, of=described: tree_words(of, features(c)))
        table, words = features(cells), tree_words(described, features(cells))
        unlike = [int((m.decision_function(table).reshape(len(words), -1)[:, 0] != words).sum()) for m in models]
        differ += sum(unlike)
        write_verilog(where / "vhdl", folder / "sums", where / "rtl")
        # Registers: of the sums, comparisons, their pipe, each level, the score, and the levels of the sum of trees.
        latency = stages + options.depth + 3 + sum(options.trees).bit_length()
        said = simulated(where / "rtl", cells, words, latency, config.hls)
        print(f"{judged[-1]}, leaves in 1/{steps}: {mapped(where / 'rtl', latency, config.hls)}", flush=True)
        print(f"Python, VHDL: {unlike} of {len(words)} words differ; Verilog: {said}", flush=True)
    ceiling = ["bdt"] if "bdt" in known.read[ZERO_BIAS].words else []
    known.print_table("trees", ["rtl", *ceiling, *judged], options.points)
    sys.exit(int(differ > 0))


def make_sums(folder: Path, config: HlsConfig) -> int:
    """Write the Verilog of the sums to a folder; its stages."""
    from codae_l1.hls.network.records import read_network
    from codae_l1.hls.rtl.build import build_rtl

    given, sums = (WordType(False, bits, 0, "TRN", "SAT") for bits in (CELL_BITS, SUM_BITS))
    return build_rtl(read_network(sums_network(), given), sums, config, folder, simulate=False).stages


if __name__ == "__main__":
    cli.run(main, resumes=False)
