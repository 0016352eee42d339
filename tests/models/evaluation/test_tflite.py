"""TF-Lite versions against Keras: float16 is Keras of rounded weights, int8 is close."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import TINY_CODVAE, CoDVAE
from codae_l1.models.codae.config import COMPACT, TINY
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.evaluation import tflite
from codae_l1.models.evaluation.tflite import _convert, _keras_parts, _LiteModel, compare, time_one

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

MASKS = (np.random.default_rng(0).random((20, 72, 58, 1)) < 0.02).astype(np.uint8)
# A grouped convolution, too.
GROUPED = replace(TINY, f_r_filters=(2, 4, 4, 4), f_r_groups=(1, 2, 1, 1))


@pytest.mark.parametrize("model", [CoDAE(GROUPED, seed=1), CoDVAE(TINY_CODVAE, seed=1)], ids=["codae", "codvae"])
def test_float16_is_keras_with_rounded_weights(model):
    parts = _keras_parts(model, MASKS)
    converted = {part: _convert(function, inputs, "float16") for part, (function, inputs) in parts.items()}
    for variable in model.variables:
        value = keras.ops.convert_to_numpy(variable)
        variable.assign(value.astype(np.float16).astype(np.float32))
    for part, (function, inputs) in parts.items():
        # In the decoder the fields of the conditioning are constants of their own, and rounded instead of its weights.
        tolerance = 0.05 if part == "decoder" else 2e-3
        found, expected = converted[part](*inputs), function(*inputs).numpy()
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance, err_msg=part)


def test_any_number_of_events_from_the_saved_file(tmp_path):
    function, inputs = _keras_parts(CoDAE(TINY, seed=1), MASKS)["decoder"]
    lite = _convert(function, inputs, "float16")
    lite.save(tmp_path / "decoder.tflite")
    again = _LiteModel((tmp_path / "decoder.tflite").read_bytes())
    whole = lite(*inputs)
    assert whole.shape == (20, 72, 58, 1)
    for n in (1, 7, 20):
        np.testing.assert_allclose(again(*(x[:n] for x in inputs)), whole[:n], atol=1e-4)


def test_every_part_and_kind_is_compared_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "TIMED_SECONDS", 0.0)
    monkeypatch.setattr(tflite, "BATCHES", (1, 20))
    reports = []
    rows = compare(CoDAE(COMPACT, seed=1), MASKS, MASKS, tmp_path, lambda *report: reports.append(report))
    assert [r[2] for r in reports] == ["f_m", "f_r", "decoder"]
    assert [(r["part"], r["kind"]) for r in rows[:4]] == [
        *(("f_m", kind) for kind in ("keras", "float16", "int8", "int8_static"))
    ]
    sizes = {p.stem: p.stat().st_size for p in tmp_path.iterdir()}
    assert sizes == {f"{r['part']}_{r['kind']}": r["bytes"] for r in rows if r["kind"] != "keras"}
    for row in rows:
        assert row["cpu_ms_batch_20"] > 0
        if row["kind"] == "float16":
            assert 0 < row["largest_difference"] < 0.05
            assert row["correlation"] > 0.99999
        if row["kind"] == "int8":
            assert row["largest_difference"] > 0
            assert row["correlation"] > 0.99
    # 87,056 weights of f_R: two bytes each, or one.
    assert sizes["f_r_float16"] == pytest.approx(2 * CoDAE(COMPACT).f_r.count_params(), rel=0.1)
    assert sizes["f_r_int8"] < 0.65 * sizes["f_r_float16"]


def test_any_network_is_timed_event_by_event(monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(tflite, "TIMED_SECONDS", 0.0)
    a, b = np.arange(6.0).reshape(3, 2), np.ones((3, 1))
    weights = tf.Variable([[1.0], [2.0]])
    found = time_one(tf.function(lambda x, y: x @ weights - y), [a, b])
    # 1 and 2 are exact in half precision.
    assert found["largest_difference"] == 0
    assert found["cpu_ms"] > 0
    assert 500 < found["bytes"] < 10_000
    with pytest.raises(InputError, match="0 events to time; expected at least one"):
        time_one(tf.function(lambda x: x @ weights), [a[:0]])


def test_unknown_kind_is_named():
    function, inputs = _keras_parts(CoDAE(TINY), MASKS[:1])["f_m"]
    with pytest.raises(InputError, match="kind 'int4'; expected one of float16, int8, int8_static"):
        _convert(function, inputs, "int4")
