import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import input_counts
from codae_l1.models.codae.config import CoDAEConfig
from codae_l1.models.codae.model import CoDAE
from codae_l1.quantization._qat import PooledCounts, choose_component
from codae_l1.quantization.config import DistillConfig, InSituConfig, Training
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.f_m.network import FirmwareModel
from codae_l1.quantization.in_situ import train_in_situ

ONES = (1, 1, 1, 1)
TINY = CoDAEConfig(
    f_m_filters=(2, 2, 2, 2),
    f_m_groups=ONES,
    f_r_filters=(2, 2, 2, 2),
    f_r_groups=ONES,
    f_r_residuals=(0, 0, 0, 0),
    decoder_filters=(2, 2, 2, 2),
    decoder_groups=ONES,
    decoder_residuals=(0, 0, 0, 0),
    residual_groups=1,
    latent_channels=2,
)
CONFIG = InSituConfig(epochs=2, events=64, batch_size=16, learning_rate=0.01, warm_up_copies=1)
WARM_UP = DistillConfig(steps=60, qat_steps=30)


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    return (np.random.default_rng(1).random((96, 72, 58, 1)) < 0.02).astype(np.uint8)


def run(masks: np.ndarray, config: InSituConfig = CONFIG):
    codae = CoDAE(TINY, seed=3)
    before = [w.copy() for w in codae.get_weights()]
    student = train_in_situ(codae, masks[:64], masks[64:], FirmwareConfig(outputs=2), Training(WARM_UP, config, seed=5))
    unchanged = all(np.array_equal(a, b) for a, b in zip(before, codae.get_weights(), strict=True))
    return student, unchanged


@pytest.fixture(scope="module")
def trained(masks):
    return run(masks)


@pytest.mark.parametrize("pool", [3, 4, 6])
def test_pooling_layer_equals_the_integer_twin(masks, pool):
    config = FirmwareConfig(pool=pool, count_bits=6)
    full = np.concatenate([masks, np.ones((1, 72, 58, 1), np.uint8)])
    counts = np.asarray(PooledCounts(pool, 6)(full))
    assert np.array_equal(counts, input_counts(full, config.pooling).astype(np.float32))
    assert np.asarray(PooledCounts(pool, 1)(full)).max() == 1


def test_masks_and_images_pool_alike(masks):
    images = np.concatenate([masks * 3.7, masks, masks], axis=3).astype(np.float32)
    assert np.array_equal(input_counts(masks, FirmwareConfig().pooling), input_counts(images))


def test_training_through_the_frozen_decoder(trained):
    student, unchanged = trained
    assert unchanged
    assert len(student.history["bce"]) == CONFIG.epochs
    assert student.history["bce_after"] != student.history["bce_before"]
    assert student.firmware.config.outputs == 2
    assert student.firmware.sign in (1, -1)
    assert (student.firmware.sign, student.firmware.component) == (
        student.float_model.sign,
        student.float_model.component,
    )


def test_decoder_may_move_in_a_copy(masks, trained):
    student, unchanged = run(masks, InSituConfig(2, 64, 16, 0.01, True, 1))
    assert unchanged
    assert student.history["bce_after"] < trained[0].history["bce_after"]


def test_same_seed_same_words(masks, trained, tmp_path):
    student, counts = trained[0], input_counts(masks, FirmwareConfig().pooling)
    again, _ = run(masks)
    words = student.firmware.predict_words(counts)
    assert np.array_equal(words, again.firmware.predict_words(counts))
    student.firmware.save(tmp_path / "f_m.npz")
    loaded = FirmwareModel.load(tmp_path / "f_m.npz")
    assert np.array_equal(words, loaded.predict_words(counts))
    assert (loaded.sign, loaded.component) == (student.firmware.sign, student.firmware.component)


def test_component_and_sign_come_from_ranks():
    mse = np.arange(50.0)
    words = np.stack([np.zeros(50), -(mse**3)], axis=1).astype(np.int64)
    assert choose_component(words, mse) == (1, -1, [0.0, pytest.approx(-1.0)])
    assert choose_component(-words, mse)[:2] == (1, 1)


def test_wrong_input_is_refused(masks):
    with pytest.raises(InputError, match=r"firmware.outputs = 1; expected 2, as z_m"):
        train_in_situ(CoDAE(TINY), masks, masks, FirmwareConfig(), Training(in_situ=CONFIG))
    with pytest.raises(InputError, match=r"in_situ.epochs = 0; expected a number above zero"):
        InSituConfig(epochs=0)
