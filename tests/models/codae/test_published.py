"""Published weights: every layout fact of TF-Lite files and checkpoints, what is refused, the published files."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf
from published_files import (
    PARTS,
    SMALL,
    SMALL_CODVAE,
    Twist,
    as_older_converter,
    checkpoint_variables,
    random_model,
    write_all,
    write_checkpoint,
    write_tflite,
)

from codae_l1.data.base.errors import InputError
from codae_l1.data.formats import read_events
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae import _published
from codae_l1.models.codae.codvae import PAPER_CODVAE, load_codae
from codae_l1.models.codae.config import PAPER, SCORES
from codae_l1.models.codae.model import save_codae
from codae_l1.models.codae.published import read_published
from codae_l1.models.codae.scores import codae_scores

# Keras passes its variables to np.array; TensorFlow's __array__ has no copy argument yet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning:keras.src"),
    pytest.mark.usefixtures("small_batches"),
]

MASKS = (np.random.default_rng(0).random((3, 72, 58, 1)) < 0.02).astype(np.float32)
KINDS = {"codae": SMALL, "codvae": SMALL_CODVAE}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def models():
    return {kind: random_model(config) for kind, config in KINDS.items()}


@pytest.fixture(scope="module")
def files(models, tmp_path_factory):
    """Kind -> its three files."""
    return {kind: write_all(model, tmp_path_factory.mktemp(kind)) for kind, model in models.items()}


def equal(a, b) -> bool:
    return all((np.asarray(x) == np.asarray(y)).all() for x, y in zip(a.weights, b.weights, strict=True))


def refused(kind: str, paths, config=None) -> str:
    with pytest.raises(InputError) as stop:
        read_published(kind, paths, config or KINDS[kind])
    assert "\n" not in str(stop.value)
    return str(stop.value)


def test_the_weights_of_three_files_are_the_model_s_to_the_bit(kind, models, files):
    found = read_published(kind, files[kind], KINDS[kind])
    assert equal(found.model, models[kind])
    assert found.files == tuple(files[kind])
    assert found.published == dict.fromkeys(("decoder", "f_m", "f_r"), False)


def test_grouped_convolutions_of_older_converters(kind, models, tmp_path):
    paths = write_all(models[kind], tmp_path)
    for path in paths:
        as_older_converter(path)
        assert b"FlexConv2D" in path.read_bytes()
    assert equal(read_published(kind, paths, KINDS[kind]).model, models[kind])


@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter:UserWarning")
def test_the_model_does_what_tflite_does(files):
    """An execution of its own: TF-Lite runs the very files. Their epsilon and coordinates are rounded to float16."""
    model = read_published("codae", files["codae"], SMALL).model
    by_part = dict(zip(("decoder", "f_m", "f_r"), files["codae"], strict=True))
    z_m, z_r = (run_tflite(by_part[part], [MASKS[:1]]) for part in ("f_m", "f_r"))
    np.testing.assert_allclose(z_m, np.asarray(model.f_m(MASKS[:1])), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(z_r, np.asarray(model.f_r(MASKS[:1])), rtol=1e-3, atol=1e-3)
    p = run_tflite(by_part["decoder"], [z_r, z_m])
    np.testing.assert_allclose(p, np.asarray(model(MASKS[:1])), atol=2e-3)
    assert p.std() > 0.05


def run_tflite(path, inputs):
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    for detail, value in zip(sorted(interpreter.get_input_details(), key=lambda d: d["name"]), inputs, strict=True):
        interpreter.set_tensor(detail["index"], np.asarray(value, np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


TWISTS = {
    "slope": ("f_m", Twist(slope=0.3), "slope of conv-b0 0.3; expected 0.2"),
    "epsilon": ("f_m", Twist(epsilon=1e-5), "epsilon of conv-b0 1.00136e-05; expected 0.001"),
    "pooling": ("f_m", Twist(window=2), "pooling of conv-b0 [2, 2], strides [2, 2]; expected 3x3, stride 2"),
    "level": ("f_m", Twist(levels=3), "no convolution conv-b3; expected conv-b0, conv-b1, conv-b2, conv-b3, z of f_m"),
    "extra": ("f_m", Twist(extra=True), "which no layer uses; expected no weights but the model's"),
    "axes": ("f_m", Twist(axes=(1, 2, 3)), "the norm of conv-b0 over the axes [1, 2, 3]; expected [1, 2]"),
    "stride": ("f_r", Twist(stride=1), "dconv-b0 with strides (1, 1)"),
    "activation": ("f_r", Twist(activation_last=True), "16 operations LEAKY_RELU; expected 12 in f_r"),
    "half-pixel": ("decoder", Twist(half_pixel=False), "upsampling of up_conv-b0"),
    "coordinates": ("decoder", Twist(columns_first=False), "the column coordinate of conditioning-b0"),
    "crop": ("decoder", Twist(crop=(0, 0)), "a crop from [0, 0, 0, 0]; expected [0, 4, 3, 0]"),
}


@pytest.mark.parametrize("name", TWISTS)
def test_another_layout_is_refused_by_name(name, models, files, tmp_path):
    part, twist, words = TWISTS[name]
    path = write_tflite(models["codae"], part, tmp_path / PARTS[part], twist)
    others = [file for file in files["codae"] if file.name != path.name]
    found = refused("codae", [path, *others])
    assert found.startswith(f"{path.name}: ")
    assert words in found


def test_wrong_files_are_refused(files, models, tmp_path):
    decoder, f_m, f_r = files["codae"]
    assert "no f_r in the files; expected f_m, f_R and the decoder" in refused("codae", [decoder, f_m])
    again = tmp_path / "again.tflite"
    again.write_bytes(f_m.read_bytes())
    assert "f_m twice, in encoder2.tflite and again.tflite" in refused("codae", [f_m, again, f_r])
    of_codvae = refused("codae", [decoder, f_m, files["codvae"][2]])
    assert "of a CoDVAE; expected a CoDAE, whose f_R ends with latents" in of_codvae
    of_codae = refused("codvae", [decoder, f_m, f_r])
    assert "the layer latents of a CoDAE; expected a CoDVAE, whose f_R ends with temperature and logits" in of_codae
    assert f"{tmp_path}/none.tflite does not exist" in refused("codae", [tmp_path / "none.tflite"])
    assert "of one name; expected files of different names" in refused("codae", [f_m, files["codvae"][1]])
    assert "model.categorical = None for --kind codvae" in refused("codvae", [decoder], SMALL)
    larger = dataclasses.replace(SMALL, f_m_filters=(4, 4, 6, 8))
    assert "kernel of conv-b3 of shape (3, 3, 3, 6); expected (3, 3, 3, 8)" in refused("codae", files["codae"], larger)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"PK" + b, lambda b: b[4:]])
def test_damaged_files_are_refused(files, tmp_path, damage):
    decoder, f_m, f_r = files["codae"]
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(damage(f_m.read_bytes()))
    assert refused("codae", [decoder, bad, f_r]).startswith("bad.tflite cannot be read (")


def test_flipped_bits_are_one_line_or_other_weights(files, tmp_path):
    """TensorFlow's verifier lets many of them pass: nothing but InputError may come of following the graph."""
    rng, path, ends = np.random.default_rng(5), tmp_path / "bad.tflite", {"read": 0, "refused": 0}
    content = files["codae"][1].read_bytes()
    for _ in range(150):
        bad = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            bad[place] ^= 1 << rng.integers(0, 8)
        path.write_bytes(bad)
        # The file is alone, so that InputError comes in any case; of what, its words say.
        alone = re.match(r"no (f_r|decoder) in the files", refused("codae", [path]))
        ends["read" if alone else "refused"] += 1
    assert min(ends.values()) > 5


def test_weights_that_are_no_numbers_are_refused(models, files, tmp_path):
    bad = random_model(SMALL)
    bias = bad.f_m.get_layer("level2").convolution.bias
    bias.assign(np.where(np.arange(6) == 4, np.nan, bias.numpy()))
    path = write_tflite(bad, "f_m", tmp_path / "bad.tflite")
    found = refused("codae", [path, files["codae"][0], files["codae"][2]])
    assert "bad.tflite: bias of conv-b2 with 1 of 6 values that are no finite numbers" in found


@pytest.mark.parametrize("end", ["index", "data-00000-of-00001"])
def test_checkpoints_are_read_to_the_bit(kind, models, tmp_path, end):
    index = write_checkpoint(checkpoint_variables(models[kind]), tmp_path / "weights-30-0.873")
    found = read_published(kind, [index.with_suffix(f".{end}")], KINDS[kind])
    assert equal(found.model, models[kind])
    assert {path.name for path in found.files} == {
        "weights-30-0.873.index",
        "weights-30-0.873.data-00000-of-00001",
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder2/layer_with_weights-5/kernel": 1}, "w with the variable encoder2/layer_with_weights-5/kernel"),
        ({"encoder2/layer_with_weights-1/expand/kernel": 1}, "encoder2/layer_with_weights-1/expand/kernel"),
        ({"decoder/mystery": 1}, "w with the variable decoder/mystery; expected the variables of a published model"),
        ({"encoder2/layer_with_weights-1/norm/beta": None}, "w: conv-b1 without its shift"),
        ({"decoder/layer_with_weights-16": None}, "w without the layer output"),
        ({"encoder1/layer_with_weights-0/conv/bias": np.zeros(4, np.int32)}, "conv/bias of int32; expected floats"),
        ({"mask_encoder/layer_with_weights-0/conv/bias": 1}, "as a CoDVAE has; expected a CoDAE; take --kind codvae"),
    ],
)
def test_variables_without_a_place_are_refused(models, tmp_path, change, words):
    variables = checkpoint_variables(models["codae"])
    for key, value in change.items():
        if value is None:
            variables = {name: v for name, v in variables.items() if not name.startswith(key)}
        else:
            variables[key] = np.float32(value) if np.isscalar(value) else value
    assert words in refused("codae", [write_checkpoint(variables, tmp_path / "w")])


def test_checkpoints_that_are_not_whole_are_refused(models, tmp_path):
    index = write_checkpoint(checkpoint_variables(models["codae"]), tmp_path / "w")
    data = tmp_path / "w.data-00000-of-00001"
    content = data.read_bytes()
    data.write_bytes(content[:1000])
    assert refused("codae", [index]).startswith("w cannot be read (")
    data.unlink()
    assert "w.data-00000-of-00001 does not exist; expected both files" in refused("codae", [index])
    data.write_bytes(content)
    index.write_bytes(index.read_bytes()[:100])
    assert refused("codae", [data]).startswith("w cannot be read (")


def test_an_imported_codvae_has_no_prior_and_no_score_that_needs_one(files, tmp_path):
    model = read_published("codvae", files["codvae"], SMALL_CODVAE).model
    assert tuple(codae_scores(model, MASKS)) == (*SCORES, "entropy", "temperature")
    assert set(model.objective(MASKS)) == {"bce"}
    save_codae(model, tmp_path / "codae.keras")
    loaded = load_codae(tmp_path / "codae.keras")
    assert loaded.prior is None
    assert equal(loaded, model)
    assert (np.asarray(loaded(MASKS)) == np.asarray(model(MASKS))).all()


PUBLISHED = {"codae": (PAPER, 1_646_467), "codvae": (PAPER_CODVAE, 1_646_724)}


@pytest.fixture(scope="module")
def published(codae_weights):
    return {
        kind: read_published(kind, sorted((codae_weights / kind).glob("*.tflite")), config)
        for kind, (config, _) in PUBLISHED.items()
    }


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_files_are_read_and_known(published, kind):
    assert published[kind].published == {"f_m": True, "f_r": True, "decoder": True}
    assert published[kind].model.count_params() == PUBLISHED[kind][1]


@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter:UserWarning")
def test_tensorflow_does_not_run_the_published_files(codae_weights):
    """Why weights are read from the file itself."""
    interpreter = tf.lite.Interpreter(str(codae_weights / "codae" / "encoder2_quant_f16.tflite"))
    with pytest.raises(RuntimeError, match="Select TensorFlow op"):
        interpreter.allocate_tensors()


LAST_BIAS = {"codae": -0.497, "codvae": -0.108}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_last_bias_is_not_the_initial_one(published, kind):
    bias = np.asarray(published[kind].model.decoder.get_layer("logits").bias)
    assert bias == pytest.approx(LAST_BIAS[kind], abs=5e-4)


def test_a_part_of_the_other_published_model_is_refused(codae_weights):
    """Its shapes are the same; nothing but its values tells."""
    f_m, f_r = (codae_weights / "codae" / f"encoder{i}_quant_f16.tflite" for i in (2, 1))
    found = refused("codae", [f_m, f_r, codae_weights / "codvae" / "decoder_quant_f16.tflite"], PAPER)
    assert "decoder_quant_f16.tflite holds the decoder of the published codvae; expected that of the codae" in found


@pytest.mark.sample
def test_scores_are_those_published(published, codae_sample, monkeypatch):
    largest = published["codae"].compare(codae_sample)
    assert max(largest.values()) < 2e-4
    assert set(largest) == {"z0", "z1", "mse"}
    # The categorical model scores otherwise, from the first events on: a check that cannot fail would let it pass.
    monkeypatch.setattr(_published, "_EVENTS", 8)
    with pytest.raises(InputError, match=r"of the public sample differs by .* from that of the published model"):
        published["codvae"].compare(codae_sample)


@pytest.mark.sample
def test_a_score_that_is_no_number_is_not_that_published(codae_sample, monkeypatch):
    def scores(model, masks, size):
        return {name: np.where(np.arange(len(masks)) == 20, np.nan, 1.0) for name in ("z0", "z1", "mse")}

    monkeypatch.setattr(_published, "codae_scores", scores)
    with pytest.raises(InputError, match="of the public sample differs by nan from"):
        _published.Imported(None, (), {}).compare(codae_sample)


@pytest.mark.sample
def test_the_decoder_shows_a_few_dozen_pixels(published, codae_sample):
    """A model that fails falls back to p = 0, whose error counts the active pixels and whose AUC looks well."""
    masks = track_mask(read_events(codae_sample / "test" / "qcd_gensim_104_8.npz").images[:64])
    for kind, imported in published.items():
        mse = codae_scores(imported.model, masks, 64)["mse"].mean()
        assert mse < 0.25 * masks.sum(axis=(1, 2, 3)).mean(), kind


@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_checkpoints_have_the_variables_that_are_read(published, codae_weights, kind):
    """Their data files are not public: paths and shapes are compared, with those of a checkpoint of our writing."""
    (index,) = (codae_weights / kind).glob("*.index")
    shapes = tf.train.load_checkpoint(str(index.with_suffix(""))).get_variable_to_shape_map()
    end = "/.ATTRIBUTES/VARIABLE_VALUE"
    expected = {name: list(np.shape(value)) for name, value in checkpoint_variables(published[kind].model).items()}
    expected = {name: shape for name, shape in expected.items() if "layer_with_weights" in name and "SLOT" not in name}
    found = {key.removesuffix(end): shape for key, shape in shapes.items() if re.match(r"\w+/layer_with", key)}
    assert {name: shape for name, shape in found.items() if "OPTIMIZER_SLOT" not in name} == expected
