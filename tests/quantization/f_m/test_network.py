import dataclasses
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.quantization._calibration import calibrate, without_ties
from codae_l1.quantization.f_m.config import (
    ConvConfig,
    FirmwareConfig,
    _accumulator_words,
    input_word,
    layer_sizes,
    output_word,
)
from codae_l1.quantization.f_m.float_model import FloatModel
from codae_l1.quantization.f_m.network import FirmwareModel, build_float, build_qkeras
from codae_l1.quantization.f_m.precision import LayerPrecision
from codae_l1.quantization.f_m.weights import weight_words

PRECISION = {"conv1": LayerPrecision(5, 1), "output": LayerPrecision(5, 0, output_bits=9, output_integer=4)}
# Topologies: default, in situ, untied with hidden dense layers, two convolutions, saturating input word.
CONFIGS = [
    FirmwareConfig(),
    FirmwareConfig(outputs=2),
    FirmwareConfig(conv=(ConvConfig(3, (2, 3), (2, 3)),), dense=(6, 4), tied=False, precision=PRECISION),
    FirmwareConfig(conv=(ConvConfig(2, (1, 1), (1, 1)), ConvConfig(3, (3, 5), (3, 5))), precision=PRECISION),
    FirmwareConfig(count_bits=2, conv=(), dense=(4,), precision={"output": PRECISION["output"]}),
]


@pytest.fixture(params=CONFIGS, ids=["default", "in-situ", "dense", "two-conv", "two-bit"])
def config(request) -> FirmwareConfig:
    return request.param


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    """Sparse, uniform, empty and full events: (200, 18, 15, 1)."""
    rng = np.random.default_rng(5)
    sparse = rng.poisson(0.3, (100, 18, 15, 1)).clip(0, 16)
    edges = np.stack([np.zeros((18, 15, 1)), np.full((18, 15, 1), 16), np.full((18, 15, 1), 31)])
    return np.concatenate([sparse, rng.integers(0, 17, (97, 18, 15, 1)), edges]).astype(np.int64)


def scrambled(config: FirmwareConfig, seed: int = 3) -> FirmwareModel:
    """A model with random weight words, so that sums round, tie and saturate."""
    rng, model = np.random.default_rng(seed), build_qkeras(config, seed)
    for name in config.layers:
        old = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([rng.normal(0, 0.5, w.shape).astype(np.float32) for w in old])
    return FirmwareModel.rounded(model, config)


def integer_reference(firmware: FirmwareModel, counts: np.ndarray) -> np.ndarray:
    """The network in Python integers (int64), rounding half to even by shifts: no floating point anywhere."""
    config, word = firmware.config, input_word(firmware.config)
    words, value = weight_words(firmware.model, config), np.clip(counts, *input_word(config).bounds)
    for name, conv in zip(config.layers, [*config.conv, *[None] * 9], strict=False):
        precision, accumulator = config.layer_precision(name), _accumulator_words(config)[name]
        kernel, bias = words[f"{name}.kernel"], words[f"{name}.bias"]
        if conv is None:
            sums = value.reshape(len(value), -1) @ kernel
        else:
            windows = np.lib.stride_tricks.sliding_window_view(value, conv.kernel, axis=(1, 2))
            windows = windows[:, :: conv.stride[0], :: conv.stride[1]]
            sums = np.einsum("nrckpe,pekf->nrcf", windows, kernel)
        sums = sums << (accumulator.fraction - word.fraction - precision.weight_word.fraction)
        sums = sums + (bias << (accumulator.fraction - precision.bias_word.fraction))
        word = config.layer_output(name)
        shift = accumulator.fraction - word.fraction
        value = half_to_even(sums, shift) if shift > 0 else sums << -shift
        value = np.clip(value, *word.bounds)
    return value


def half_to_even(words: np.ndarray, shift: int) -> np.ndarray:
    floor, rest, half = words >> shift, words & ((1 << shift) - 1), 1 << (shift - 1)
    return floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))


@pytest.mark.parametrize(
    ("pool", "kernel", "stride", "unread"),
    [
        (4, (3, 3), (3, 3), 0),
        (4, (6, 5), (6, 5), 0),
        (4, (3, 3), (1, 1), 0),
        (4, (4, 3), (2, 2), 0),
        (4, (4, 4), (4, 4), 78),
        (4, (2, 2), (2, 2), 18),
        (2, (3, 3), (3, 3), 72),
        (6, (3, 3), (3, 3), 12),
        (3, (3, 3), (3, 3), 48),
        # Gaps between the windows.
        (4, (1, 1), (2, 2), 270 - 9 * 8),
    ],
)
def test_cells_that_no_window_reads_are_counted(pool, kernel, stride, unread):
    config = FirmwareConfig(pool=pool, conv=(ConvConfig(2, kernel, stride),), precision={})
    size = layer_sizes(config)["conv1"]
    touched = np.zeros(config.input_shape[:2], bool)
    for row in range(0, touched.shape[0] - kernel[0] + 1, stride[0]):
        for column in range(0, touched.shape[1] - kernel[1] + 1, stride[1]):
            touched[row : row + kernel[0], column : column + kernel[1]] = True
    assert (~touched).sum() == unread == size.given - size.read
    if unread:
        with pytest.raises(
            InputError, match=rf"conv1 of .* never reads {unread} of {touched.size} cells; expected wind"
        ):
            config.check_windows()
    else:
        config.check_windows()


def test_the_second_convolution_leaves_nothing_out_either(caplog):
    config = FirmwareConfig(conv=(ConvConfig(2, (3, 3), (3, 3)), ConvConfig(2, (2, 2), (2, 2))), precision={})
    with pytest.raises(InputError, match="conv2 of 2 x 2 by 2 x 2 never reads 6 of 30 cells"):
        config.check_windows()
    build_float(config, 0)
    assert "firmware.conv: conv2 of 2 x 2 by 2 x 2 never reads 6 of 30 cells" in caplog.text


def test_qkeras_is_the_integer_machine(config, counts):
    firmware = scrambled(config)
    words = firmware.predict_words(counts)
    assert words.dtype == np.int64
    assert words.shape == (len(counts), config.outputs)
    assert np.array_equal(words, integer_reference(firmware, counts))
    low, high = output_word(config).bounds
    assert low <= words.min() < words.max() <= high


def test_saved_model_is_the_same_to_the_bit(config, counts, tmp_path):
    firmware = replace(scrambled(config), sign=-1, component=config.outputs - 1)
    firmware.save(tmp_path / "f_m.npz")
    loaded = FirmwareModel.load(tmp_path / "f_m.npz")
    assert (loaded.config, loaded.sign, loaded.component) == (config, -1, config.outputs - 1)
    words = firmware.predict_words(counts)
    assert np.array_equal(loaded.predict_words(counts), words)
    for a, b in zip(firmware.model.get_weights(), loaded.model.get_weights(), strict=True):
        assert a.tobytes() == b.tobytes()
    assert np.array_equal(loaded.firmware_word(words), -words[:, -1])
    assert np.array_equal(loaded.firmware_score(words), -words[:, -1] * output_word(config).lsb)


def test_float_twin_is_saved_to_the_bit(config, counts, tmp_path):
    twin = FloatModel(build_float(config, 2), config, -1)
    twin.save(tmp_path / "f_m_float.npz")
    loaded = FloatModel.load(tmp_path / "f_m_float.npz")
    assert loaded.predict(counts).tobytes() == twin.predict(counts).tobytes()
    assert np.array_equal(loaded.predict_scores(counts), -twin.predict(counts)[:, 0])


def test_same_seed_same_weights(config):
    first, again, other = (build_qkeras(config, seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_twins_share_layer_names_and_initial_weights(config):
    exact, quantized = build_float(config, 1), build_qkeras(config, 1)
    assert [layer.name for layer in exact.layers] == [layer.name for layer in quantized.layers]
    for a, b in zip(exact.get_weights(), quantized.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_tied_weights_are_one_a_channel():
    kernels = build_qkeras(FirmwareConfig(), 1)
    window = kernels.get_layer("conv1").get_weights()[0]
    cells = kernels.get_layer("output").get_weights()[0].reshape(30, 12)
    assert (window == window[:1, :1]).all()
    assert (cells == cells[:1]).all()
    free = build_qkeras(FirmwareConfig(tied=False), 1).get_layer("output").get_weights()[0]
    assert len(np.unique(free)) == free.size


def test_calibration_fits_the_ranges_and_removes_ties(counts):
    config, model = FirmwareConfig(), build_float(FirmwareConfig(), 4)
    calibrated = calibrate(config, model, counts[:100], margin=1.0, output_margin=1.0)
    for name, layer in (("conv1", "conv1_relu"), ("output", "output_word")):
        import keras

        largest = float(np.abs(keras.Model(model.input, model.get_layer(layer).output)(counts[:100])).max())
        top = 2.0 ** calibrated.layer_precision(name).output_integer
        assert top / 2 < largest <= top
    quantized = build_qkeras(calibrated, 4)
    assert without_ties(quantized, calibrated) == ["conv1", "output"]
    words = weight_words(quantized, calibrated)
    assert (words["conv1.bias"] % 2 == 1).all()
    assert (words["output.bias"] % 2 == 1).all()


def test_config_survives_toml(config):
    assert parse(FirmwareConfig, dump(config), "firmware") == config


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"precision": {"conv9": {}}}, "firmware.precision.conv9; expected one of conv1, output"),
        (
            {"precision": {"conv1": {"weight_bits": 1}}},
            "conv1.weight_bits = 1; expected 2 to 11 bits",
        ),
        ({"precision": {"conv1": {"bits": 4}}}, "unknown key firmware.precision.conv1.bits"),
        ({"conv": [{"filters": 0}]}, "firmware.conv[0].filters = 0; expected a number >= 1"),
        ({"conv": [{"kernel": [3]}]}, "firmware.conv[0].kernel = [3]; expected two numbers"),
        ({"conv": [{"kernel": [20, 3]}]}, "conv1 leaves no cell"),
        ({"dense": [-2]}, "firmware.dense[0] = -2"),
        ({"count_bits": "5"}, "firmware.count_bits = '5' (str); expected int"),
        (
            {"precision": {"conv1": {"bias_bits": 24, "bias_integer": 1}}},
            "firmware.precision.conv1: sums of 9 products",
        ),
    ],
)
def test_wrong_config_names_its_path(table, words):
    with pytest.raises(InputError) as error:
        parse(FirmwareConfig, table, "firmware")
    assert words in str(error.value)


def test_wrong_counts_are_refused():
    firmware = scrambled(FirmwareConfig())
    for counts, words in [
        (np.zeros((2, 15, 18, 1), int), "counts of shape (2, 15, 18, 1), int64; expected integers (N, 18, 15, 1)"),
        (np.zeros((2, 18, 15, 1)), "float64; expected integers"),
        (np.full((1, 18, 15, 1), -1), "counts from -1 to -1; expected counts from 0 to"),
    ]:
        with pytest.raises(InputError) as error:
            firmware.predict_words(counts)
        assert words in str(error.value)
    assert firmware.predict_words(np.zeros((0, 18, 15, 1), int)).shape == (0, 1)


def test_sign_and_component_are_checked():
    model = build_qkeras(FirmwareConfig(), 0)
    with pytest.raises(InputError, match="sign 2, component 0; expected sign 1 or -1"):
        FirmwareModel.rounded(model, FirmwareConfig(), sign=2)
    with pytest.raises(InputError, match=r"component 1; expected .* component 0 to 0"):
        FirmwareModel.rounded(model, FirmwareConfig(), component=1)


@pytest.mark.parametrize("kind", [FirmwareModel, FloatModel])
def test_broken_files_are_named(kind, tmp_path):
    path = tmp_path / "f_m.npz"
    with pytest.raises(InputError, match=r"f_m.npz does not exist; .*; run the quantize stage"):
        kind.load(path)
    scrambled(FirmwareConfig()).save(path)
    whole = path.read_bytes()
    for broken in (b"", whole[: len(whole) // 2], b"PK" + whole[2:200]):
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"f_m.npz is no model of f_m"):
            kind.load(path)


def flipped(path, whole, kind):
    """Load a file with one bit flipped, at 60 places; the messages of those that are refused."""
    said = []
    for place in np.linspace(0, len(whole) - 1, 60).astype(int):
        content = bytearray(whole)
        content[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(content))
        try:
            kind.load(path)
        except InputError as error:
            said.append(str(error))
    return said


def test_a_flipped_bit_is_one_line(tmp_path):
    path = tmp_path / "f_m.npz"
    scrambled(FirmwareConfig()).save(path)
    assert len(flipped(path, path.read_bytes(), FirmwareModel)) > 20


def changed(path, key, change):
    """Rewrite one array of a file of weights."""
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays[key] = change(arrays[key])
    np.savez(path, **arrays)


@pytest.mark.parametrize("key", ["inputs", "pool", "precision.output.output_bits", "conv[0].stride"])
def test_a_key_missing_in_a_stored_config_does_not_take_its_default(tmp_path, key):
    path = tmp_path / "f_m.npz"
    scrambled(FirmwareConfig()).save(path)

    def without(meta):
        content = json.loads(str(meta))
        table = content["config"]
        *tables, last = key.replace("[0]", ".0").split(".")
        for name in tables:
            table = table[int(name) if name == "0" else name]
        del table[last]
        return np.array(json.dumps(content))

    changed(path, "meta", without)
    with pytest.raises(InputError, match=rf"key firmware.{re.escape(key)} is missing; expected it in every file"):
        FirmwareModel.load(path)


def put(value, dtype=None):
    def change(array):
        array = array.astype(dtype or array.dtype)
        array.flat[3] = value
        return array

    return change


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("conv1.kernel", put(4096), "conv1.kernel with 4096; expected integers from -64 to 63; run the quantize stage"),
        ("conv1.kernel", put(-65), "conv1.kernel with -65; expected integers from -64 to 63"),
        ("conv1.bias", put(np.nan, float), "conv1.bias of type float64; expected integers from -128 to 127"),
        ("output.kernel", put(0.5, float), "output.kernel of type float64; expected integers from -32 to 31"),
        ("output.bias", lambda a: a.astype(bool), "output.bias of type bool; expected integers"),
        ("output.kernel", lambda a: a.astype("U4"), "output.kernel of type <U4; expected integers"),
        ("output.kernel", put(2**63, np.uint64), "output.kernel with 9223372036854775808"),
        ("meta", lambda a: np.array('{"format": 1}'), "its record has no config"),
    ],
)
def test_words_that_are_none_are_refused(tmp_path, key, change, words):
    path = tmp_path / "f_m.npz"
    FirmwareModel.rounded(build_qkeras(FirmwareConfig(), 0), FirmwareConfig()).save(path)
    changed(path, key, change)
    with pytest.raises(InputError) as error:
        FirmwareModel.load(path)
    assert words in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_make_no_firmware(tmp_path, value):
    config = FirmwareConfig()
    model, path = build_qkeras(config, 0), tmp_path / "f_m_float.npz"
    kernel, bias = model.get_layer("conv1").get_weights()
    kernel[0, 0, 0, 9] = value
    model.get_layer("conv1").set_weights([kernel, bias])
    for make in (FirmwareModel, FirmwareModel.rounded):
        with pytest.raises(InputError, match="layer conv1 with 1 of 120 weights that are no finite numbers; expected"):
            make(model, config)
    with pytest.raises(InputError, match=f"conv1.kernel with {value}; expected finite weights"):
        FloatModel(model, config).save(path)
    FloatModel(build_float(config, 0), config).save(path)
    # Keras keeps float32, in which 1e300 is infinite.
    for stored in (value, 1e300):
        changed(path, "conv1.kernel", put(stored, float))
        with pytest.raises(InputError, match=re.escape(f"f_m_float.npz: conv1.kernel with {stored}; expected finite")):
            FloatModel.load(path)


def test_output_words_are_integers():
    for words in (np.full((2, 1), np.nan), 3, [3]):
        with pytest.raises(InputError, match=r"output words of shape .*; expected integers \(N, outputs\); give what"):
            scrambled(FirmwareConfig()).firmware_word(words)


def test_model_of_other_shapes_is_refused(tmp_path):
    path = tmp_path / "f_m.npz"
    scrambled(FirmwareConfig()).save(path)
    with np.load(path) as file:
        arrays = {**file, "conv1.kernel": file["conv1.kernel"][..., :2]}
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=r"conv1.kernel of shape \(3, 3, 1, 2\), not \(3, 3, 1, 12\)"):
        FirmwareModel.load(path)


def test_off_grid_weights_are_put_on_their_words():
    config, model = FirmwareConfig(), build_qkeras(FirmwareConfig(), 0)
    model.get_layer("output").set_weights([np.full((360, 1), 5.3, np.float32), np.array([0.3], np.float32)])
    with pytest.raises(InputError, match=r"weights of conv1 off the grid of ap_fixed<7,1,.*; take rounded\(\)"):
        FirmwareModel(model, config)
    assert model.get_layer("output").get_weights()[0][0] == np.float32(5.3)
    FirmwareModel.rounded(model, config)
    kernel, bias = model.get_layer("output").get_weights()
    precision = config.layer_precision("output")
    assert np.array_equal(kernel, precision.weight_word.quantize(kernel))
    assert np.array_equal(bias, precision.bias_word.quantize(bias))
    assert kernel[0, 0] == precision.weight_word.bounds[1] * precision.weight_word.lsb


def test_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FirmwareConfig().pool = 2  # type: ignore[misc]
