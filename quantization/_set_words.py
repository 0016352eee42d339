"""Objects of an event, or constituents of a jet, as the integer words that a Level-1 trigger has of them.

    pT word  = floor(pT / step), saturating;   eta word, phi word = the nearest multiples of their steps

An object whose pT word is zero is no object: all its words are zero, and so are those of rows that are padded.
"""

from dataclasses import dataclass

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType


@dataclass(frozen=True)
class SetWords:
    """Steps of pT [GeV], eta and phi [radian]; rows: objects an event, the rows of each type one after the other.

    >>> objects = np.array([[[30.3, 0.5, -3.1], [0.2, 2.0, 1.0]]])
    >>> SetWords((2,), 0.5, 0.1, 0.1).words(objects, WordType(True, 6, 0))[0, :, 0].tolist()
    [[60, 5, -31], [0, 0, 0]]
    """

    rows: tuple[int, ...]
    pt_step_gev: float
    eta_step: float
    phi_step: float

    def words(self, objects: np.ndarray, word: WordType) -> np.ndarray:
        """Objects (N, M, 3 or more) of pT [GeV], eta, phi -> words (N, rows, 1, 3) int64 within the range of `word`.

        Further columns are left out. With one type of row its hardest objects are taken, whatever their order, and
        missing ones are zeros; with several the rows must be those of the config. InputError where they are not, or
        where a number is not finite or a pT is negative.
        """
        total = sum(self.rows)
        given = np.asarray(objects, np.float64)
        if given.ndim != 3 or given.shape[2] < 3 or (len(self.rows) > 1 and given.shape[1] != total):
            raise InputError(
                f"objects of shape {given.shape}", f"(N, {total}, 3) of pT, eta, phi", "give the objects of each event"
            )
        given = given[..., :3]
        if not np.isfinite(given).all() or (given[..., 0] < 0).any():
            raise InputError("objects with a negative pT, or no finite numbers", "finite numbers", "correct them")
        if len(self.rows) == 1:
            order = np.argsort(-given[..., 0], axis=1, kind="stable")[:, :total]
            given = np.take_along_axis(given, order[..., None], axis=1)
            given = np.pad(given, ((0, 0), (0, total - given.shape[1]), (0, 0)))
        low, high = word.bounds
        pt = np.minimum(np.floor(given[..., 0] / self.pt_step_gev), high)
        angles = np.rint(given[..., 1:] / [self.eta_step, self.phi_step])
        # pi and -pi are one direction, and so one word.
        turn = round(2 * np.pi / self.phi_step)
        angles[..., 1] = (angles[..., 1] + turn // 2) % turn - turn // 2
        made = np.concatenate([pt[..., None], np.clip(angles, low, high)], axis=-1)
        return np.where(pt[..., None] > 0, made, 0).astype(np.int64)[:, :, None]


# The 19 objects of ADC2021: missing momentum, electrons, muons, jets. Steps of the CMS global trigger's calorimeter
# objects: 0.5 GeV, 0.087 / 2, 2 pi / 144 (CMS DN-2014/029).
OBJECTS = SetWords((1, 4, 4, 10), 0.5, 0.0435, 2 * np.pi / 144)
# The hardest constituents of a jet, their angles relative to its axis; steps of pi / 720 for both angles, those of the
# correlator trigger's candidates (CMS-TDR-021), and of 0.5 GeV.
CONSTITUENTS = SetWords((16,), 0.5, np.pi / 720, np.pi / 720)
