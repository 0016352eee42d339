"""Training: resume with the same numbers, best checkpoint, honest losses, seeds, bad input."""

import json
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.spool import Spool
from codae_l1.models.codae import losses
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import train
from codae_l1.models.training.network import Network, SeededLayers
from codae_l1.models.training.saving import load_model

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

CONFIG = TrainingConfig(epochs=3, batch_size=8, learning_rate=0.03, final_rate=0.1)
RNG = np.random.default_rng(0)
TRAIN = (RNG.random((40, 72, 58, 1)) < 0.02).astype(np.uint8)
VALIDATION = (RNG.random((10, 72, 58, 1)) < 0.02).astype(np.uint8)


@dataclass(frozen=True)
class SmallConfig:
    size: int = 2


@keras.saving.register_keras_serializable("codae_l1_tests")
class Small(Network):
    """A mask through two dense layers: the loop does not care which network it trains, and this one compiles fast."""

    config_class = SmallConfig

    def __init__(self, config=SmallConfig(), seed=5, **kwargs):
        super().__init__(config, seed, (72, 58, 1), **kwargs)
        make = SeededLayers(seed)
        self.encoder, self.decoder = make(keras.layers.Dense, config.size), make(keras.layers.Dense, 72 * 58)
        self.encoder.build((None, 72 * 58))
        self.decoder.build((None, config.size))
        self.build()

    def logits(self, mask):
        flat = keras.ops.reshape(keras.ops.cast(mask, "float32"), (-1, 72 * 58))
        return keras.ops.reshape(self.decoder(self.encoder(flat)), (-1, 72, 58, 1))

    def objective(self, mask, training=False, seed=None):
        return {"bce": losses.bce(mask, self.logits(mask))}


def values(model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in model.weights]


def equal(a, b) -> bool:
    return all((x == y).all() for x, y in zip(values(a), values(b), strict=True))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """(model, history, folder, progress reports) of three epochs without a break."""
    folder, reports = tmp_path_factory.mktemp("undisturbed"), []
    model = Small()
    history = train(model, TRAIN, VALIDATION, CONFIG, folder, lambda *report: reports.append(report))
    return model, history, folder, reports


def test_history_and_progress(undisturbed):
    _, history, folder, reports = undisturbed
    assert json.loads((folder / "history.json").read_text()) == history
    assert [len(history[k]) for k in ("loss", "validation_loss", "learning_rate")] == [3, 3, 3]
    assert history["learning_rate"] == pytest.approx([0.03, 0.0165, 0.003])
    number, before, expected = len(TRAIN) // CONFIG.batch_size, "", []
    for epoch, pair in enumerate(zip(history["loss"], history["validation_loss"], strict=True)):
        expected += [(epoch, 3, f"{before}batch {done} of {number}") for done in range(number)]
        expected.append((epoch + 1, 3, "loss {:.5g}, validation {:.5g}".format(*pair)))
        before = f"{expected[-1][2]}, "
    assert reports == expected
    assert sorted(p.name for p in folder.iterdir()) == ["best.keras", "checkpoint.npz", "history.json"]


def test_training_lowers_the_loss(undisturbed):
    _, history, _, _ = undisturbed
    assert history["validation_loss"][-1] < 0.9 * history["validation_loss"][0]


def test_the_model_left_is_the_best_one(undisturbed):
    model, history, folder, _ = undisturbed
    assert history["best_validation_loss"] == min(history["validation_loss"])
    assert history["validation_loss"][history["best_epoch"] - 1] == history["best_validation_loss"]
    mask = VALIDATION.astype("float32")
    loss = keras.ops.convert_to_numpy(losses.bce(mask, model.logits(mask))).mean()
    assert loss == pytest.approx(history["best_validation_loss"], rel=1e-5)
    assert equal(model, load_model(folder / "best.keras", Small))


def test_killed_training_goes_on_with_the_same_numbers(undisturbed, tmp_path):
    model, history, _, _ = undisturbed

    def kill(done, total, text):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Small(), TRAIN, VALIDATION, CONFIG, tmp_path, kill)
    assert len(json.loads((tmp_path / "history.json").read_text())["loss"]) == 1
    resumed = Small()
    assert train(resumed, TRAIN, VALIDATION, CONFIG, tmp_path) == history
    assert equal(resumed, model)


def test_finished_training_is_not_done_again(undisturbed):
    model, history, folder, _ = undisturbed
    again, reports = Small(), []
    assert train(again, TRAIN, VALIDATION, CONFIG, folder, lambda *r: reports.append(r)) == history
    assert reports == []
    assert equal(again, model)


def test_events_on_disk_give_the_same_weights(undisturbed, tmp_path):
    model, history, _, _ = undisturbed
    spools = Spool(tmp_path / "masks"), Spool(tmp_path / "masks")
    for spool, masks in zip(spools, (TRAIN, VALIDATION), strict=True):
        for start in range(0, len(masks), 7):
            spool.add(masks[start : start + 7])
    again = Small()
    assert train(again, *spools, CONFIG, tmp_path / "train") == history
    assert equal(again, model)


def test_the_seed_orders_and_augments(undisturbed, tmp_path):
    _, history, _, _ = undisturbed
    model = Small()
    # The same weights, another order and augmentation.
    model.seed = 6
    other = train(model, TRAIN, VALIDATION, replace(CONFIG, epochs=1), tmp_path)
    assert other["loss"][0] != history["loss"][0]


def test_loss_of_an_epoch_is_the_mean_over_its_events(tmp_path):
    # At a rate that float32 does not see nothing moves: every epoch's loss is the untrained model's, so nothing is
    # carried between epochs.
    config = TrainingConfig(epochs=2, batch_size=20, learning_rate=1e-30, weight_decay=0.0, augment=False)
    model = Small()
    mask = TRAIN.astype("float32")
    expected = float(keras.ops.convert_to_numpy(losses.bce(mask, model.logits(mask))).mean())
    history = train(model, TRAIN, TRAIN, config, tmp_path)
    assert history["loss"] == pytest.approx([expected, expected], rel=1e-5)
    assert history["validation_loss"] == pytest.approx([expected, expected], rel=1e-5)


def test_only_trainable_variables_move(tmp_path):
    model = Small()
    model.decoder.trainable = False
    train(model, TRAIN, VALIDATION, replace(CONFIG, epochs=1), tmp_path)
    fresh = Small()
    assert equal(model.decoder, fresh.decoder)
    assert not equal(model.encoder, fresh.encoder)


def test_folder_of_another_training_is_refused(undisturbed):
    folder = undisturbed[2]
    with pytest.raises(InputError, match=r"another training \(different: batch_size\)"):
        train(Small(), TRAIN, VALIDATION, replace(CONFIG, batch_size=16), folder)
    with pytest.raises(InputError, match=r"another training \(different: train_events\)"):
        train(Small(), TRAIN[::-1], VALIDATION, CONFIG, folder)
    with pytest.raises(InputError, match=r"another training \(different: model\)"):
        train(Small(seed=2), TRAIN, VALIDATION, CONFIG, folder)


def test_broken_checkpoint_and_wrong_masks_are_named(undisturbed, tmp_path):
    whole = (undisturbed[2] / "checkpoint.npz").read_bytes()
    (tmp_path / "checkpoint.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"checkpoint\.npz cannot be read"):
        train(Small(), TRAIN, VALIDATION, CONFIG, tmp_path)
    with pytest.raises(InputError, match=r"validation events of shape \(0, 72, 58, 1\)"):
        train(Small(), TRAIN, VALIDATION[:0], CONFIG, tmp_path)


def test_a_checkpoint_that_names_removed_keys_is_gone_on_from(undisturbed, tmp_path):
    def rewrite(**keys):
        with np.load(undisturbed[2] / "checkpoint.npz") as stored:
            arrays = dict(stored)
        header = json.loads(str(arrays.pop("header")))
        header["fingerprint"] |= {"precision": "float32", "xla": False, "distribute": "none"} | keys
        np.savez(tmp_path / "checkpoint.npz", header=np.array(json.dumps(header)), **arrays)

    rewrite()
    assert train(Small(), TRAIN, VALIDATION, CONFIG, tmp_path) == undisturbed[1]
    rewrite(xla=True)
    with pytest.raises(InputError, match=r"another training \(different: xla\)"):
        train(Small(), TRAIN, VALIDATION, CONFIG, tmp_path)


def test_curves_for_tensorboard(undisturbed, tmp_path):
    from tensorflow.compat.v1.train import summary_iterator
    from tensorflow.python.framework.tensor_util import MakeNdarray

    config = replace(CONFIG, epochs=2, tensorboard=True)
    history = train(Small(), TRAIN, VALIDATION, config, tmp_path)
    (path,) = (tmp_path / "tensorboard").iterdir()
    found = {}
    for event in summary_iterator(str(path)):
        for value in event.summary.value:
            found.setdefault(value.tag, {})[event.step] = float(MakeNdarray(value.tensor))
    assert set(found) == {"loss", "validation_loss", "learning_rate"}
    for name, curve in found.items():
        assert curve == pytest.approx({1: history[name][0], 2: history[name][1]}, rel=1e-6)
    # Curves may be added to a training that began without.
    assert train(Small(), TRAIN, VALIDATION, replace(config, tensorboard=False), tmp_path) == history
