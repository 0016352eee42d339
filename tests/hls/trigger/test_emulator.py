"""The C++ emulator pools as Python does, two of one name stay apart, and what cannot be made is said."""

import _ctypes
import shutil
from dataclasses import replace

import numpy as np
import pytest
from layer_base import compile_emulators

from codae_l1.data.base.errors import InputError, ToolError
from codae_l1.data.base.words import WordType
from codae_l1.data.calorimeter import IMAGE_SHAPE
from codae_l1.data.pooling import PoolingConfig, _pooled, input_counts, pool_towers, tower_words
from codae_l1.hls.layers import Dense, Flatten, Interval, c_type
from codae_l1.hls.network.executor import score_words
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.config import HlsConfig
from codae_l1.hls.trigger.emulator import Emulator, build_emulator, emulator_sources
from codae_l1.hls.trigger.export_config import check_namespace
from codae_l1.hls.trigger.thresholds import Decision, WorkingPoint

POOLINGS = {
    "tracks": PoolingConfig(),
    "all_inputs": PoolingConfig(6, ("hcal", "tracks", "ecal", "track_pt"), energy_lsb_gev=0.5),
    "coarse": PoolingConfig(12, ("ecal", "tracks"), energy_lsb_gev=32.0),
}
COUNT = WordType(False, 5, 0, "TRN", "SAT")


def last_cells(shape, weights=(1, 2, 4), bias=0.5):
    """Word, shape -> a network that adds the first and the last cells up."""
    size = int(np.prod(shape))
    kernel = np.zeros((size, 1))
    kernel[[0, size // 2, size - 1], 0] = weights
    flat = Flatten("flatten", (size,), Interval(0.0, 31.0, 1.0))
    dense = Dense("output", (1,), Interval(0.0, 31 * 7 + bias, 0.5), kernel=kernel, bias=np.array([bias]))
    return Network("counts", COUNT, shape, (flat, dense)), WordType(True, 9, 2)


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    networks = {name: (*last_cells(pooling.shape), pooling) for name, pooling in POOLINGS.items()}
    return compile_emulators(networks, tmp_path_factory.mktemp("pooled") / "e")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(4)
    images = rng.exponential(3.0, (40, *IMAGE_SHAPE)).astype(np.float32) * (rng.random((40, *IMAGE_SHAPE)) < 0.2)
    # On the steps of the tower words and of the cells' words, just below them, and beyond every word.
    images[:10] = np.round(images[:10] * 2) / 2
    images[10:20] = np.nextafter(images[:10], np.float32(0), dtype=np.float32)
    images[21] *= np.float32(1e5)
    images[22] = 0
    return images


@pytest.fixture(params=["every processor", "AVX2"])
def instructions(request, pooled):
    """The emulators with the instructions that every processor has, and with AVX2."""
    wanted = request.param == "AVX2"
    uses = [getattr(emulator._library, f"{name}_use_avx2") for name, emulator in pooled.items()]
    used = [bool(use(int(wanted))) for use in uses]
    assert not any(used) or wanted
    if wanted and not all(used):
        pytest.skip("this processor has no AVX2")
    yield
    for use in uses:
        use(1)


@pytest.mark.parametrize("name", POOLINGS)
def test_images_are_pooled_as_the_python_twin_does(pooled, images, name):
    emulator, pooling = pooled[name], POOLINGS[name]
    counts = np.clip(input_counts(images, pooling), *COUNT.bounds)
    assert len(np.unique(counts)) > 8
    np.testing.assert_array_equal(emulator.pool_images(images), counts)
    np.testing.assert_array_equal(emulator.pool_towers(tower_words(images, pooling)), counts)
    np.testing.assert_array_equal(emulator.predict_images(images), emulator.predict_words(counts))
    assert len(np.unique(emulator.predict_words(counts))) > 8


def test_a_pooling_of_another_side_is_seen(pooled, images):
    other = input_counts(images, replace(POOLINGS["all_inputs"], energy_lsb_gev=1.0))
    assert (pooled["all_inputs"].pool_images(images) != np.clip(other, *COUNT.bounds)).any()


def test_images_of_another_shape_are_refused(pooled, images):
    with pytest.raises(InputError, match=r"images of shape \(40, 58, 72, 3\); expected \(N, 72, 58, 3\)"):
        pooled["tracks"].predict_images(images.swapaxes(1, 2))


WRONG = {
    "nan": (lambda a: np.where(a > 1, np.nan, a), "images with negative or non-finite energies, first in event 0"),
    "infinite": (lambda a: a.astype(np.float64) * 1e300, "images with negative or non-finite energies, first in event"),
    "negative": (lambda a: -a, "images with negative or non-finite energies, first in event 0"),
    "masked": (lambda a: np.ma.masked_equal(a, 0), "images in a masked array, whose mask would be ignored"),
    "complex": (lambda a: a + 1j, "images of type complex64; expected real numbers; convert them"),
    "text": (lambda a: a.astype(str), "images of type <U32; expected real numbers"),
    "one channel": (lambda a: a[..., :1], r"images of shape \(40, 72, 58, 1\); expected \(N, 72, 58, 3\)"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_images_that_are_none_are_refused(pooled, images, wrong):
    change, words = WRONG[wrong]
    for call in (pooled["tracks"].predict_images, pooled["tracks"].pool_images):
        with pytest.raises(InputError, match=words):
            call(change(images))


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int32, np.int64])
@pytest.mark.usefixtures("instructions")
def test_towers_of_every_type_are_pooled_as_in_python(pooled, images, name, kind):
    """The shortest types as they are; words on the edge of saturating a cell, and as large as they may be."""
    emulator, pooling = pooled[name], POOLINGS[name]
    highest = min(np.iinfo(kind).max, 2**20)
    towers, rng = np.minimum(tower_words(images, pooling), highest), np.random.default_rng(9)
    edge = (COUNT.bounds[1] + 1) << pooling.energy_shift
    chosen = [0, 0, 1, *(value for value in (edge - 1, edge, edge + 1, highest - 1) if value <= highest), highest]
    towers[23:33] = rng.choice(chosen, towers[23:33].shape) * (rng.random(towers[23:33].shape) < 0.02)
    towers[33], towers[34], towers[35] = highest, np.minimum(edge - 1, highest), 1
    counts = np.clip(pool_towers(towers, pooling), *COUNT.bounds)
    given = towers.astype(kind)
    np.testing.assert_array_equal(emulator.pool_towers(given), counts)
    np.testing.assert_array_equal(emulator.pool_towers(given[:, :, ::-1])[:, :, ::-1], counts)
    words = emulator.predict_words(counts)
    # 40 events: two blocks, and a part of one.
    np.testing.assert_array_equal(emulator.predict_towers(given), words)
    np.testing.assert_array_equal(emulator.predict_towers(given.reshape(40, -1)[:17]), words[:17])
    assert emulator.predict_towers(given[:0]).shape == (0, 1)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.usefixtures("instructions")
def test_words_below_zero_are_added_exactly_in_c(pooled, name):
    """What Python refuses, C++ takes: no short sum of them goes wrong."""
    pooling, rng = POOLINGS[name], np.random.default_rng(10)
    towers = rng.integers(-(2**31), 2**31 - 1, (12, *IMAGE_SHAPE[:2], len(pooling.inputs)), np.int32)
    towers[4:8] = rng.integers(-40, 45, towers[4:8].shape)
    towers[8:, 3, 5] = -1
    towers[8:, 4:] = np.abs(towers[8:, 4:]) % 3
    sums, _ = pooled[name]._call("pool_towers", towers, pooled[name].design.inputs)
    expected = np.clip(_pooled(towers.astype(np.int64), pooling), *COUNT.bounds)
    np.testing.assert_array_equal(sums.reshape(expected.shape), expected)
    assert len(np.unique(expected)) > 2


def test_words_of_pt_count_as_tracks_and_as_energies_of_their_own(pooled, images):
    """Hardware has the word of a track's pT: any but 0 is a track, as in the RTL."""
    counts = np.clip(input_counts(images), *COUNT.bounds)
    # Every track has at least one LSB here.
    words = tower_words(np.ceil(images), PoolingConfig(inputs=("track_pt",)))
    assert words.max() > 1
    np.testing.assert_array_equal(pooled["tracks"].pool_towers(words), counts)
    np.testing.assert_array_equal(np.clip(pool_towers(words), *COUNT.bounds), counts)
    pooling = POOLINGS["all_inputs"]
    words = tower_words(np.ceil(images), pooling)
    counts = np.clip(input_counts(np.ceil(images), pooling), *COUNT.bounds)
    words[..., 1] = words[..., 3]
    np.testing.assert_array_equal(pooled["all_inputs"].pool_towers(words), counts)


@pytest.mark.parametrize(("word", "says"), [(-1, "from -1 to 1; expected"), (2**20 + 1, "from 0 to 1048577; expected")])
def test_a_word_out_of_range_is_seen_among_many(pooled, word, says):
    towers = np.zeros((35, *IMAGE_SHAPE[:2], 1), np.int32)
    towers[0, 0, 0], towers[33, 71, 57] = 1, word
    for call in (pooled["tracks"].pool_towers, pooled["tracks"].predict_towers):
        with pytest.raises(InputError, match=f"tower words {says}"):
            call(towers)
    assert pooled["tracks"].pool_towers(np.minimum(np.abs(towers), 2**20)).sum() == 2


def test_a_library_of_before_which_checks_nothing_is_checked_here(pooled, images, monkeypatch):
    emulator = Emulator(pooled["tracks"].folder)
    monkeypatch.setattr(emulator, "_says_inputs", False)
    towers = tower_words(images)
    np.testing.assert_array_equal(
        emulator.predict_towers(towers.astype(np.uint8)), pooled["tracks"].predict_towers(towers)
    )
    with pytest.raises(InputError, match="counts from -1 to 0"):
        emulator.predict_words(np.where(np.arange(270) == 7, -1, 0)[None])
    with pytest.raises(InputError, match="tower words from -1 to 0"):
        emulator.predict_towers(-(towers > 0).astype(np.int32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a + 2**32, "tower words from 4294967296 to .*; expected tower words from 0 to 1048576"),
        (lambda a: -a, "tower words from -1 to 0"),
        (lambda a: a + 0.5, r"tower words of shape \(40, 72, 58, 1\), float64; expected integers \(N, 72, 58, 1\)"),
        (lambda a: a.swapaxes(1, 2), r"tower words of shape \(40, 58, 72, 1\)"),
        (lambda a: np.ma.masked_equal(a, 0), "tower words in a masked array"),
        (lambda a: [[1, 2], [3]], r"tower words in a list \(.*inhomogeneous shape"),
    ],
)
def test_towers_that_are_none_are_refused(pooled, images, change, words):
    towers = tower_words(images)
    for call in (pooled["tracks"].pool_towers, pool_towers):
        with pytest.raises(InputError, match=words):
            call(change(towers))


def test_lists_of_different_lengths_are_no_counts_and_no_words(pooled):
    for call, what in ((pooled["tracks"].predict_words, "counts"), (lambda w: score_words(w, 1, 0), "output words")):
        with pytest.raises(InputError, match=rf"{what} in a list \(.*inhomogeneous shape"):
            call([[1, 2], [3]])
    for words in (3, [3], np.ones((2, 1))):
        with pytest.raises(InputError, match=r"output words of shape .*; expected integers \(N, outputs\)"):
            score_words(words, 1, 0)


def test_energies_are_float32_in_python_as_in_the_emulator(pooled):
    tiny = np.zeros((2, *IMAGE_SHAPE))
    tiny[0, 0, 0, 0], tiny[1, 0, 0, 0] = 1e-60, 1e-40
    assert input_counts(tiny)[:, 0, 0, 0].tolist() == [0, 1]
    np.testing.assert_array_equal(pooled["tracks"].pool_images(tiny), input_counts(tiny))


def test_two_emulators_of_one_name_and_folder_in_one_process_stay_apart(tmp_path):
    build_emulator(*last_cells((2, 2, 1), (1, 2, 4)), HlsConfig(), tmp_path / "emulator")
    a = Emulator(tmp_path / "emulator")
    build_emulator(*last_cells((2, 2, 1), (1, 2, 5)), HlsConfig(), tmp_path / "emulator")
    b = Emulator(tmp_path / "emulator")
    assert a.predict_words(np.array([[3, 0, 1, 2]])).tolist() == [[4 * (3 + 2 + 8) + 2]]
    assert b.predict_words(np.array([[3, 0, 1, 2]])).tolist() == [[4 * (3 + 2 + 10) + 2]]
    assert a.design.checksum != b.design.checksum
    with pytest.raises(InputError, match="an emulator with its pooling"):
        a.predict_images(np.zeros((1, *IMAGE_SHAPE), np.float32))


def test_an_emulator_of_another_input_word_is_another(tmp_path):
    """Weights alike, words of 5 and 4 bits: the second library, not the first, answers after it is built anew."""
    network, word = last_cells((2, 2, 1))
    narrow = replace(network, input_word=WordType(False, 4, 0, "TRN", "SAT"))
    checksums = []
    for one, top in ((network, 31), (narrow, 15)):
        build_emulator(one, word, HlsConfig(), tmp_path / "emulator")
        emulator = Emulator(tmp_path / "emulator")
        assert emulator.predict_words(np.full((1, 4), 31)).tolist() == [[4 * 7 * top + 2]]
        checksums.append(emulator.design.checksum)
    others = (network, WordType(True, 10, 2)), (replace(network, input_shape=(1, 4, 1)), word)
    checksums += [emulator_sources(*other)[1].checksum for other in others]
    decision = Decision((WorkingPoint("a", 3),))
    for ports in (None, {"slices": 1, "tower_bits": 1}, {"slices": 2, "tower_bits": 1}, {"slices": 1, "tower_bits": 4}):
        checksums.append(emulator_sources(network, word, None, "codae", decision, ports)[1].checksum)
    assert len(set(checksums)) == 8


@pytest.mark.parametrize("cut", ["emulator.json", "library"])
def test_an_emulator_that_is_cut_short_is_said_to_be(tmp_path, cut):
    design = build_emulator(*last_cells((2, 2, 1)), HlsConfig(), tmp_path / "emulator")
    if cut == "library":
        path = tmp_path / "emulator" / design.library
        path.write_bytes(path.read_bytes()[:2000])
        says = r"libcodae-\w{12}.so cannot be loaded \(.*expected a shared library.*; run the convert stage again"
    else:
        (tmp_path / "emulator" / "emulator.json").write_text("{}")
        says = r"emulator.json is not a record of this version \(key input_shape is missing\).*; run the convert stage"
    with pytest.raises(InputError, match=says):
        Emulator(tmp_path / "emulator")


def test_a_record_of_another_network_is_refused(tmp_path):
    """One fact of emulator.json, and one weight of the C++ beside it."""
    folder = tmp_path / "emulator"
    build_emulator(*last_cells((2, 2, 1)), HlsConfig(), folder)
    for name, old, new in (("emulator.json", '"outputs": 1', '"outputs": 2'), ("codae_network.h", "4", "5")):
        text = (folder / name).read_text()
        (folder / name).write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=r"emulator.json and codae_network.h are not of one network .*"):
            Emulator(folder)
        (folder / name).write_text(text)


def test_a_library_without_its_functions_is_refused(tmp_path):
    design = build_emulator(*last_cells((2, 2, 1)), HlsConfig(), tmp_path / "emulator")
    library = tmp_path / "emulator" / design.library
    shutil.copy(_ctypes.__file__, library)
    with pytest.raises(InputError, match=r"libcodae-\w{12}.so without the function codae_predict; "):
        Emulator(tmp_path / "emulator")


@pytest.mark.parametrize("namespace", ["a_trigger", "a_pooling", "codae_network", "a_tb"])
def test_a_namespace_that_ends_like_a_file_is_refused(namespace):
    """Exports of a and of a_pooling would both have a_pooling.h."""
    with pytest.raises(InputError, match=rf"namespace '{namespace}', which ends like a file of .*; choose another"):
        check_namespace(namespace)


def test_counts_beyond_the_input_word_saturate(pooled):
    counts = np.zeros((2, 18, 15, 1), np.int64)
    counts[:, -1, -1] = [[2**40], [31]]
    for emulator in (pooled["tracks"], Emulator(pooled["tracks"].folder, each=True)):
        assert emulator.predict_words(counts).tolist() == [[4 * 4 * 31 + 2]] * 2


def test_what_cannot_be_made_is_said(tmp_path, monkeypatch):
    network, word = last_cells((2, 2, 1))
    with pytest.raises(InputError, match=r"namespace 'a b'; expected a C\+\+ name"):
        emulator_sources(network, word, None, "a b")
    with pytest.raises(InputError, match=r"a pooling to \(18, 15, 1\); expected \(2, 2, 1\), the network's input"):
        emulator_sources(network, word, PoolingConfig())
    with pytest.raises(InputError, match=r"an output of 1 fraction bits; expected at most those of .*ap_fixed<10,10"):
        emulator_sources(network, WordType(True, 9, 0))
    with pytest.raises(InputError, match="layer conv9 reaches words of 64 bits; expected at most 63"):
        c_type(2**62, "conv9")
    build_emulator(network, word, HlsConfig(), tmp_path / "made")
    next((tmp_path / "made").glob("libcodae-*.so")).unlink()
    with pytest.raises(InputError, match=r"libcodae-\w{12}.so does not exist; .*run the convert stage"):
        Emulator(tmp_path / "made")
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(ToolError, match=r"The compiler ended with status 1.*read the log .*broken-emulator.log"):
        build_emulator(network, word, HlsConfig(), tmp_path / "broken")
    assert not (tmp_path / "broken").exists()
