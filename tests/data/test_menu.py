"""The menu's words: jets and sums as defined, equal to a slow reference, whatever the batch."""

import numpy as np
import pytest

from codae_l1.data.base.errors import InputError
from codae_l1.data.calorimeter import IMAGE_SHAPE, PHI_STEP
from codae_l1.data.menu import QUANTITIES, menu_words


def blank(n: int = 1) -> np.ndarray:
    return np.zeros((n, *IMAGE_SHAPE), np.float32)


def sparse(n: int, share: float, mean_gev: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    energies = rng.exponential(mean_gev, (n, *IMAGE_SHAPE))
    return np.where(rng.random(energies.shape) < share, energies, 0).astype(np.float32)


def mixed_images() -> np.ndarray:
    """200 images from nearly empty to full, some of them with many equal words and some that saturate."""
    kinds = ((0.003, 40.0), (0.03, 15.0), (0.3, 2.0), (1.0, 0.8), (0.01, 300.0))
    images = np.concatenate([sparse(40, *kind, seed=3 + i) for i, kind in enumerate(kinds)])
    images[::4] = 5 * np.round(images[::4] / 5)
    images[1] = 0
    return images


def only(words: dict[str, np.ndarray]) -> dict[str, int]:
    return {name: int(values[0]) for name, values in words.items()}


def slow_words(image: np.ndarray, met_tower_word: int = 1) -> dict[str, int]:
    """The definition, tower by tower, in Python's integers."""
    pixels = [[[min(int(v / 0.5), 2047) for v in pixel] for pixel in row] for row in image.tolist()]
    towers = [[min(e + h, 2047) for _, e, h in row] for row in pixels]
    turn = [
        (round(4096 * np.cos(PHI_STEP * (i + 0.5) - np.pi)), round(4096 * np.sin(PHI_STEP * (i + 0.5) - np.pi)))
        for i in range(72)
    ]
    jets = [(slow_jet(towers, i, j), i) for i in range(72) for j in range(58) if is_seed(towers, i, j)]
    hard = [(et, i) for et, i in jets if et >= 60]
    order = sorted([et for et, _ in jets] + [0, 0])
    kept = [(w, i) for i, row in enumerate(towers) for w in row if w >= met_tower_word]
    return {
        "HT": min(sum(et for et, _ in hard), 4095),
        "MHT": slow_length(hard, turn),
        "MET": slow_length(kept, turn),
        "jet1": order[-1],
        "jet2": order[-2],
        "track_HT": min(sum(pixel[0] for row in pixels for pixel in row), 4095),
    }


def is_seed(towers: list[list[int]], i: int, j: int) -> bool:
    word = towers[i][j]
    if word < 8:
        return False
    for di in range(-4, 5):
        for dj in range(-4, 5):
            other = towers[(i + di) % 72][j + dj] if 0 <= j + dj < 58 else 0
            if other > word or (other == word and (di, dj) < (0, 0)):
                return False
    return True


def slow_jet(towers: list[list[int]], i: int, j: int) -> int:
    def total(rows, columns):
        return sum(towers[(i + r) % 72][j + c] for r in rows for c in columns if 0 <= j + c < 58)

    near, width = range(-4, 5), sum(0 <= j + c < 58 for c in range(-4, 5))
    left, right = total(near, range(-7, -4)), total(near, range(5, 8))
    left, right = (right if j < 7 else left), (left if j > 50 else right)
    strips = [total(range(-7, -4), near), total(range(5, 8), near), left * width // 9, right * width // 9]
    return min(max(total(near, near) - sum(sorted(strips)[:3]), 0), 2047)


def slow_length(vectors: list[tuple[int, int]], turn: list[tuple[int, int]]) -> int:
    x, y = (sum(w * turn[i][axis] for w, i in vectors) for axis in (0, 1))
    return min((int(np.sqrt(x * x + y * y)) + 2048) // 4096, 4095)


def test_words_equal_the_slow_reference():
    images = mixed_images()
    expected = [slow_words(image) for image in images]
    words = menu_words(images)
    assert list(words) == list(QUANTITIES)
    for name, values in words.items():
        assert values.dtype == np.int64
        assert values.tolist() == [row[name] for row in expected], name
    # The images reach every regime: no jet, a second jet, saturation.
    assert min(words["jet1"]) == 0
    assert np.count_nonzero(words["jet2"]) > 50
    assert max(words["HT"]) == 4095


def test_words_do_not_depend_on_the_batch():
    images = mixed_images()
    whole = menu_words(images)
    for size in (1, 7, 33, 200):
        parts = [menu_words(images[i : i + size]) for i in range(0, len(images), size)]
        assert all((np.concatenate([p[name] for p in parts]) == whole[name]).all() for name in QUANTITIES)
    assert {name: values.shape for name, values in menu_words(images[:0]).items()} == dict.fromkeys(QUANTITIES, (0,))


@pytest.mark.parametrize("row", [0, 3, 35, 71])
@pytest.mark.parametrize("column", [0, 4, 6, 29, 51, 57])
@pytest.mark.parametrize("word", [8, 59, 60, 61, 2047])
def test_a_single_tower(row, column, word):
    image = blank()
    image[0, row, column, 1] = word / 2
    sums = word if word >= 60 else 0
    assert only(menu_words(image)) == {
        **{"HT": sums, "MHT": sums, "MET": word},
        **{"jet1": word, "jet2": 0, "track_HT": 0},
    }


def test_energies_are_floored_in_each_channel():
    image = blank()
    image[0, 5, 5] = (7.9, 40.99, 20.49)
    assert only(menu_words(image))["jet1"] == 81 + 40
    assert only(menu_words(image))["track_HT"] == 15
    image[0, 5, 5, 1:] = 3.5, 0.49
    assert only(menu_words(image))["jet1"] == 0


def test_a_jet_across_the_seam_in_phi():
    image = blank()
    image[0, 70:, 20, 1] = 30, 10
    image[0, :3, 22, 2] = 20, 10, 5
    assert only(menu_words(image))["jet1"] == 2 * 75
    assert only(menu_words(image))["jet2"] == 0


@pytest.mark.parametrize(("rows", "columns"), [((10, 10), (20, 24)), ((10, 14), (20, 17)), ((71, 2), (3, 0))])
def test_two_equal_towers_in_a_window_are_one_jet(rows, columns):
    image = blank()
    image[0, rows, columns, 1] = 40
    assert only(menu_words(image))["jet1"] == 160
    assert only(menu_words(image))["jet2"] == 0
    image[0, rows[0], columns[0], 1] = 0
    image[0, (rows[0] + 30) % 72, columns[0], 1] = 40
    assert only(menu_words(image))["jet2"] == 80


@pytest.mark.parametrize("column", range(58))
def test_uniform_pileup_is_subtracted_at_every_column(column):
    image = blank()
    image[..., 1] = 3.5
    image[0, 40, column, 1] += 2.5
    assert only(menu_words(image))["jet1"] == 5
    image[0, 40, column, 1] += 100
    assert only(menu_words(image))["HT"] == 205


def test_uniform_images_give_no_jets():
    image = blank(3)
    image[1, ..., 1], image[2, ..., 2] = 4, 50
    words = menu_words(image)
    assert all((words[name] == 0).all() for name in ("HT", "MHT", "MET", "jet1", "jet2"))


def test_rotation_by_towers_turns_nothing_but_the_vectors():
    images = mixed_images()[::3]
    words = menu_words(images)
    for steps in (1, 17, 36):
        turned = menu_words(np.roll(images, steps, axis=1))
        assert all((turned[name] == words[name]).all() for name in ("HT", "jet1", "jet2", "track_HT"))
        # The cosines are rounded to 2^-12; half a turn changes only their signs.
        assert all(abs(turned[name] - words[name]).max() <= 2 * (steps < 36) for name in ("MET", "MHT"))


def test_mirrored_towers_balance():
    image = blank()
    image[0, [8, 44], [20, 50], 1] = 300
    assert only(menu_words(image)) | {"HT": 0} == {
        **{"HT": 0, "MHT": 0, "MET": 0},
        **{"jet1": 600, "jet2": 600, "track_HT": 0},
    }


def test_words_saturate():
    image = blank(2)
    image[0, 20, 30] = 1e6
    image[1, ::10, ::10] = 3e4
    words = menu_words(image)
    assert (words["jet1"] == 2047).all()
    assert words["track_HT"].tolist() == [2047, 4095]
    assert words["HT"].tolist() == [2047, 4095]
    image[1, 36:] = 0
    assert menu_words(image)["MET"].tolist() == [2047, 4095]


def test_a_threshold_on_the_towers_of_missing_et():
    image = blank()
    image[0, 10, 20, 1], image[0, 50, 40, 1] = 50, 3
    assert only(menu_words(image, met_tower_word=7))["MET"] == 100
    assert only(menu_words(image, met_tower_word=6))["MET"] < 100
    images = mixed_images()[::20]
    assert menu_words(images, 4)["MET"].tolist() == [slow_words(image, 4)["MET"] for image in images]


def test_other_shapes_are_refused():
    with pytest.raises(InputError) as error:
        menu_words(np.zeros((2, 72, 58, 1)))
    assert str(error.value) == (
        "images of shape (2, 72, 58, 1); expected (N, 72, 58, 3), axes (event, phi, eta, channel); "
        "pool or transpose the images to the calorimeter grid"
    )
