"""The trigger network with widths of weights learned by HGQ2, beside QKeras with one width: efficiency and LUT.

    python -m venv ENV
    ENV/bin/pip install hgq2==0.2.0 jax==0.9.0 keras==3.15.1
    python benchmarks/hgq2.py CONFIG --python ENV/bin/python [--seeds 1 2 3] [--weight-bits 4 5 6] [--betas 1e-6]

HGQ2 and QKeras cannot share an environment (findings/hgq2_replaces_qkeras.sh), so HGQ2 runs in one of its own. Both
start from the same float network and learn its score in the layer that is squared, the one that a run trains. QKeras
gives all its weights one width. HGQ2 gives each weight its own, against beta times the effective bit operations. Its
words come back as the words of a FirmwareModel, so that export, proof and mapping are the same: a weight of fewer bits
is a small or an even word, which da4ml adds up in fewer adders. Words between layers have one width a layer in both.

HGQ2's own prediction is compared with QKeras' for every word; of the first seed, all executors as well. Prints LUT, of
the first network also those of its front parts, the words that differ, and the table of distances.py; ends with status
1 where a word differs.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from axol1tl import prove
from distances import Known, check, learned, mapped, mapped_records

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import scratch_folder
from codae_l1.data.base.words import exact_words
from codae_l1.quantization.distance import LARGEST_BITS
from codae_l1.quantization.f_m.config import input_word, output_word
from codae_l1.quantization.f_m.network import BATCH, FirmwareModel, build_qkeras, saturated
from codae_l1.quantization.f_m.weights import set_weight_words, weight_words
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.config import RunConfig, load_config
from codae_l1.scripts.run.crossings import RunCrossings

# Name, network, HGQ2's own prediction.
Made = tuple[str, FirmwareModel, np.ndarray | None]


def entering(firmware: FirmwareModel, counts: np.ndarray) -> np.ndarray:
    """What enters the layer that is squared, (n, inputs) float32, for counts (n, phi, eta, inputs)."""
    import keras

    model = keras.Model(firmware.model.inputs, firmware.model.get_layer(firmware.config.squared).input)
    return np.asarray(model.predict(saturated(counts, firmware.config), batch_size=BATCH, verbose=0))


def task(student: Any, counts: np.ndarray, asked: np.ndarray) -> dict[str, Any]:
    """What hgq2_training.py reads: the layer, what enters it for counts and asked, the score, and what lies behind."""
    firmware, name = student.firmware, student.firmware.config.squared
    config, weights = firmware.config, student.float_model.model.get_layer(name).get_weights()
    i = config.layers.index(name)
    before, behind = config.layer_output(config.layers[i - 1]), config.layers[i + 1 :]
    precision = config.layer_precision(name)
    found: dict[str, Any] = {
        "inputs": entering(firmware, counts),
        "asked": entering(firmware, asked),
        "targets": np.minimum(student.float_model.predict(counts), 2.0**LARGEST_BITS).astype(np.float32),
        "kernel": weights[0],
        "bias": weights[1],
        "fraction": precision.weight_word.fraction,
        "bias_integer": precision.bias_integer + 1,
        "input_word": (before.integer, before.fraction),
        "word": (precision.output_word.integer, precision.output_word.fraction),
        "behind": len(behind),
    }
    for k, layer in enumerate(behind):
        word = config.layer_output(layer)
        found |= dict(zip((f"kernel{k}", f"bias{k}"), firmware.model.get_layer(layer).get_weights(), strict=True))
        found[f"word{k}"] = (int(word.keep_negative), word.integer, word.fraction)
    return found


def run_hgq2(python: Path, given: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    """What hgq2_training.py makes of a task: one table for each of its betas."""
    script = Path(__file__).with_name("hgq2_training.py")
    with scratch_folder() as scratch:
        read, made = Path(scratch) / "given.npz", Path(scratch) / "made.npz"
        np.savez(read, **given)
        command, environment = [python, script, read, made], {**os.environ, "KERAS_BACKEND": "jax"}
        try:
            done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
        except OSError as error:
            raise InputError(
                f"{python} ({error.strerror})", "the Python of an environment of HGQ2", "name it"
            ) from None
        if done.returncode:
            said = " ".join(done.stderr.splitlines()[-1:]) or f"status {done.returncode}"
            raise InputError(f"{script.name} ended with: {said}", "the words that HGQ2 learned", "see --help")
        with np.load(made) as content:
            names = {name.rstrip("0123456789") for name in content.files}
            return [{name: content[f"{name}{i}"] for name in names} for i in range(len(given["betas"]))]


def with_words(firmware: FirmwareModel, words: dict[str, np.ndarray]) -> FirmwareModel:
    """The network with other words in the layer that is squared.

    words: kernel (inputs, units) and bias (units,) integers, fraction and bias_fraction the bits behind their points.
    """
    config, name = firmware.config, firmware.config.squared
    width, bias_width = (max(_width(words[part]), 2) for part in ("kernel", "bias"))
    precision = replace(
        config.layer_precision(name),
        weight_bits=width,
        weight_integer=width - 1 - int(words["fraction"]),
        bias_bits=bias_width,
        bias_integer=bias_width - 1 - int(words["bias_fraction"]),
    )
    config = replace(config, precision={**config.precision, name: precision})
    model = build_qkeras(config, seed=0)
    own = {f"{name}.kernel": words["kernel"], f"{name}.bias": words["bias"]}
    set_weight_words(model, config, weight_words(firmware.model, firmware.config) | own)
    return FirmwareModel(model, config, firmware.sign, firmware.component)


def _width(words: np.ndarray) -> int:
    """Bits of the narrowest signed word that holds all words."""
    return int(np.where(words < 0, ~words, words).max()).bit_length() + 1


def with_bits(config: RunConfig, bits: int) -> RunConfig:
    """The config with so many bits for each weight of the layer that is squared."""
    firmware, name = config.firmware, config.firmware.squared
    if name is None:
        raise InputError("a network without squares", "a distance or an auto-encoder", "take demo or distance")
    precision = {**firmware.precision, name: replace(firmware.layer_precision(name), weight_bits=bits)}
    return replace(config, firmware=replace(firmware, precision=precision))


def parts(firmware: FirmwareModel, config: RunConfig) -> Iterator[str]:
    """Cost of a network that ends at each of its words: where its LUTs are."""
    from codae_l1.hls.layers import Activation
    from codae_l1.hls.network.records import firmware_network

    network, _ = firmware_network(firmware)
    for i, layer in enumerate(network.layers):
        if isinstance(layer, Activation):
            cut = replace(network, layers=network.layers[: i + 1], sign=1, component=0)
            yield f"up to {layer.name}: {mapped_records(cut, layer.word, config)}"


def networks(config: RunConfig, seed: int, options: argparse.Namespace, asked: np.ndarray) -> Iterator[Made]:
    """Each network of a seed: its name, the network, and HGQ2's own prediction for asked, None of QKeras."""
    for bits in options.weight_bits:
        yield f"QKeras, {bits} bits", learned(with_bits(config, bits), seed).firmware, None
    student = learned(with_bits(config, options.start_bits), seed)
    distill, (train, _) = config.distill, RunCrossings.background(config, "train")
    given = task(student, train, asked) | {"seed": seed, "betas": options.betas, "steps": options.steps}
    given |= {"rate": distill.qat_learning_rate, "batch": distill.batch_size}
    for beta, made in zip(options.betas, run_hgq2(options.python, given), strict=True):
        bits, kept = made["bits"], made["kernel"] != 0
        said = f"{kept.sum()} weights of {bits[kept].mean():.1f} bits, EBOPs {made['ebops']}, loss {made['loss']:.2g}"
        yield f"HGQ2, beta {beta:g} ({said})", with_words(student.firmware, made), made["predicted"]


def main() -> None:
    """Learn by both, prove, map, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a name in scripts/configs, or a file")
    parser.add_argument("--python", type=Path, required=True, help="of an environment with HGQ2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weight-bits", type=int, nargs="+", default=[4, 5, 6], help="of QKeras")
    parser.add_argument("--betas", type=float, nargs="+", default=[1e-6, 1e-5, 1e-4], help="of HGQ2")
    parser.add_argument("--start-bits", type=int, default=6, help="of the weights whose step HGQ2 starts from")
    parser.add_argument("--steps", type=int, default=6000, help="batches of HGQ2's training")
    parser.add_argument("--points", nargs="+", default=["1e-3"], help="shares of crossings, or rates in kHz")
    parser.add_argument("--out", type=Path, default=Path("hgq2"), help="folder of what is built, a new one")
    options = parser.parse_args()
    config = load_config(options.config)
    check(options, config)
    cli.existing(str(options.python))
    if not all(0 < beta < float("inf") for beta in options.betas) or options.steps < 1:
        raise InputError(f"--betas {options.betas}, --steps {options.steps}", "numbers above zero", "correct them")
    cli.import_tensorflow(config.training.deterministic)
    first = learned(with_bits(config, options.start_bits), options.seeds[0]).firmware
    for line in parts(first, config):
        print(line, flush=True)
    known = Known(config, first)
    asked, scores, differ = np.concatenate([known.counts(process) for process in known.read]), [], 0
    for seed in options.seeds:
        for i, (name, firmware, predicted) in enumerate(networks(config, seed, options, asked)):
            words, score = firmware.predict_words(asked)[:, 0], output_word(firmware.config)
            if predicted is not None:
                own = int((exact_words(predicted, score, "hgq2") != words).sum())
                differ += own
                name += f"; HGQ2's own: {own} of {len(words)} words differ"
            if predicted is not None and seed == options.seeds[0]:
                folder = options.out / f"network{i}"
                cost, unlike = prove(firmware.model, words, asked, folder, input_word(firmware.config), score)
                differ += unlike
            else:
                cost = mapped(firmware, config)
            print(f"seed {seed}, {name}: {cost}", flush=True)
            scores.append(f"{name.split(' (')[0]}, seed {seed}, {cost.split(' LUT')[0]} LUT")
            known.add(scores[-1], lambda c, f=firmware: f.firmware_score(f.predict_words(c)))
    known.print_table(options.config, scores, options.points)
    sys.exit(int(differ > 0))


if __name__ == "__main__":
    cli.run(main, resumes=False)
