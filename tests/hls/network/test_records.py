"""Records of a Keras model: what it reads of its input; the same records from the words in its file."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from codae_l1.data.base.config import dump
from codae_l1.data.base.words import WordType
from codae_l1.hls.network.records import firmware_network, read_network
from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
from codae_l1.quantization.f_m.weights import weight_shapes, write_weights


@pytest.mark.parametrize(
    ("pool", "said"),
    [
        (4, ["layer pool of 4 x 4 by 4 x 4 never reads 78 of 270 cells"]),
        (2, ["layer pool of 2 x 2 by 2 x 2 never reads 18 of 270 cells"]),
        (3, []),
    ],
)
def test_cells_that_no_window_reads_are_said(pool, said, caplog):
    import keras

    given = keras.Input((18, 15, 1))
    model = keras.Model(given, keras.layers.MaxPooling2D(pool, name="pool")(given))
    network = read_network(model, WordType(False, 5, 0))
    assert network.layers[0].shape == (18 // pool, 15 // pool, 1)
    assert caplog.messages == said


CONFIGS = {
    **FirmwareConfig.PRESETS,
    "deep": FirmwareConfig(
        conv=(ConvConfig(2, (3, 3), (3, 3)), ConvConfig(3, (2, 3), (2, 2))), dense=(4, 3), outputs=2, precision={}
    ),
    "gaps": FirmwareConfig(conv=(ConvConfig(2, (2, 3), (3, 3)),), precision={}),
}


def stored(config, path):
    """A file of random words of all values, the smallest and the largest included."""
    rng, words = np.random.default_rng(1), {}
    for key, shape in weight_shapes(config).items():
        low, high = config.weight_types[key].bounds
        words[key] = rng.integers(low, high + 1, shape)
        words[key].flat[:2] = (low, high)[: words[key].size]
    write_weights(path, {"config": dump(config), "sign": -1, "component": config.outputs - 1}, words)
    return path


def plain(record):
    """A record with all that it holds as plain values; arrays as their type, shape and values."""
    if isinstance(record, np.ndarray):
        return str(record.dtype), record.shape, record.tolist()
    if dataclasses.is_dataclass(record):
        fields = [plain(getattr(record, f.name)) for f in dataclasses.fields(record)]
        return type(record).__name__, fields
    return [plain(value) for value in record] if isinstance(record, tuple) else record


@pytest.mark.parametrize("name", CONFIGS)
def test_words_in_a_file_give_the_records_of_their_keras_model(name, tmp_path, caplog):
    from codae_l1.quantization.f_m.network import FirmwareModel

    path = stored(CONFIGS[name], tmp_path / "f_m.npz")
    (network, output), said = firmware_network(path), [m for m in caplog.messages if m.startswith("layer ")]
    caplog.clear()
    of_keras, expected = firmware_network(FirmwareModel.load(path))
    assert plain(network) == plain(of_keras)
    assert output == expected
    assert said == [m for m in caplog.messages if m.startswith("layer ")]
    assert len(said) == (name == "gaps")


def test_records_of_a_file_need_no_keras(tmp_path):
    path = stored(CONFIGS["deep"], tmp_path / "f_m.npz")
    text = """
import sys
from pathlib import Path
from codae_l1.hls.network.records import firmware_network
from codae_l1.hls.rtl.build import trace
from codae_l1.hls.target.config import HlsConfig
print(len(trace(firmware_network(Path(sys.argv[1]))[0], HlsConfig())[0].ops))
print(sorted({"tensorflow", "keras", "qkeras", "hls4ml", "sklearn"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", text, str(path)], capture_output=True, text=True)
    operations, loaded = done.stdout.split()
    assert int(operations) > 0
    assert loaded == "[]"
