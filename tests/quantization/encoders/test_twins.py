"""Swaps without training, twins started, fitted and quantized at several widths."""

import dataclasses

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.models.codae.codvae import TINY_CODVAE, create_model
from codae_l1.models.codae.config import TINY, SwapConfig
from codae_l1.models.codae.model import CoDAE
from codae_l1.models.codae.scores import codae_scores
from codae_l1.quantization.config import Training
from codae_l1.quantization.encoders.config import EncoderConfig
from codae_l1.quantization.encoders.twins import EncoderTwins, swapped

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src"),
    pytest.mark.usefixtures("small_batches"),
]

MASKS = (np.random.default_rng(1).random((24, 72, 58, 1)) < 0.02).astype(np.uint8)
# Groups and residual blocks in both encoders.
GROUPED = dataclasses.replace(
    TINY, f_m_groups=(1, 2, 2, 2), f_r_groups=(1, 2, 2, 2), f_r_residuals=(1, 1, 0, 1), residual_groups=2
)


def outputs(model, masks=MASKS) -> list[np.ndarray]:
    found = [model.f_m(masks.astype(np.float32)), model.f_r(masks.astype(np.float32))]
    return [np.asarray(x) for part in found for x in (part if isinstance(part, list) else [part])]


@pytest.fixture(scope="module", params=["CoDAE", "CoDVAE"])
def model(request):
    categorical = TINY_CODVAE.categorical if request.param == "CoDVAE" else None
    made = create_model(dataclasses.replace(GROUPED, categorical=categorical), seed=2)
    rng = np.random.default_rng(4)
    for variable in made.trainable_variables:
        if variable.name in ("bias", "scale", "shift"):
            variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return made


def test_the_same_layers_give_the_same(model):
    same = swapped(model, SwapConfig(), MASKS)
    assert all((a == b).all() for a, b in zip(outputs(model), outputs(same), strict=True))
    assert same.decoder is model.decoder


def test_batch_norm_takes_what_instance_norm_takes_of_an_event(model):
    """Averages over copies of one event are those of the event, on which both norms are then one function."""
    copies = np.repeat(MASKS[:1], 4, axis=0)
    batch = swapped(model, SwapConfig(norm="batch"), copies)
    assert batch.f_m.get_layer("level0").norm_kind == "batch"
    for a, b, other in zip(outputs(model, copies), outputs(batch, copies), outputs(batch), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
        assert np.abs(other[1:] - other[:1]).max() > 1e-2


@pytest.mark.parametrize(
    ("change", "parts"),
    [({"slope": 0.0}, (True, True)), ({"slope": 0.25}, (True, True)), ({"pooling": "2x2"}, (True, False))],
)
def test_a_swap_changes_the_encoders_that_have_the_layer(model, change, parts):
    changed = swapped(model, SwapConfig(**change), MASKS)
    found = zip(outputs(model)[:2], outputs(changed)[:2], strict=True)
    assert tuple(bool((a != b).any()) for a, b in found) == parts


@pytest.mark.parametrize("norms", [("instance", "none"), ("batch", "instance"), ("none", "batch")])
def test_other_norms_are_refused(norms):
    own = CoDAE(dataclasses.replace(GROUPED, swaps=SwapConfig(norm=norms[0])))
    with pytest.raises(InputError, match=f"norm {norms[1]} for a model with norm {norms[0]}; expected batch in place"):
        swapped(own, SwapConfig(norm=norms[1]), MASKS)


def test_twins_of_firmware_layers_start_as_the_model_itself():
    swaps = SwapConfig(norm="batch", slope=0.25, pooling="2x2")
    own = CoDAE(dataclasses.replace(GROUPED, swaps=swaps), seed=5)
    twins = EncoderTwins(own, MASKS, EncoderConfig(slope=0.25, pooling="2x2"))
    for a, b in zip(outputs(own), outputs(twins.model), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_fitting_brings_them_closer_and_widths_move_them_away(model):
    config = EncoderConfig(warm_up_steps=20, warm_up_rate=0.005)
    twins, before = EncoderTwins(model, MASKS, config), codae_scores(model, MASKS)["z0"]
    started = np.abs(codae_scores(twins.model, MASKS)["z0"] - before).mean()
    losses = twins.fit(MASKS, Training(seed=3))
    assert set(losses) == {"f_m", "f_r"}
    fitted = codae_scores(twins.model, MASKS)["z0"]
    assert np.abs(fitted - before).mean() < started
    found = {bits: twins.quantized(bits, MASKS, 2, Training(seed=3)) for bits in (8, 3)}
    moved = {bits: np.abs(codae_scores(m, MASKS)["z0"] - fitted).mean() for bits, (m, _) in found.items()}
    assert moved[8] < moved[3]
    encoders = found[3][1]
    assert {encoder.precision["level1"].weight_bits for encoder in encoders.values()} == {3}
    words = encoders["f_m"].predict_words(MASKS)[0]
    values = np.asarray(found[3][0].f_m(MASKS.astype(np.float32)))
    assert (words * encoders["f_m"].words["z_m_word"].lsb == values).all()
