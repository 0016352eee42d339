"""What single systems of event images do beside what all do (test_every_system.py): orientation, classes, learning."""

import keras
import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.sample import SAMPLE
from codae_l1.data.splits import split_of
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.scores import orientations
from codae_l1.models.evaluation.roc import auc
from codae_l1.models.systems._cct import CctSystem, CctThreeClassSystem
from codae_l1.models.systems._codae import FullModelConfig
from codae_l1.models.systems._dirichlet import DirichletSystem, DirichletVae
from codae_l1.models.systems.base import LabelledEvents
from codae_l1.models.systems.registry import (
    CctConfig,
    CctSystemConfig,
    DirichletConfig,
    _CosineTraining,
    create_system,
)
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import train

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

FULL_TRAINING = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-2)


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def events(n: int, labels: tuple[str, ...] = ("qcd",)) -> LabelledEvents:
    """n sparse images in GeV, always the same, with the labels in turn."""
    generator = np.random.default_rng(n)
    images = generator.random((n, 72, 58, 3), "float32") * (generator.random((n, 72, 58, 3)) < 0.03)
    return LabelledEvents(images.astype("float32"), np.resize(labels, n))


def test_orientation_is_the_rank_correlation_on_qcd_alone():
    system = create_system("dirichlet", DirichletSystem.small(), seed=1)
    images = events(40).images
    raw = system.raw_scores(images)
    system.orient_by(images)
    assert system.signs == orientations(raw, "kl")
    assert system.signs["kl"] == 1
    for name, score in system.scores(images).items():
        assert (score == system.signs[name] * raw[name]).all()
    # The same events with their order of kl turned around would turn the others.
    turned = {**raw, "kl": -raw["kl"]}
    assert orientations(turned, "kl")["mixture"] == -system.signs["mixture"]


def test_prior_and_codvae_survive_in_a_wrapped_model():
    codae, codvae = (create_system(name, FullModelConfig(TINY)) for name in ("codae", "codvae"))
    assert codae.model.prior is None
    assert codvae.model.prior is not None
    assert codvae.parameters > codae.parameters
    again = create_system("codae", FullModelConfig(codvae.model.config))
    assert again.model.prior is None


def test_augmentation_of_jet_images_is_refused(tmp_path):
    jets = np.full((9, 40, 40, 1), 1 / 1600, "float32")
    with pytest.raises(InputError, match="augment = true for images of 40 rows; expected 72 rows"):
        train(DirichletVae(DirichletConfig(4), shape=(40, 40, 1)), jets, jets, FULL_TRAINING, tmp_path)


def test_supervised_systems_name_the_classes_that_are_missing(tmp_path):
    mixed = events(9, ("qcd", "h125", "svj2100"))
    for cls, missing in ((CctSystem, "signal"), (CctThreeClassSystem, "suep and no svj")):
        system = cls(cls.small())
        with pytest.raises(
            InputError, match=f"no {missing} events among 6 for the training of {cls.name}; .*supervised"
        ):
            system.fit(mixed, events(6), tmp_path)


def test_binary_cct_has_one_score():
    system = create_system("cct", CctSystem.small())
    batch = events(4, ("qcd", "h125"))
    system.orient_by(batch.images)
    p = system.probabilities(batch.images)
    assert p.shape == (4, 2)
    scores = system.scores(batch.images)
    assert list(scores) == ["signal"]
    assert (scores["signal"] == 1 - p[:, 0]).all()
    found = system.classification(batch)
    assert found["accuracy"] == np.mean((p[:, 1] > p[:, 0]) == (batch.label != "qcd"))
    assert found["auc"] == auc(np.r_[p[::2, 1], p[1::2, 0]], np.r_[p[::2, 0], p[1::2, 1]])


def test_three_class_cct_learns_the_shipped_events(tmp_path):
    """Half of the compact CCT's filters, five epochs; `train.py --model cct_three_class`: docs/training.md."""
    with EventFile(SAMPLE) as file:
        chosen = np.flatnonzero(split_of(file.pileup_block) == "validation")
        learnt, apart = (file.read_where(part) for part in (chosen[::2], chosen[1::4]))
    config = CctSystemConfig(
        CctConfig(filters=(8, 16, 32), heads=2, key=16, mlp=(32, 32)),
        _CosineTraining(epochs=5, batch_size=32, learning_rate=4e-3),
    )
    system = create_system("cct_three_class", config, seed=1)
    system.fit(LabelledEvents(learnt.images, learnt.signal), LabelledEvents(apart.images, apart.signal), tmp_path)
    found = system.classification(LabelledEvents(apart.images, apart.signal))
    assert found["auc"] > 0.88
    assert found["accuracy"] > 0.65
