"""Twins inside the full model: which encoders move, for CoDAE and CoDVAE; scores against the float model's."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import TINY_CODVAE, create_model
from codae_l1.models.codae.config import TINY, SwapConfig
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.codae.scores import codae_scores, orientations
from codae_l1.quantization.config import InSituConfig, Training
from codae_l1.quantization.encoders.config import EncoderConfig
from codae_l1.quantization.encoders.in_situ import _with_quantized, train_encoders, validate
from codae_l1.quantization.encoders.network import QuantizedEncoder
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.quantization.in_situ import train_in_situ

pytestmark = pytest.mark.usefixtures("small_batches")
CONFIG = InSituConfig(epochs=1, events=32, batch_size=8, learning_rate=0.01, warm_up_copies=1)
BATCH_NORM = dataclasses.replace(TINY, swaps=SwapConfig(norm="batch"))
CASES = {
    "f_m": (BATCH_NORM, EncoderConfig(encoders=("f_m",), slope=0.25, pooling="2x2", warm_up_steps=20)),
    "f_r": (BATCH_NORM, EncoderConfig(encoders=("f_r",), warm_up_steps=0)),
    "both of a CoDVAE": (TINY_CODVAE, EncoderConfig(warm_up_steps=10)),
}


MASKS = (np.random.default_rng(1).random((48, 72, 58, 1)) < 0.02).astype(np.uint8)


@pytest.fixture
def masks() -> np.ndarray:
    return MASKS


def run(name: str, masks: np.ndarray, **changes):
    config, encoders = CASES[name]
    model = create_model(config, seed=3)
    before = [w.copy() for w in model.get_weights()]
    options = dataclasses.replace(CONFIG, **changes)
    trained = train_encoders(model, masks[:32], masks[32:], encoders, Training(in_situ=options, seed=5))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    return model, trained


@cache
def trained_once(name: str):
    return run(name, MASKS)


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    return request.param, *trained_once(request.param)


def test_the_named_encoders_are_quantized_and_learn(case):
    name, model, trained = case
    parts = CASES[name][1].encoders
    assert tuple(trained.encoders) == parts
    assert trained.model.decoder is model.decoder
    for part in ("f_m", "f_r"):
        assert (getattr(trained.model, part) is getattr(model, part)) == (part not in parts)
    history = trained.history
    assert set(history["warm_up"]) == set(parts)
    for losses in history["warm_up"].values():
        assert (len(losses) == 10 and losses[-1] < losses[0]) if CASES[name][1].warm_up_steps else losses == []
    assert history["bce_after"] < history["bce_float"]


def test_words_inside_the_model_are_the_encoder_s(case, masks):
    """z_m and z_R that the decoder reads are exactly the words of the saved encoder."""
    _, _, trained = case
    for part, encoder in trained.encoders.items():
        inside = getattr(trained.model, part)(masks.astype("float32"))
        inside = np.asarray(inside[0] if isinstance(inside, list) else inside)
        words = encoder.predict_words(masks)[0]
        assert (inside == encoder.words[encoder.outputs[0]].from_words(words)).all()


def test_saved_encoders_give_the_scores_again(case, masks, tmp_path):
    _, model, trained = case
    loaded = {}
    for part, encoder in trained.encoders.items():
        encoder.save(tmp_path / f"{part}.npz")
        loaded[part] = QuantizedEncoder.load(tmp_path / f"{part}.npz")
    first, again = (codae_scores(m, masks) for m in (trained.model, _with_quantized(model, loaded)))
    assert ("kl" in first) == (model.config.categorical is not None)
    assert all((first[score] == again[score]).all() for score in first)


def test_scores_are_held_against_the_float_model(case, masks):
    name, model, trained = case
    signal = np.array(["qcd"] * 32 + ["h300"] * 16)
    signs = orientations(codae_scores(model, masks[:32]))
    found = validate(model, trained.model, masks, signal, signs, n_bootstrap=20)
    same = validate(model, model, masks, signal, signs, n_bootstrap=20)
    assert set(found) == set(signs)
    assert same["mse"]["rank_correlation"] == pytest.approx(1)
    entry = found["mse"]["auc"]["h300"]
    assert entry["difference"] == pytest.approx(entry["float"] - entry["quantized"])
    assert same["mse"]["auc"]["h300"]["difference"] == 0
    assert 0 < abs(found["mse"]["rank_correlation"]) < 1
    if name == "f_m":
        assert found["z_r_norm"]["rank_correlation"] == pytest.approx(1)
    with pytest.raises(InputError, match="expected as many, background among them"):
        validate(model, trained.model, masks, signal[:3], signs)


def test_same_seed_same_words_and_the_decoder_may_move(masks):
    runs = [trained_once("f_m")[1], run("f_m", masks)[1]]
    words = [r.encoders["f_m"].predict_words(masks)[0] for r in runs]
    assert (words[0] == words[1]).all()
    moved = run("f_m", masks, train_decoder=True)[1]
    assert moved.history["bce_after"] < runs[0].history["bce_after"]


def test_the_pooled_f_m_sees_tracks_alone(masks):
    firmware = FirmwareConfig(outputs=2, inputs=("tracks", "ecal"))
    with pytest.raises(InputError, match=r"firmware.inputs = \['tracks', 'ecal'\]; expected tracks, all that a CoDAE"):
        train_in_situ(CoDAE(TINY), masks, masks, firmware, Training(in_situ=CONFIG))
