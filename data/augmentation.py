"""Augmentation of event images by the symmetries of a collision: reflection in eta and rotation in phi."""

import numpy as np

from codae_l1.data.calorimeter import N_PHI

# Rows; rolls are multiples of it (40 degrees), as in the published CoDAE training (arXiv:2306.12955): 8, 16, ..., 56.
ROLL_STEP = 8
LARGEST_ROLL = 56


def flip_and_roll(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip each event in eta with probability 1/2 and roll it in phi by 0, 8, ..., 56 rows.

    images: (N, 72, 58, C), any dtype; returns a new array of the same shape and dtype.

    >>> image = np.zeros((1, 72, 58, 1)); image[0, 0, 0] = 1
    >>> phi, eta = np.argwhere(flip_and_roll(image, np.random.default_rng(0))[0, ..., 0])[0]
    >>> int(phi) % 8, int(eta) in (0, 57)
    (0, True)
    """
    flip = rng.random(len(images)) < 0.5
    rolls = ROLL_STEP * rng.integers(0, LARGEST_ROLL // ROLL_STEP + 1, len(images))
    rows = (np.arange(N_PHI) - rolls[:, None]) % N_PHI
    rolled = images[np.arange(len(images))[:, None], rows]
    rolled[flip] = rolled[flip, :, ::-1]
    return rolled
