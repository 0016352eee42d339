"""Records of a Keras model: what it reads of its input."""

import pytest

from codae_l1.data.base.words import WordType
from codae_l1.hls.network.records import read_network


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
