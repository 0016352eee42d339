"""Whole encoders in hls4ml: QKeras words are hls4ml's words; what does not fit is refused with its numbers."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json
from codae_l1.hls.hls4ml.encoders import _check_encoder, convert_encoder, predict_encoder, read_encoder
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.codae.codvae import TINY_CODVAE, create_model
from codae_l1.models.codae.config import COMPACT, PAPER, TINY
from codae_l1.models.codae.model import CoDAE
from codae_l1.quantization.encoders._folding import calibrate_encoder, float_twin
from codae_l1.quantization.encoders.config import EncoderConfig, Part
from codae_l1.quantization.encoders.network import QuantizedEncoder, build_encoder

MASKS = (np.random.default_rng(0).random((40, 72, 58, 1)) < 0.02).astype(np.uint8)


def twin(part: Part, model: CoDAE, config: EncoderConfig) -> QuantizedEncoder:
    started = float_twin(part, model, config, MASKS)
    precision = calibrate_encoder(started, config, MASKS)
    quantized = build_encoder(part, model.config, config, precision)
    quantized.set_weights(started.get_weights())
    return QuantizedEncoder.rounded(part, model.config, config, precision, quantized)


def test_hls4ml_streams_f_m_word_for_word(tmp_path, quick_compiler):
    encoder = twin("f_m", CoDAE(TINY, seed=1), EncoderConfig(encoders=("f_m",), output_margin=1.0, margin=1.0))
    project = convert_encoder(encoder, HlsConfig(), tmp_path / "hls4ml")
    assert read_json(project.folder / "project.json")["io_type"] == "io_stream"
    rng = np.random.default_rng(5)
    busy = (rng.random((20, 72, 58, 1)) < rng.uniform(0, 1, (20, 1, 1, 1))).astype(np.uint8)
    masks = np.concatenate([MASKS, busy, np.zeros_like(MASKS[:1]), np.ones_like(MASKS[:1])])
    words = encoder.predict_words(masks)[0]
    assert (project.predict_words(masks) == words).all()
    # Busier events than those of calibration saturate the words, and words vary.
    low, high = encoder.words["z_m_word"].bounds
    assert len(np.unique(words)) > 40
    assert any((encoder.predict_layers(masks)["level0_word"] == encoder.words["level0_word"].bounds[1]).ravel())
    assert low <= words.min() < words.max() <= high


@pytest.mark.parametrize("slope", [0.0, 0.25])
def test_every_value_lies_in_its_interval(slope):
    config = dataclasses.replace(TINY, f_r_residuals=(1, 0, 0, 0))
    encoder = twin("f_r", CoDAE(config, seed=1), EncoderConfig(encoders=("f_r",), slope=slope))
    network, layers = read_encoder(encoder), encoder.predict_layers(np.ones_like(MASKS[:2]))
    records = {layer.name: layer for layer in network.layers}
    assert records["residual0_0"].kind == "add"
    for name, words in layers.items():
        values, interval = encoder.words[name].from_words(words), records[name].interval
        assert interval.low <= values.min() <= values.max() <= interval.high, name
    first, second = records["level0_word"].interval, records["residual0_0_second_word"].interval
    assert records["residual0_0"].interval.high == first.high + second.high


def test_forecasts_count_weights_and_products():
    f_m = predict_encoder("f_m", PAPER, EncoderConfig(), "io_parallel")
    kernels = [9 * 64, 9 * 64 * 128, 9 * 128 * 128, 9 * 128 * 256, 5 * 4 * 256 * 2]
    assert f_m.parameters == sum(kernels) + 64 + 128 + 128 + 256 + 2
    pixels = [36 * 29, 18 * 15, 9 * 8, 5 * 4, 1]
    assert f_m.multiplications == sum(k * p for k, p in zip(kernels, pixels, strict=True))
    assert predict_encoder("f_m", PAPER, EncoderConfig()).multiplications == sum(kernels)


@pytest.mark.parametrize(
    ("part", "codae", "io_type", "words"),
    [
        ("f_m", TINY, "io_parallel", r"an array of 4,176 elements; expected at most 4,096"),
        ("f_r", COMPACT, "io_stream", r"an array of 36,864 elements; expected at most 4,096"),
        (
            "f_r",
            PAPER,
            "io_stream",
            r"LUT predicted \(2,\d\d\d,\d\d\d multiplications at once\); expected at most the 1",
        ),
        ("f_r", PAPER, "io_parallel", r"LUT predicted \(\d\d\d,\d\d\d,\d\d\d multiplications at once\)"),
    ],
)
def test_what_is_too_large_is_said_with_numbers(part, codae, io_type, words):
    with pytest.raises(InputError, match=words):
        _check_encoder(part, codae, EncoderConfig(), HlsConfig(), io_type)


def test_what_hls4ml_does_not_stream_is_said(tmp_path):
    with pytest.raises(InputError, match=r'f_m with 2x2 pooling in io_stream.*expected encoders.pooling = "strided"'):
        _check_encoder("f_m", TINY, EncoderConfig(pooling="2x2"), HlsConfig())
    encoder = twin("f_r", create_model(TINY_CODVAE), EncoderConfig(encoders=("f_r",)))
    with pytest.raises(InputError, match="an encoder with outputs z_r_word, softplus_word; expected one output"):
        convert_encoder(encoder, HlsConfig(), tmp_path / "hls4ml")
