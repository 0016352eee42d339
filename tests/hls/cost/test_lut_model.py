"""The cost model: its command, a fresh design within its band, magnitude pruning that it counts on."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.files import read_json, write_json
from codae_l1.hls.cost.lut_model import CALIBRATION, METHODS, effective_bits, estimate_lut, row_features
from codae_l1.hls.target.config import HlsConfig
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distill import learn
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.weights import weight_words
from codae_l1.scripts.run import folder as run_folder
from codae_l1.scripts.studies import calibrate_cost


def calibrate(monkeypatch, out, *arguments):
    monkeypatch.setattr(sys, "argv", ["calibrate_cost.py", "--out", str(out), *arguments])
    calibrate_cost.command()


def test_the_stored_calibration_is_that_of_the_designs(monkeypatch, tmp_path, capsys):
    stored = read_json(CALIBRATION)
    write_json(tmp_path / "c.json", stored)
    # Of another version every design would be measured anew.
    monkeypatch.setattr(run_folder, "versions", lambda: stored["versions"])
    monkeypatch.setattr(calibrate_cost, "_measure", lambda *a: pytest.fail("a design that is stored was measured"))
    calibrate(monkeypatch, tmp_path / "c.json")
    assert read_json(tmp_path / "c.json") == stored
    said = capsys.readouterr().out
    assert all(f"{method}: LUT = " in said for method in METHODS)


def test_a_fresh_design_lies_within_the_band(monkeypatch, tmp_path):
    monkeypatch.setattr(calibrate_cost, "STEPS", 60)
    monkeypatch.setattr(calibrate_cost, "QAT_STEPS", 40)
    firmware, _ = calibrate_cost._describe((((2, 3, 3),), (), False, 5, 6, ("tracks",), 0.0, True))
    firmware = replace(firmware, pool=8)
    images = calibrate_cost._shipped_qcd()[:300]
    row = calibrate_cost._measure(firmware, 0.0, images, HlsConfig())
    row |= {"firmware": dump(firmware), "sparsity": 0.0}
    for method in ("effective_bits", "trained"):
        found = estimate_lut(method, row_features(row, method))
        assert found.low <= row["lut"] <= found.high, (method, found, row)
    assert row["ff"] > 0


@pytest.mark.parametrize("tied", [False, True])
def test_pruned_weights_stay_zero(tied):
    firmware = FirmwareConfig(conv=(ConvConfig(4, (6, 6), (6, 6)),), tied=tied)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, (200, *firmware.input_shape))
    targets = (counts.sum(axis=(1, 2)) - counts.sum(axis=(1, 2)).mean()).astype(np.float32)
    config = DistillConfig(steps=20, qat_steps=20, sparsity=0.5)
    student = learn(counts, targets, counts, firmware, Training(config, seed=1))
    assert student.history["pruned"] == {"conv1": 0.5, "output": 0.5}
    words = weight_words(student.firmware.model, student.firmware.config)
    for name in firmware.layers:
        zero = words[f"{name}.kernel"] == 0
        assert zero.mean() >= 0.5
        if tied:
            # Whole channels go: equal weights stay or go together.
            by_channel = zero.reshape(-1, 4)
            assert np.array_equal(by_channel.all(axis=0), by_channel.any(axis=0))
    assert effective_bits(firmware, 0.5)[0] == effective_bits(firmware)[0] / 2
