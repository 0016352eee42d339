"""Calibration: the stated range, times the stated margin, in the fewest integer bits; of the input, too."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.quantization._calibration import calibrate, calibrate_input, ranges
from codae_l1.quantization.config import DistillConfig, Training
from codae_l1.quantization.distill import learn
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.network import build_float

CONFIG = FirmwareConfig(conv=(ConvConfig(2, (6, 5), (6, 5)),))


@pytest.fixture(scope="module")
def counts():
    """99 quiet events and one that is four times as busy."""
    counts = np.random.default_rng(3).integers(0, 4, (100, 18, 15, 1))
    counts[37] = 4 * counts[36]
    return counts


@pytest.fixture(scope="module")
def model():
    return build_float(CONFIG, 1)


def test_the_range_is_a_quantile_over_events_of_their_largest_value(model, counts):
    most, typical = ranges(CONFIG, model, counts), ranges(CONFIG, model, counts, quantile=0.99)
    # Sums of floats depend on how many events are summed at once.
    assert most == pytest.approx(ranges(CONFIG, model, counts[37:38]), rel=1e-5)
    assert typical == pytest.approx(ranges(CONFIG, model, np.delete(counts, 37, axis=0)), rel=1e-5)
    assert all(typical[name] < most[name] / 2 for name in most)


@pytest.mark.parametrize(("margin", "quantile"), [(1.0, 1.0), (1.5, 1.0), (3.0, 1.0), (1.0, 0.99), (6.0, 0.5)])
def test_words_hold_the_range_times_the_margin_and_no_integer_bit_more(model, counts, margin, quantile):
    found = calibrate(CONFIG, model, counts, margin, 2 * margin, quantile)
    for name, largest in ranges(CONFIG, model, counts, quantile).items():
        needed = largest * (2 * margin if name == "output" else margin)
        integer = found.layer_precision(name).output_integer
        assert needed <= 2.0**integer
        assert integer == 0 or needed > 2.0 ** (integer - 1)


@pytest.mark.parametrize(
    ("largest", "margin", "bits"),
    [(0, 1.0, 1), (1, 1.0, 1), (3, 1.0, 2), (3, 1.5, 3), (7, 1.0, 3), (8, 1.0, 4), (15, 9.0, 5)],
)
def test_the_inputs_word_holds_its_counts_times_the_margin(largest, margin, bits):
    counts = np.full((5, 18, 15, 1), largest)
    assert calibrate_input(CONFIG, counts, margin).count_bits == bits


def test_energies_may_take_more_bits_than_a_cell_has_pixels(counts):
    config = dataclasses.replace(CONFIG, inputs=("ecal",))
    assert calibrate_input(config, 100 * np.minimum(counts, 3), 1.0).count_bits == 9
    assert calibrate_input(config, counts, 1.0).count_bits == 4
    assert calibrate_input(config, counts, 1.0, quantile=0.99).count_bits == 2


def test_distillation_fits_the_input_first_where_asked(counts):
    targets = counts.sum(axis=(1, 2, 3)).astype(np.float32)[:, None] / 100
    config = DistillConfig(steps=1, qat_steps=1, batch_size=10, input_margin=1.0, quantile=0.99)
    student = learn(counts, targets, counts, CONFIG, Training(config))
    assert student.firmware.config.count_bits == student.float_model.config.count_bits == 2


def test_margins_and_quantiles_that_mean_nothing_are_refused(model, counts):
    with pytest.raises(InputError, match=r"margins 0.9, 1.0; expected finite numbers >= 1"):
        calibrate(CONFIG, model, counts, 0.9, 1.0)
    with pytest.raises(InputError, match="margins nan; expected finite numbers >= 1"):
        calibrate_input(CONFIG, counts, float("nan"))
    for quantile in (0.0, 1.1):
        with pytest.raises(InputError, match=rf"quantile {quantile}; expected a number above 0, at most 1"):
            calibrate_input(CONFIG, counts, 1.0, quantile)
    with pytest.raises(InputError, match="no calibration event; expected at least one QCD event"):
        calibrate_input(CONFIG, counts[:0])
    with pytest.raises(InputError, match=r"distill.input_margin = 0.5; expected 0, or a finite number >= 1"):
        DistillConfig(input_margin=0.5)
    with pytest.raises(InputError, match=r"distill.quantile = 0; expected above 0, at most 1"):
        DistillConfig(quantile=0)
