"""Quantities of an event image that need no learning: the baselines, and the 30 inputs of the boosted trees.

    active_pixels     pixels whose track channel is above zero (models/codae/scores.py)
    block_power       sum over blocks of 12 x 12 pixels of (active pixels)^2 (models/codae/scores.py)
    total_energy      GeV, sum of all three channels: pT of tracks, ET of ECAL and HCAL towers
    missing_energy    GeV, length of the vector sum of ECAL and HCAL tower ET in the transverse plane; a proxy of
                      missing transverse energy, without muons and with the towers' own response

n_tracks is not in the image but in the record of the event (data.events.EventImages). Orientation: all of them count
activity, and more activity than in QCD is called anomalous. This is decided here, without events or labels; where a
signal is quieter than QCD, the tables show an AUC below 0.5.
"""

import numpy as np

from codae_l1.data.calorimeter import CHANNELS, N_PHI, PHI_STEP, phi_edges
from codae_l1.data.events import check_images
from codae_l1.data.pooling import track_mask
from codae_l1.models.codae.scores import active_pixels, block_power
from codae_l1.models.evaluation.two_sample import SUMMARIES, image_summaries
from codae_l1.models.systems.base import System

OBSERVABLES = ("active_pixels", "block_power", "total_energy", "missing_energy")
# Left out of the twelve summaries per channel of models/evaluation/two_sample.py: those that follow from others (the
# forward pixels are the complement of the central ones) and those that rarely differ (the median energy of soft pixels,
# and the single hardest pixel).
_LEFT_OUT = ("active_forward", "median", "hardest")
# What the trees read: nine numbers per channel, and the three observables that are no sums of these.
TREE_INPUTS = (
    *(n for n in SUMMARIES if n.startswith(tuple(f"{c}_" for c in CHANNELS)) and not n.endswith(_LEFT_OUT)),
    *OBSERVABLES[1:],
)


def missing_energy(images: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> length of the vector sum of tower ET over ECAL and HCAL, (N,) float64, GeV.

    >>> image = np.zeros((1, 72, 58, 3))
    >>> image[0, 0, 10, 1], image[0, 18, 40, 2] = 30.0, 40.0  # a quarter turn apart: 30 and 40 add to 50
    >>> missing_energy(image).round(9).tolist()
    [50.0]
    """
    rows = images[..., 1:].sum(axis=(2, 3), dtype=np.float64)
    phi = phi_edges()[:N_PHI] + PHI_STEP / 2
    return np.hypot(rows @ np.cos(phi), rows @ np.sin(phi))


def observables(images: np.ndarray) -> dict[str, np.ndarray]:
    """The observables of images (N, 72, 58, 3) GeV: name -> (N,) float64, higher = more anomalous."""
    check_images(images)
    mask = track_mask(images)
    total = images.sum(axis=(1, 2, 3), dtype=np.float64)
    return dict(zip(OBSERVABLES, (active_pixels(mask), block_power(mask), total, missing_energy(images)), strict=True))


def tree_inputs(images: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> (N, 30) float64 in the order of TREE_INPUTS."""
    columns = dict(zip(SUMMARIES, image_summaries(images, np.zeros(len(images))).T, strict=True)) | observables(images)
    return np.column_stack([columns[name] for name in TREE_INPUTS])


class ObservablesSystem(System):
    """What is read off an image without learning, and the number of tracks in the event's record."""

    name = "observables"
    main_score = "active_pixels"
    learning = "none"
    record_scores = ("n_tracks",)

    def raw_scores(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Name -> (N,) float64, higher = more anomalous by decision, not by data."""
        return observables(images)
