"""Benchmarks on numbers by hand: what is said where the executors' target is missed, and words that HGQ2 learned."""

import importlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.quantization.f_m.config import FirmwareConfig, output_word
from codae_l1.quantization.f_m.network import FirmwareModel, build_float, build_qkeras
from codae_l1.scripts.run.config import RunConfig, load_config

_FOLDER = Path(__file__).parents[1] / "benchmarks"
_FILE = _FOLDER / "bench_executors.py"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"seeds": [-1]}, "--seeds -1; expected different numbers, 0 to 2,147,483,647; correct --seeds"),
        ({"seeds": [2**31]}, "--seeds 2147483648; expected different numbers, 0 to 2,147,483,647"),
        ({"seeds": [2, 1, 2]}, "--seeds 2 1 2; expected different numbers"),
        ({"points": ["1e-3", "nan"]}, "working point 'nan'; expected a share of crossings"),
        ({"crossings": "none.h5"}, "none.h5 does not exist; expected crossings of codae-l1"),
        ({"out": _FOLDER}, "benchmarks is there; expected a new or empty folder; name another"),
    ],
)
def test_options_that_are_none_are_refused_before_anything_is_learned(hgq2, given, words):
    with pytest.raises(InputError, match=words):
        hgq2.check(SimpleNamespace(**{"seeds": [1], "points": ["1e-3", "10 kHz"]} | given), RunConfig())


def test_crossings_must_hold_what_each_config_reads(hgq2):
    fine = load_config("calorimeter")
    fine = replace(fine, firmware=replace(fine.firmware, energy_lsb_gev=2.0, precision={}))
    options = SimpleNamespace(seeds=[1], points=["1e-3"])
    hgq2.check(options, RunConfig(), load_config("calorimeter"))
    with pytest.raises(InputError, match=r"energies in steps of 4 GeV, for a network with .* steps of 2 GeV"):
        hgq2.check(options, RunConfig(), fine)


@pytest.mark.parametrize(
    ("emulator", "peer", "said"),
    [
        (1_000_000, 100_000, []),
        (999_999, 50_000, ["emulator: 999,999 scores per second and core, fewer than 1,000,000"]),
        (1_500_000, 160_000, ["emulator: 9.4 times hls, less than 10"]),
        (
            800_000,
            100_000,
            [
                "emulator: 800,000 scores per second and core, fewer than 1,000,000",
                "emulator: 8.0 times hls, less than 10",
            ],
        ),
    ],
)
def test_an_emulator_below_its_target_is_said_to_be(emulator, peer, said):
    spec = importlib.util.spec_from_file_location("bench_executors", _FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.shortfalls({"emulator": emulator, "hls": peer, "rtl": 1e9}) == said


@pytest.fixture(scope="module")
def hgq2():
    """The script; it imports others by name, as it does where it runs."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(_FOLDER), *sys.path])
        yield importlib.import_module("hgq2")
    for name in {"hgq2", "axol1tl", "cicada_firmware", "distances"} - before:
        sys.modules.pop(name, None)


def student_of(preset: str) -> SimpleNamespace:
    """A network of a preset with random weights, in float and in words."""
    config = FirmwareConfig.PRESETS[preset]
    name = config.squared
    integers = {"conv1": 7, "dense1": 7, "output": 6 if config.dense else 8} | {name: 2}
    changed = {layer: replace(config.layer_precision(layer), output_integer=n) for layer, n in integers.items()}
    changed[name] = replace(changed[name], weight_integer=-2, bias_bits=10)
    config = replace(config, precision={**config.precision, **changed})
    floats, quantized = build_float(config, 5), build_qkeras(config, 5)
    quantized.get_layer("output").set_weights([np.full((config.hidden[-1], 1), 0.5), np.zeros(1)])
    return SimpleNamespace(
        float_model=SimpleNamespace(model=floats, predict=lambda counts: floats.predict(counts, verbose=0)),
        firmware=FirmwareModel.rounded(quantized, config),
    )


def words_of(shape: tuple[int, int], seed: int) -> dict[str, np.ndarray]:
    """Words of a kernel of weights of zero to seven bits, and odd words of biases."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 7, shape)
    kernel = rng.integers(-(1 << bits), 1 << bits) * (bits > 0)
    kernel[0, :2] = -64, 63
    return {"kernel": kernel, "fraction": np.array(8), "bias": rng.integers(-300, 300, shape[1]) | 1}


@pytest.mark.parametrize("preset", ["distance", "autoencoder"])
def test_words_of_widths_of_their_own_are_the_network_that_hgq2_was_given(hgq2, preset):
    student, rng = student_of(preset), np.random.default_rng(1)
    config, name = student.firmware.config, student.firmware.config.squared
    counts = rng.poisson(rng.uniform(0, 3, (300, 1, 1, 1)), (300, 18, 15, 1))
    given = hgq2.task(student, counts[:10], counts)
    words = words_of(given["kernel"].shape, 2)
    words["bias_fraction"] = np.array(given["input_word"][1] + 9)
    network = hgq2.with_words(student.firmware, words)
    precision = network.config.layer_precision(name)
    assert (precision.weight_bits, precision.weight_word.fraction) == (7, 8)
    assert precision.bias_word.fraction == words["bias_fraction"]
    for layer in config.layers:
        old, new = (f.model.get_layer(layer).get_weights() for f in (student.firmware, network))
        if layer == name:
            assert np.array_equal(new[0] * 2.0**8, words["kernel"])
            assert np.array_equal(new[1] * 2.0 ** words["bias_fraction"], words["bias"])
        else:
            assert all(np.array_equal(*pair) for pair in zip(old, new, strict=True))
    # The network as hgq2_training.py builds it, in integers' own floats.
    x = given["asked"].astype(np.float64) @ words["kernel"] / 2.0**8 + words["bias"] / 2.0 ** words["bias_fraction"]
    x = np.square(WordType(True, *given["word"], "RND_CONV", "SAT").quantize(x))
    for i in range(given["behind"]):
        signed, *bits = given[f"word{i}"]
        x = WordType(bool(signed), *bits, "RND_CONV", "SAT").quantize(x @ given[f"kernel{i}"] + given[f"bias{i}"])
    expected = output_word(config).to_words(x)
    assert len(np.unique(expected)) > 50
    assert np.array_equal(network.predict_words(counts), expected)


def test_words_wider_than_a_weight_may_be_are_refused(hgq2):
    firmware = student_of("distance").firmware
    words = words_of((15, 15), 3) | {"bias_fraction": np.array(9)}
    words["kernel"][0, 0] = 1024
    with pytest.raises(InputError, match=r"dense1\.weight_bits = 12; expected 2 to 11 bits"):
        hgq2.with_words(firmware, words)


def test_what_an_environment_learned_is_read_for_each_beta(hgq2, tmp_path):
    made = {f"{name}{i}": value for i in range(2) for name, value in words_of((3, 2), i).items()}
    np.savez(tmp_path / "made.npz", **made)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\ncp {tmp_path}/made.npz "$3"\n')
    python.chmod(0o755)
    found = hgq2.run_hgq2(python, {"betas": [0.0, 1e-5]})
    for i, table in enumerate(found):
        assert {name: value.tolist() for name, value in table.items()} == {
            name: value.tolist() for name, value in words_of((3, 2), i).items()
        }
    assert len(found) == 2


def test_an_environment_without_hgq2_is_named(hgq2, tmp_path):
    python = tmp_path / "python"
    with pytest.raises(
        InputError, match=r"python \(No such file or directory\); expected the Python of an environment"
    ):
        hgq2.run_hgq2(python, {"betas": [0.0]})
    python.write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'hgq'\" >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(InputError, match=r"hgq2_training\.py ended with: ModuleNotFoundError: No module named 'hgq'"):
        hgq2.run_hgq2(python, {"betas": [0.0]})
