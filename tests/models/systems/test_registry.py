"""The systems of the comparison: sizes, exact behaviour, scores without labels, save and load to the bit, refusals."""

import json
from dataclasses import fields
from pathlib import Path

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
from codae_l1.models.systems.base import Batch
from codae_l1.models.systems.cct import CctSystem, CctThreeClassSystem
from codae_l1.models.systems.codae import CodaeSystem, CodvaeSystem, FullModelConfig
from codae_l1.models.systems.dirichlet import DirichletSystem, DirichletVae
from codae_l1.models.systems.qcd_or_what import QcdOrWhatSystem
from codae_l1.models.systems.registry import (
    SYSTEMS,
    CctConfig,
    CctSystemConfig,
    DirichletConfig,
    DirichletSystemConfig,
    QcdOrWhatConfig,
    QcdOrWhatSystemConfig,
    SystemsConfig,
    SystemTraining,
    create_system,
    system_class,
)
from codae_l1.models.training.config import TrainingConfig
from codae_l1.models.training.loop import train
from codae_l1.scripts.run.config import load_config

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src")

PAGE = Path(__file__).parents[3] / "docs" / "training.md"
TRAINING = SystemTraining(epochs=2, batch_size=8, learning_rate=1e-2, final_rate=1.0)
FULL_TRAINING = TrainingConfig(epochs=2, batch_size=8, learning_rate=1e-2)
SMALL_CCT = {"filters": (2, 4), "layers": 1, "heads": 1, "key": 2, "mlp": (4,)}
# One small system of each class: name -> config.
SMALL = {
    "codae": FullModelConfig(TINY, FULL_TRAINING),
    "codvae": FullModelConfig(TINY, FULL_TRAINING),
    "dirichlet": DirichletSystemConfig(DirichletConfig(hidden=4), TRAINING),
    "qcd_or_what": QcdOrWhatSystemConfig(QcdOrWhatConfig((2, 2), (400, 4), 2), TRAINING),
    "cct": CctSystemConfig(CctConfig(**SMALL_CCT), TRAINING),
    "cct_three_class": CctSystemConfig(CctConfig(**SMALL_CCT), TRAINING),
}
UNSUPERVISED = [name for name in SMALL if not name.startswith("cct")]


def values(x) -> np.ndarray:
    return keras.ops.convert_to_numpy(x)


def events(n: int, labels: tuple[str, ...] = ("qcd",)) -> Batch:
    """n sparse images in GeV, always the same, with the labels in turn."""
    generator = np.random.default_rng(n)
    images = generator.random((n, 72, 58, 3), "float32") * (generator.random((n, 72, 58, 3)) < 0.03)
    return Batch(images.astype("float32"), np.resize(labels, n))


def batch_for(name: str, n: int) -> Batch:
    return events(n, ("qcd", "h125", "svj2100") if system_class(name).supervised else ("qcd",))


@pytest.fixture(scope="module", params=["dirichlet", "qcd_or_what", "cct_three_class"])
def trained(request, tmp_path_factory):
    """(system, history, its folder) after two epochs."""
    name, folder = request.param, tmp_path_factory.mktemp("system")
    system = create_system(name, SMALL[name], seed=3)
    return system, system.fit(batch_for(name, 24), batch_for(name, 9), folder), folder


def test_saved_system_scores_equal_to_the_bit(trained, tmp_path):
    system, history, folder = trained
    images = events(5).images
    system.save(tmp_path / system.file)
    # A system of another seed takes every number from the file.
    other = create_system(system.name, SMALL[system.name], seed=4)
    other.load(tmp_path / system.file)
    ours, theirs = system.scores(images), other.scores(images)
    assert set(ours) == set(theirs)
    for name, score in ours.items():
        assert score.dtype == np.float64
        assert score.shape == (5,)
        assert (score == theirs[name]).all(), name
    assert system.main_score in ours
    assert other.parameters == system.parameters > 0
    assert other.macs == system.macs > 0
    assert json.loads((folder / "history.json").read_text()) == history
    assert len(history["loss"]) == 2
    function, inputs = system.predict_function(images[:2])
    assert [(x.dtype, len(x)) for x in inputs] == [(np.float32, 2)]
    np.testing.assert_allclose(values(function(*inputs)), values(system.model(inputs[0])), atol=1e-6)


# Dropout counts its draws, which the checkpoint keeps.
@pytest.mark.parametrize("trained", ["cct_three_class"], indirect=True)
def test_killed_training_goes_on_with_the_same_numbers(trained, tmp_path):
    whole, history, _ = trained

    def kill(done, total, text):
        if done == 1:
            raise KeyboardInterrupt

    train, validation = batch_for(whole.name, 24), batch_for(whole.name, 9)
    with pytest.raises(KeyboardInterrupt):
        create_system(whole.name, SMALL[whole.name], seed=3).fit(train, validation, tmp_path, kill)
    resumed = create_system(whole.name, SMALL[whole.name], seed=3)
    assert resumed.fit(train, validation, tmp_path) == history
    for a, b in zip(whole.model.weights, resumed.model.weights, strict=True):
        assert (values(a) == values(b)).all()


@pytest.mark.parametrize("name", UNSUPERVISED)
def test_unsupervised_systems_refuse_signals(name, tmp_path):
    mixed = events(9, ("qcd", "h125", "svj2100"))
    system = create_system(name, SMALL[name])
    for learnt, apart in ((mixed, events(3)), (events(3), mixed)):
        with pytest.raises(
            InputError, match=f"6 events of h125, svj2100 for the training of {name}; expected QCD alone"
        ):
            system.fit(learnt, apart, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["cct", "cct_three_class"])
def test_supervised_systems_name_the_classes_that_are_missing(name, tmp_path):
    mixed, expected = events(9, ("qcd", "h125", "svj2100")), "signal" if name == "cct" else "suep and no svj"
    system = create_system(name, SMALL[name])
    for learnt, apart in ((events(6), mixed), (mixed, events(6))):
        with pytest.raises(InputError, match=f"no {expected} events among 6 for the training of {name}; .*supervised"):
            system.fit(learnt, apart, tmp_path)


def test_untrained_system_has_no_orientation():
    with pytest.raises(InputError, match="qcd_or_what that is not trained; expected a trained one; call fit or load"):
        create_system("qcd_or_what", SMALL["qcd_or_what"]).scores(events(1).images)


def test_orientation_is_the_rank_correlation_on_qcd_alone():
    system = create_system("dirichlet", SMALL["dirichlet"], seed=1)
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


def test_every_system_has_a_table_or_takes_the_full_model_s():
    tables = {f.name for f in fields(SystemsConfig) if f.init}
    assert tables <= set(SYSTEMS)
    for cls in (CodaeSystem, CodvaeSystem, DirichletSystem, QcdOrWhatSystem, CctSystem, CctThreeClassSystem):
        assert system_class(cls.name) is cls
        assert cls.supervised == cls.name.startswith("cct")
        assert (cls.name in tables) != cls.name.startswith("cod")
    with pytest.raises(InputError, match="expected one of codae, codvae, dirichlet, qcd_or_what, raw_ae, "):
        create_system("vae", None)


def test_prior_and_codvae_survive_in_a_wrapped_model():
    codae, codvae = (create_system(name, FullModelConfig(TINY)) for name in ("codae", "codvae"))
    assert codae.model.prior is None
    assert codvae.model.prior is not None
    assert codvae.parameters > codae.parameters
    again = create_system("codae", FullModelConfig(codvae.model.config))
    assert again.model.prior is None


@pytest.mark.parametrize("name", ["codae", "codvae", "cct"])
def test_scores_and_their_orientation_come_back_to_the_bit(name, tmp_path):
    system, again = (create_system(name, SMALL[name], seed) for seed in (3, 4))
    images = events(12).images
    system.orient_by(images)
    system.signs[next(reversed(system.signs))] *= -1  # a sign that the file alone knows
    system.save(tmp_path / system.file)
    again.load(tmp_path / system.file)
    assert again.signs == system.signs
    ours, theirs = system.scores(images), again.scores(images)
    assert list(ours) == list(theirs)
    for score, found in ours.items():
        assert np.array_equal(found, theirs[score]), score
    assert ours[system.main_score].std() > 0


def test_documented_macs_of_the_codae_are_the_demo_s():
    config = load_config(PAGE.parents[1] / "scripts" / "configs" / "demo.toml")
    system = create_system("codae", FullModelConfig(config.model))
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith("| `codae`")]
    assert f"| {system.parameters:,} (demo) | {system.macs:,} (demo) |" in row


@pytest.mark.parametrize("name", ["dirichlet", "qcd_or_what", "raw_ae", "cct", "cct_three_class"])
def test_documented_sizes_are_those_of_the_default_configs(name):
    system = create_system(name, getattr(SystemsConfig(), name))
    (row,) = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    assert f"| {system.parameters:,} | {system.macs:,} | `{system.main_score}`" in row
    assert ("**signals**" in row) == system.supervised


def test_augmentation_of_jet_images_is_refused(tmp_path):
    jets = np.full((9, 40, 40, 1), 1 / 1600, "float32")
    with pytest.raises(InputError, match="augment = true for images of 40 rows; expected 72 rows"):
        train(DirichletVae(DirichletConfig(4), shape=(40, 40, 1)), jets, jets, FULL_TRAINING, tmp_path)


def test_binary_cct_has_one_score():
    system = create_system("cct", SMALL["cct"])
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


@pytest.mark.parametrize(("name", "classes"), [("cct", 2), ("cct_three_class", 3)])
def test_a_cct_system_has_its_number_of_classes(name, classes):
    assert create_system(name, SMALL[name]).model.classes == classes


def test_three_class_cct_learns_the_shipped_events(tmp_path):
    """Half of the compact CCT's filters, five epochs; `train.py --model cct_three_class`: docs/training.md."""
    with EventFile(SAMPLE) as file:
        chosen = np.flatnonzero(split_of(file.pileup_block) == "validation")
        learnt, apart = (file.read_where(part) for part in (chosen[::2], chosen[1::4]))
    config = CctSystemConfig(
        CctConfig(filters=(8, 16, 32), heads=2, key=16, mlp=(32, 32)),
        SystemTraining(epochs=5, batch_size=32, learning_rate=4e-3, final_rate=0.05),
    )
    system = create_system("cct_three_class", config, seed=1)
    system.fit(Batch(learnt.images, learnt.signal), Batch(apart.images, apart.signal), tmp_path)
    found = system.classification(Batch(apart.images, apart.signal))
    assert found["auc"] > 0.88
    assert found["accuracy"] > 0.65
