"""Distance: how far a crossing lies from background, learned from background alone; no signal, no full model.

Of each group of inputs, c are the counts of windows, one for each ring in eta and place in phi. Background gives their
mean m and covariance. Two distances say how unlike it they are (Mahalanobis, 1936):

    A    of the sums around phi: how the group's counts are spread over eta
    B    of the counts themselves, B >= A: also how they are balanced around phi

    score = max(A / a, B / b),     a, b: what A and B exceed in a share TAIL of background

Both come from one whitening y = W (c - m), whose first rows read the sums around phi and whose others read what these
leave open: A = sum of y^2 over the first rows, B = sum over all. The larger of two is a + ReLU(b - a). Background
prefers no azimuth and, within its errors, no sign of eta: its covariance is averaged over all exchanges of places
around phi and over the mirror image in eta, which takes noise out of it. Of two groups the larger score counts, the
second one's a and b being exceeded in a share TAIL * SECOND: energies have longer tails than counts, and a trigger on
energies runs already.

At 1 the score is exceeded in a share of background between TAIL and twice that. Words hold up to 2^LARGEST_BITS; scores
beyond are rarer than any working point. The whitening is rounded, then trained further (QAT) to give the score that the
unrounded one gives; windows, sums and the larger of two are whole numbers. Energies may be bent before they are added
up (quantization/_bend.py).

With firmware.dense = (1,) the errors of an auto-encoder (quantization/_autoencoder.py) take the place of A and B.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.quantization._autoencoder import autoencoder
from codae_l1.quantization._bend import bent, window_weights
from codae_l1.quantization._calibration import WEIGHT_MARGIN, integer_bits, without_ties
from codae_l1.quantization._fitting import Schedule, fit
from codae_l1.quantization._windows import SINGULAR, Group, exceeded, no_variation
from codae_l1.quantization.config import Training
from codae_l1.quantization.distill import Student
from codae_l1.quantization.f_m.config import FirmwareConfig, input_word
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel, build_float, build_qkeras, saturated

# Share of background above a distance's unit, and what of it the second group gets.
TAIL, SECOND = 1e-2, 0.03
# Largest score that the words hold, as integer bits.
LARGEST_BITS = 4
# Fewer background events than this for each of the covariance's rows, and it is noise.
EVENTS_PER_ROW = 20
# Least cosine of an encoder's rounded weights with those before.
_LEAST_COSINE = 0.98
# Largest share of background in which a sum of a window may exceed its word.
_SATURATED = 1e-3


def learn_distance(
    counts: np.ndarray, weight: np.ndarray, calibration: np.ndarray, firmware: FirmwareConfig, training: Training
) -> Student:
    """Background counts (N, phi, eta, inputs) with weights (N,) -> how unlike them an event is, float and in firmware.

    calibration: counts of other background; the history compares both scores on it.
    """
    config = training.distill
    weight = _check_background(counts, weight, calibration, firmware)
    inputs, model = saturated(counts, firmware), build_float(firmware, training.seed)
    _set_weights(model, firmware, _groups(inputs, weight, firmware))
    calibrated = _words(firmware, model)
    _check_encoder(calibrated, model)
    quantized = build_qkeras(calibrated, training.seed)
    quantized.set_weights(model.get_weights())
    student = FloatModel(model, calibrated)
    targets = np.minimum(student.predict(counts), 2.0**LARGEST_BITS).astype(np.float32)
    for name in calibrated.layers:
        # The sums and the larger of two are what they are; the rows are what rounding hurts.
        quantized.get_layer(name).trainable = name == calibrated.squared
    second = Schedule(config.qat_steps, config.qat_learning_rate, config.batch_size, training.seed + 1)
    history: dict[str, Any] = {"qat": fit(quantized, inputs, targets, second, training.part("QAT"))}
    history["layers_without_ties"] = without_ties(quantized, calibrated)
    firmware_model = FirmwareModel.rounded(quantized, calibrated)
    answer = firmware_model.firmware_score(firmware_model.predict_words(calibration))
    expected = student.predict_scores(calibration)
    if not (np.ptp(answer) and np.ptp(expected)):
        raise InputError(
            f"a score that is {answer[0]:g} for each of {len(answer)} calibration events",
            "one that differs between events",
            "take more bits in firmware.precision, or other calibration events",
        )
    history["calibration_correlation"] = {"qkeras": float(np.corrcoef(expected, answer)[0, 1])}
    history |= {"events": len(counts)}
    return Student(student, firmware_model, history)


def _check_background(
    counts: np.ndarray, weight: np.ndarray, calibration: np.ndarray, firmware: FirmwareConfig
) -> np.ndarray:
    """The weights as float64, at most 1; InputError unless they fit the counts, are no negative numbers and not all
    zero."""
    weight = np.asarray(weight, np.float64)
    if weight.shape != (len(counts),) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
        raise InputError(
            f"weights of shape {weight.shape} for {len(counts)} background events, sum {weight.sum():g}",
            "a finite weight >= 0 for each, not all 0",
            "correct them, or give all the weight 1",
        )
    weight = weight / weight.max()
    if not len(calibration):
        raise InputError("no calibration event", "background that the training has not seen", "take a larger file")
    return weight


def _windows(inputs: np.ndarray, firmware: FirmwareConfig) -> np.ndarray:
    """Saturated counts -> sums of the windows (N, phi, eta, groups) float64."""
    (rows, columns), n = firmware.conv[-1].kernel, len(inputs)
    places, rings = firmware.input_shape[0] // rows, firmware.input_shape[1] // columns
    groups = [[firmware.inputs.index(name) for name in group] for group in firmware.distance]
    summed = np.stack([inputs[..., which].sum(axis=-1) for which in groups], axis=-1, dtype=np.float64)
    if len(firmware.conv) > 1:
        summed = bent(summed, firmware)
    return summed.reshape(n, places, rows, rings, columns, len(groups)).sum(axis=(2, 4))


def _checked_windows(inputs: np.ndarray, weight: np.ndarray, firmware: FirmwareConfig) -> np.ndarray:
    """The windows of enough events, which fit their words."""
    windows = _windows(inputs, firmware)
    places, rings = windows.shape[1:3]
    effective = int(weight.sum() ** 2 / np.square(weight).sum())
    if effective < EVENTS_PER_ROW * places * rings:
        of = "" if effective == len(windows) else f" (of {len(windows)}, by their weights)"
        raise InputError(
            f"{effective} background events{of} for a covariance of {places * rings} windows",
            f"at least {EVENTS_PER_ROW * places * rings}",
            "take more events or fewer windows",
        )
    name = f"conv{len(firmware.conv)}"
    bits = firmware.layer_precision(name).output_bits
    beyond = float(np.average((windows >= 1 << bits).any(axis=(1, 2, 3)), weights=weight))
    if beyond > _SATURATED:
        raise InputError(
            f"firmware.precision.{name}.output_bits = {bits}: windows beyond {(1 << bits) - 1} in {beyond:.1%} of the "
            "background",
            f"at most {_SATURATED:.1%}",
            "take more bits, or smaller windows",
        )
    return windows


def _groups(inputs: np.ndarray, weight: np.ndarray, firmware: FirmwareConfig) -> list[Group]:
    windows = _checked_windows(inputs, weight, firmware)
    learn, tails = autoencoder if firmware.dense else _whitening, (TAIL, TAIL * SECOND)
    return [learn(windows[..., g], weight, tails[g], names) for g, names in enumerate(firmware.distance)]


def _whitening(counts: np.ndarray, weight: np.ndarray, tail: float, names: tuple[str, ...]) -> Group:
    """Counts of windows (N, phi, eta), weights (N,) -> whitening in units of the distances exceeded in a share `tail`.

    In the basis of phi modes (the sum first) times even and odd functions of eta the symmetrised covariance falls
    apart into blocks.
    """
    _, places, rings = counts.shape
    mean = np.average(counts, axis=0, weights=weight).mean(axis=0)
    mean = (mean + mean[::-1]) / 2
    modes, eta = _phi_modes(places), _eta_modes(rings)
    values = np.einsum("mp,ke,npe->nmk", modes, eta, counts - mean)
    power = np.einsum("n,nmk,nml->mkl", weight, values, values) / weight.sum()
    even = _is_even(rings)
    power *= even[:, None] == even[None, :]
    power[1:] = power[1:].mean(axis=0) if places > 1 else power[1:]
    # Each window varies, also one whose mirror image does, and none repeats others.
    spread = np.average(np.square(counts - np.average(counts, axis=0, weights=weight)), axis=0, weights=weight)
    least = SINGULAR * spread.mean()
    if not min(spread.min(), np.linalg.eigvalsh(power).min()) > least:
        raise no_variation(names)
    factors = np.array([_whitener(block.tolist()) for block in power])
    squares = np.square(np.einsum("mjk,nmk->nmj", factors, values)).sum(axis=2)
    first, whole = exceeded((squares[:, 0], squares.sum(axis=1)), (rings, places * rings), weight, tail, names)
    rows = np.einsum("mjk,mp,ke->mjpe", factors, modes, eta)
    units = np.where(np.arange(places) == 0, first, whole)
    rows = (rows / np.sqrt(units)[:, None, None, None]).reshape(places * rings, places * rings)
    # No matrix product, whose last bits are the processor's. The second score has the squares of the rings, too.
    return Group(rows, -(rows * np.tile(mean, places)).sum(axis=1), rings, first / whole - 1)


def _whitener(covariance: list[list[float]]) -> list[list[float]]:
    """Upper triangle W with W C W^T = 1, so that W^T W is the inverse of C: C = U U^T, W the inverse of U.

    In Python's floats and one order: LAPACK's last bits are the processor's, and a seed's words shall not be.

    >>> _whitener([[4.0, 0.0], [0.0, 0.25]])
    [[0.5, -0.0], [0.0, 2.0]]
    """
    n = len(covariance)
    upper, inverse = ([[0.0] * n for _ in range(n)] for _ in range(2))
    for j in reversed(range(n)):
        for i in reversed(range(j + 1)):
            rest = covariance[i][j] - sum(upper[i][k] * upper[j][k] for k in range(j + 1, n))
            upper[i][j] = math.sqrt(rest) if i == j else rest / upper[j][j]
    for j in range(n):
        inverse[j][j] = 1 / upper[j][j]
        for i in reversed(range(j)):
            inverse[i][j] = -sum(upper[i][k] * inverse[k][j] for k in range(i + 1, j + 1)) / upper[i][i]
    return inverse


def _phi_modes(places: int) -> np.ndarray:
    """Orthonormal rows (places, places): the sum, then contrasts of each place with those before it."""
    rows = [np.full(places, 1 / np.sqrt(places))]
    for k in range(1, places):
        rows.append(np.r_[np.ones(k), -k, np.zeros(places - k - 1)] / np.sqrt(k * (k + 1)))
    return np.array(rows)


def _is_even(rings: int) -> np.ndarray:
    return np.arange(rings) < -(-rings // 2)


def _eta_modes(rings: int) -> np.ndarray:
    """Orthonormal rows (rings, rings): each ring with its mirror image, then the differences of both."""
    identity, half = np.eye(rings), -(-rings // 2)
    mirrored = identity[:, ::-1]
    even = [(identity[i] + mirrored[i]) / (2 if 2 * i + 1 == rings else np.sqrt(2)) for i in range(half)]
    odd = [(identity[i] - mirrored[i]) / np.sqrt(2) for i in range(rings // 2)]
    return np.array(even + odd)


def _set_weights(model: Any, firmware: FirmwareConfig, groups: list[Group]) -> None:
    """The weights of the float network: sums of windows, the rows that are squared, the larger of two scores."""
    n, (units, windows) = len(groups), groups[0].rows.shape
    encode, decode = np.zeros((windows, n, n)), np.zeros((n, units, n))
    rows, offset, parts = np.zeros((windows, n, units, n)), np.zeros((units, n)), np.zeros((units, n, 2, n))
    for g, group in enumerate(groups):
        rows[:, g, :, g], offset[:, g] = group.rows.T, group.offset
        # The first score, and what the second one exceeds it by, which the ReLU cuts at zero.
        first = np.arange(units) < group.first
        parts[:, g, 0, g] = first
        parts[:, g, 1, g] = np.where(first, group.correction, 1)
        if group.encode is not None:
            encode[:, g, g], decode[g, :, g] = group.encode, group.decode
    kernel, weights = rows.reshape(windows * n, -1), window_weights(firmware)
    if firmware.dense:
        # The encoder's units, and the windows as they are.
        passing = np.concatenate([encode.reshape(windows * n, n), np.eye(windows * n)], axis=1)
        weights["dense1"] = passing, np.zeros(n + windows * n)
        kernel = np.concatenate([decode.reshape(n, -1), kernel])
    behind = ((kernel, offset.ravel()), (parts.reshape(units * n, 2 * n), np.zeros(2 * n)))
    # Score of the first group, and what the second one's exceeds it by.
    larger = (np.array([[1, -1], [0, 1], [1, -1], [0, 1]], float), np.zeros(2))
    weights |= zip(firmware.layers[len(firmware.conv) + bool(firmware.dense) : -1], (*behind, larger), strict=False)
    weights["output"] = np.ones((2, 1)), np.zeros(1)
    for name, pair in weights.items():
        model.get_layer(name).set_weights([part.astype(np.float32) for part in pair])


def _check_encoder(firmware: FirmwareConfig, model: Any) -> None:
    """Raise InputError where the words of an encoder's weights point elsewhere than the weights."""
    if not firmware.dense:
        return
    kernel, _ = model.get_layer("dense1").get_weights()
    encode = kernel[:, : len(firmware.distance)].T.astype(np.float64)
    rounded = firmware.layer_precision("dense1").weight_word.quantize(encode)
    lengths = np.linalg.norm(encode, axis=1) * np.linalg.norm(rounded, axis=1)
    cosine = (encode * rounded).sum(axis=1) / np.maximum(lengths, 1e-12)
    if cosine.min() < _LEAST_COSINE:
        bits = firmware.layer_precision("dense1").weight_bits
        raise InputError(
            f"firmware.precision.dense1.weight_bits = {bits}, in which the weights of an encoder of {encode.shape[1]} "
            f"windows have a cosine of {cosine.min():.2f} with those before rounding",
            f"at least {_LEAST_COSINE:g}",
            "take more bits, or larger windows",
        )


def _words(firmware: FirmwareConfig, model: Any) -> FirmwareConfig:
    """The config with integer bits that follow from the unit of the score and from the weights.

    Biases as in quantization/_calibration.py: odd words of one bit below the products' step leave no sum on a tie.
    """
    precision, word = {}, input_word(firmware)
    convolutions = firmware.layers[: len(firmware.conv)]
    integers = {firmware.squared: LARGEST_BITS // 2}
    integers |= {name: firmware.layer_precision(name).output_bits for name in convolutions}
    if firmware.dense:
        integers["dense1"] = integers[convolutions[-1]]
    for name in firmware.layers:
        old, (kernel, bias) = firmware.layer_precision(name), model.get_layer(name).get_weights()
        # What is behind the rows adds up: by ones, and in a distance by a number between -1 and 0. A bend rounds.
        behind = name not in ("dense1", firmware.squared)
        whole = behind and (bool(firmware.dense) or name != "dense2") and name not in convolutions[:-1]
        weight_integer = 1 if behind else integer_bits(np.abs(kernel).max() * WEIGHT_MARGIN)
        new = dataclasses.replace(old, weight_integer=weight_integer, output_integer=integers.get(name, LARGEST_BITS))
        fraction = word.fraction + new.weight_word.fraction + (not whole)
        integer = max(integer_bits(np.abs(bias).max() * WEIGHT_MARGIN), 1 - fraction)
        precision[name] = dataclasses.replace(new, bias_integer=integer, bias_bits=max(1 + integer + fraction, 2))
        word = new.square_word if name == firmware.squared else new.relu_word
    return dataclasses.replace(firmware, precision=precision)
