"""An event image as objects: the missing transverse momentum, and the hardest cells of the pooled calorimeter.

ECAL and HCAL towers are summed in cells of 4 x 4, as data/pooling.py does for firmware. Row 0 is the negative vector
sum of all towers; rows 1 to 18 are the cells with the most transverse energy, at their centres, falling, zero-padded.
Every cell counts as a jet.
"""

import numpy as np

from codae_l1.data.calorimeter import ETA_MAX, ETA_STEP, N_ETA, N_PHI, PHI_STEP, phi_edges
from codae_l1.data.events import check_images
from codae_l1.data.pooling import PoolingConfig
from codae_l1.models.systems._object_augmentations import JET, MISSING, Rows

CELLS = 18
# Images whose towers are held at once, 67 kB each.
_SLICE = 256
# GeV; least pT of an added cell.
CELL_PT_MIN = 1.0
CELL_ROWS = Rows.of(np.repeat([MISSING, JET], [1, CELLS]), {MISSING: (0.0, 0.0), JET: (CELL_PT_MIN, ETA_MAX)})


def image_objects(images: np.ndarray) -> np.ndarray:
    """Images (N, 72, 58, 3) GeV -> objects (N, 19, 3) float64: pT [GeV], eta, phi.

    >>> image = np.zeros((1, 72, 58, 3))
    >>> image[0, 36, 29, 1], image[0, 37, 30, 2] = 30.0, 10.0
    >>> image_objects(image)[0, :3].round(3).tolist()
    [[39.971, 0.0, -3.076], [40.0, 0.0, 0.175], [0.0, 0.0, 0.0]]
    """
    check_images(images)
    starts = range(0, len(images), _SLICE)
    return np.concatenate([np.zeros((0, 1 + CELLS, 3)), *(_of_slice(images[i : i + _SLICE]) for i in starts)])


def _of_slice(images: np.ndarray) -> np.ndarray:
    towers = images[..., 1:].sum(axis=-1, dtype=np.float64)
    pooling = PoolingConfig()
    pool, (rows, columns, _) = pooling.pool, pooling.shape
    side = pooling.padding // 2
    cells = np.pad(towers, ((0, 0), (0, 0), (side, side))).reshape(-1, rows, pool, columns, pool).sum(axis=(2, 4))
    flat = cells.reshape(len(images), -1)
    hardest = np.argsort(-flat, axis=1, kind="stable")[:, :CELLS]
    pt = np.take_along_axis(flat, hardest, axis=1)
    eta = ETA_STEP * (pool * (hardest % columns + 0.5) - side - N_ETA / 2)
    phi = PHI_STEP * pool * (hardest // columns + 0.5) - np.pi
    objects = np.zeros((len(images), 1 + CELLS, 3))
    objects[:, 1:] = np.where((pt > 0)[..., None], np.stack([pt, eta, phi], axis=-1), 0)
    along = phi_edges()[:N_PHI] + PHI_STEP / 2
    x, y = (-(towers.sum(axis=2) @ part(along)) for part in (np.cos, np.sin))
    objects[:, 0, 0] = np.hypot(x, y)
    objects[:, 0, 2] = np.arctan2(y, x) * (objects[:, 0, 0] > 0)
    return objects
