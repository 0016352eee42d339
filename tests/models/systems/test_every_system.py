"""What holds for every system of the registry, with the small config that its class gives: nothing is added here for a
new one. Trained once each: save and load to the bit, seeds, refusals, orientation, sizes; rows of docs/training.md."""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from codae_l1.data.base.config import dump, parse
from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.config import TINY
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.systems.base import JetSystem, KerasSystem, LabelledEvents, System
from codae_l1.models.systems.registry import SYSTEMS, SystemsConfig, create_system, system_class
from codae_l1.scripts.run.config import RunConfig, load_config

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src"),
    pytest.mark.usefixtures("small_batches"),
]

ROOT = Path(__file__).parents[3]
ROWS = {
    match[1]: line
    for line in (ROOT / "docs" / "training.md").read_text().splitlines()
    if (match := re.match(r"\| `(\w+)`", line)) and match[1] in SYSTEMS
}
CLASSES = ("qcd", "h125", "svj2100")


@cache
def encoder():
    """A CoDAE for the systems that want one."""
    return CoDAE(TINY, seed=2)


def create(name, seed=3):
    """A small system, with an encoder where it wants one."""
    system = create_system(name, system_class(name).small(), seed)
    if system.encoder_of:
        system.use_encoder(encoder())
    return system


def events(system, n, labels=("qcd",), seed=0):
    """n sparse images of what the system reads, with the labels in turn."""
    rng, jets = np.random.default_rng((seed, n)), isinstance(system, JetSystem)
    shape = system.shape if jets else (72, 58, 3)
    if system.inputs == "objects":
        return LabelledEvents(rng.exponential(2, (n, 19, 3)), np.resize(labels, n))
    images = rng.exponential(2, (n, *shape)) * (rng.random((n, *shape)) < 0.03)
    if jets and system.side == "constituents":
        images = np.concatenate([rng.exponential(9, (n, 50, 1)), rng.normal(0, 0.2, (n, 50, 2))], axis=-1)
        images[:, 20:] = 0
    elif jets:
        images[:, 3, 3] += 1
        images /= images.sum(axis=(1, 2, 3), keepdims=True)
    return LabelledEvents(images.astype(np.float32), np.resize(labels, n))


def samples(system):
    """What the system is trained on, and what its epoch is chosen by."""
    labels = CLASSES if system.learning == "signals" else CLASSES[:1]
    return events(system, 24, labels), events(system, 9, labels, seed=1)


@dataclass(frozen=True)
class Trained:
    """A system, the history of its training, the signs that it found, its file, images (the last one is empty) and
    their scores. The last sign is turned around since: only the file knows of it."""

    system: System
    history: dict
    signs: dict
    file: Path
    images: np.ndarray
    scores: dict


@pytest.fixture(scope="module", params=SYSTEMS)
def trained(request, tmp_path_factory):
    """Each system once."""
    system, folder = create(request.param), tmp_path_factory.mktemp(request.param)
    history = system.fit(*samples(system), folder)
    signs = dict(system.signs)
    system.signs[next(reversed(signs))] *= -1
    system.save(folder / system.file)
    images = events(system, 7).images
    images[-1] = 0
    return Trained(system, history, signs, folder / system.file, images, system.scores(images))


def test_scores_are_numbers_and_the_best_epoch_is_the_one_of_the_lowest_loss(trained):
    assert trained.system.main_score in trained.scores
    for score in trained.scores.values():
        assert (score.shape, score.dtype) == ((7,), np.float64)
        assert np.isfinite(score).all()
    assert trained.scores[trained.system.main_score].std() > 0
    if trained.history:
        assert trained.history["best_validation_loss"] == min(trained.history["validation_loss"])


def test_saved_system_scores_equal_to_the_bit_and_is_oriented_by_qcd_alone(trained):
    system, images = trained.system, trained.images
    # A system of another seed takes every number from the file.
    other = create(system.name, seed=4)
    other.load(trained.file)
    theirs = other.scores(images)
    assert list(theirs) == list(trained.scores)
    for name, score in trained.scores.items():
        assert (score == theirs[name]).all(), name
    assert (other.parameters, other.macs, other.signs) == (system.parameters, system.macs, system.signs)
    # As system.json holds them.
    json.dumps([system.parameters, system.macs, system.signs, trained.history])
    if isinstance(system, JetSystem) and (latent := system.latent(images)) is not None:
        assert (latent == other.latent(images)).all()
    if isinstance(system, JetSystem) and (made := system.reconstruct(images)) is not None:
        assert made.shape == images.shape
    qcd = samples(system)[1].background
    other.orient_by(qcd)
    assert other.signs == trained.signs != system.signs
    assert trained.signs.get(system.reference, 1) == 1


def test_an_event_scores_the_same_alone_and_among_others(trained):
    alone = trained.system.scores(trained.images[4:])
    for name, score in trained.scores.items():
        assert (score[4:] == alone[name]).all(), name


def test_the_seed_decides_the_training(trained, tmp_path):
    """Networks start from other weights with another seed. The one that draws in training is trained again, killed
    after its first epoch: it goes on with the same numbers; all others run through the same loop."""
    system, first = trained.system, create(trained.system.name)
    if isinstance(system, KerasSystem):
        kernels = [
            max((w.numpy() for w in x.model.trainable_variables), key=np.size) for x in (first, create(first.name, 4))
        ]
        assert (kernels[0] != kernels[1]).any()
        if system.name != "cct_three_class":
            return
        with pytest.raises(KeyboardInterrupt):
            first.fit(*samples(system), tmp_path, _kill)
        first = create(system.name)
    assert first.fit(*samples(system), tmp_path) == trained.history
    assert first.signs == trained.signs
    first.signs = dict(system.signs)
    for name, score in first.scores(trained.images).items():
        assert (score == trained.scores[name]).all(), name


def _kill(done, total, text):
    raise KeyboardInterrupt


def test_a_network_is_timed_on_its_own_input_and_its_macs_are_counted(trained):
    made = trained.system.predict_function(trained.images[:2])
    if made is None:
        assert not isinstance(trained.system, KerasSystem)
        return
    function, inputs = made
    assert {(x.dtype, len(x)) for x in inputs} == {(np.dtype(np.float32), 2)}
    assert function(*inputs).shape[0] == 2
    assert trained.system.macs > 0


def test_before_training_it_is_the_same_network(trained):
    fresh = trained.system.before_training(*samples(trained.system))
    assert (fresh is None) == (not isinstance(trained.system, KerasSystem))
    if fresh:
        assert list(fresh.signs) == list(trained.signs)
        weights = [[w.numpy() for w in x.model.trainable_variables] for x in (fresh, trained.system)]
        assert [w.shape for w in weights[0]] == [w.shape for w in weights[1]]
        assert any((a != b).any() for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_it_refuses(name, tmp_path):
    system = create(name)
    supervised = system.learning == "signals"
    good, other = samples(system)[0], events(system, 9, CLASSES[:1] if supervised else CLASSES)
    words = f"6 events of h125, svj2100 for the training of {name}; .*background alone"
    words = "as it is supervised" if supervised else words
    for pair in ((other, good), (good, other)):
        with pytest.raises(InputError, match=words):
            system.fit(*pair, tmp_path)
    if not supervised:
        mixed = LabelledEvents(good.images, np.where(np.arange(len(good)) % 2, "qcd", "zero_bias"))
        with pytest.raises(InputError, match=f"events of qcd and zero_bias for the training of {name}"):
            system.fit(mixed, good, tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=f"{name} that is not trained; expected a trained one; call fit or load first"):
        system.scores(good.images)
    (tmp_path / system.file).write_bytes(b"PK")
    with pytest.raises(InputError, match="cannot be read"):
        system.load(tmp_path / system.file)
    if not isinstance(system, KerasSystem):
        another = create("observables" if name != "observables" else "bdt")
        another.save(tmp_path / system.file)
        with pytest.raises(InputError, match=f"holds {another.name}; expected arrays of the system {name}"):
            system.load(tmp_path / system.file)


@pytest.mark.parametrize("name", SYSTEMS)
def test_its_config_is_a_table_of_the_run_or_the_runs_own_model(name):
    cls = system_class(name)
    config, default, table = cls.small(), cls.configured_by(RunConfig()), getattr(SystemsConfig(), name)
    assert cls.name == name
    if config is not None:
        assert parse(type(config), dump(config)) == config
    if name == "cct_three_class":
        assert default == RunConfig().systems.cct
    elif table is None:
        assert default is None or (default.model, default.training) == (RunConfig().model, RunConfig().training)
    if table is None:
        return
    assert default == table
    with pytest.raises(InputError, match=rf"unknown key systems\.{name}\.depth; expected one of "):
        parse(SystemsConfig, {name: {"depth": 1}}, "systems")


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(
        InputError, match="model 'vae'; expected one of codae, codvae, dirichlet, qcd_or_what, raw_ae, "
    ):
        create_system("vae", None)


@pytest.mark.parametrize("name", ROWS)
def test_documented_sizes_are_those_of_the_default_configs(name):
    demo = load_config(ROOT / "scripts" / "configs" / "demo.toml")
    system = create_system(name, system_class(name).configured_by(demo))
    note = r" \(demo\)" if "(demo)" in ROWS[name] else ""
    assert re.search(rf"\| {system.parameters:,}{note} \| {system.macs:,}{note} \| `{system.main_score}`", ROWS[name])
    assert ("**signals**" in ROWS[name]) == (system.learning == "signals")
