"""CICADA, the anomaly trigger of CMS on calorimeter regions, in integers; its weights are read from a checkout.

The network (github.com/cms-hls4ml/CICADA, folders CICADA_v2p2p0 and CICADA_v2p1p2, which differ in weights alone):
regions (18, 14) in steps of 0.5 GeV; a convolution of 2 x 2 regions with stride 2 and four filters; 16 sums of these
252 values; one sum of the 16. Each is followed by a ReLU whose result is rounded half to even and saturates, and
nothing else rounds or overflows:

    word of a filter = min(round(sum(region x w3) / 2^4), 1023)         w3 in 2^-8, results in 2^-4
    word of a sum    = min(round(sum(word x w7 + b7) / 2^6), 1023)      w7 in 2^-6, b7 in 2^-4
    score            = min(round(sum(word x w10) / 2^4), 65535)         w10 in 2^-8, score in 2^-8

The weights are not part of this project. As a score of events (`read_published`, `published`) it reads regions of the
images; unlike those of CMS they reach |eta| = 2.44, and are of a fast simulation.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.pooling import TOWER_LSB_GEV

VERSION = "v2p2p0"
# Regions in phi and eta; towers on the side of one; largest word of a region (10 bits).
REGIONS, SIDE, LARGEST_REGION = (18, 14), 4, 1023
# Steps of a score of 1.
SCORE_STEPS = 256
# Version -> words of its library for three images: n mod 8 and 37 n mod 11 where n = 14 phi + eta, and 4 everywhere.
KNOWN = {VERSION: (4774, 13479, 3541), "v2p1p2": (11394, 20488, 7941)}
# And of its weights, since three images do not show every one of them (commit 0aafbd2 of the checkout).
CHECKSUMS = {VERSION: "1789b51861574145", "v2p1p2": "fa6789577c781bee"}
# Products of a weight and a word per event: 63 blocks of four regions by four filters, 252 x 16, and 16.
_MACS = 63 * 4 * 4 + 252 * 16 + 16
# Images at a time.
_SLICE = 4096
# Name -> number of weights, fraction bits.
_WEIGHTS = {"w3": (16, 8), "w7": (252 * 16, 6), "b7": (16, 4), "w10": (16, 8)}


@dataclass(frozen=True)
class Cicada:
    """filters (4, 2, 2) by filter, phi, eta; dense (252, 16), rows by block in phi, block in eta, filter; bias, last
    (16,): int64, in the steps named above."""

    filters: np.ndarray
    dense: np.ndarray
    bias: np.ndarray
    last: np.ndarray

    @property
    def checksum(self) -> str:
        """The first digits of the SHA-256 of all weights."""
        arrays = (self.filters, self.dense, self.bias, self.last)
        return hashlib.sha256(b"".join(np.ascontiguousarray(a, "<i8").tobytes() for a in arrays)).hexdigest()[:16]

    def words(self, regions: np.ndarray) -> np.ndarray:
        """Score words (n,) int64 of regions (n, 18, 14)."""
        n = len(regions)
        corners = np.stack([regions[:, i::2, j::2].astype(np.int64) for i in (0, 1) for j in (0, 1)], axis=-1)
        found = _activated(corners @ self.filters.reshape(4, 4).T, 4, 1023)
        hidden = _activated(found.reshape(n, -1) @ self.dense + (self.bias << 6), 6, 1023)
        return _activated(hidden @ self.last, 4, 65_535)


def read_cicada(checkout: Path, version: str = VERSION) -> Cicada:
    """The network of a checkout of cms-hls4ml/CICADA; InputError where it is not there or is another one."""
    folder = checkout / f"CICADA_{version}" / "weights"
    if not folder.is_dir():
        raise InputError(f"no weights in {folder}", "a checkout of github.com/cms-hls4ml/CICADA", "name its folder")
    found = read_weights(folder)
    n = np.arange(252)
    images = np.stack([n % 8, 37 * n % 11, np.full(252, 4)]).reshape(-1, *REGIONS)
    words = found.words(images).tolist()
    if tuple(words) != KNOWN[version]:
        known = list(KNOWN[version])
        raise InputError(f"{folder} gives the scores {words}", f"{known}", f"take the weights of {version}")
    if found.checksum != CHECKSUMS[version]:
        raise InputError(f"{folder} holds other weights", f"the checksum {CHECKSUMS[version]}", "fetch it again")
    return found


def read_published(checkout: Path) -> dict[str, Cicada]:
    """Version -> network of a checkout; InputError as `read_cicada`."""
    return {version: read_cicada(checkout, version) for version in KNOWN}


def published(networks: dict[str, Cicada], images: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Scores (n,) of images (n, 72, 58, 3) GeV by version, and what is to be known of them."""
    regions = np.concatenate([region_words(images[i : i + _SLICE]) for i in range(0, len(images), _SLICE)])
    parameters = sum(count for count, _ in _WEIGHTS.values())
    record = {"main_score": VERSION, "learning": "cms", "macs": _MACS, "parameters": parameters, "how": None}
    return {version: of.words(regions) / SCORE_STEPS for version, of in networks.items()}, record


def read_weights(folder: Path) -> Cicada:
    """Weights of the header files w3.h, w7.h, b7.h and w10.h of a folder."""
    # Filters come first, other than the comment in the header says.
    w3, w7, b7, w10 = (_numbers(folder / f"{name}.h", *of) for name, of in _WEIGHTS.items())
    return Cicada(w3.reshape(4, 2, 2), w7.reshape(252, 16), b7, w10)


def region_words(images: np.ndarray) -> np.ndarray:
    """Regions (n, 18, 14) int64 of images (n, 72, 58, 3) GeV: sums of 4 x 4 tower words, ECAL and HCAL, at most 1023.

    14 regions cover 56 of the 58 columns, to |eta| = 2.44, where those of CMS reach 3. Where a region begins in phi is
    of no matter, as collisions are turned at random.
    """
    towers = np.floor(images[:, :, 1:-1, 1:] / TOWER_LSB_GEV).astype(np.int64).sum(axis=-1)
    blocks = towers.reshape(len(images), REGIONS[0], SIDE, REGIONS[1], SIDE)
    return np.minimum(blocks.sum(axis=(2, 4)), LARGEST_REGION)


def _activated(total: np.ndarray, shift: int, largest: int) -> np.ndarray:
    """ReLU of integers, divided by 2^shift; exact, since a float64 holds them and a power of two divides exactly."""
    return np.clip(np.rint(total / 2**shift), 0, largest).astype(np.int64)


def _numbers(path: Path, count: int, fraction: int) -> np.ndarray:
    """The numbers between the last braces of a header file, in steps of 2^-fraction."""
    try:
        text = path.read_text()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror})", "a header with weights", "correct it") from None
    except UnicodeDecodeError:
        text = ""
    lists = re.findall(r"\{([^{}]*)\}", text)
    try:
        steps = np.array([float(part) for part in lists[-1].split(",")]) * 2**fraction
    except (IndexError, ValueError):
        steps = np.zeros(0)
    if len(steps) != count or not np.isfinite(steps).all() or (steps != np.rint(steps)).any():
        expected = f"{count} multiples of 2^-{fraction} between its last braces"
        raise InputError(f"{path} with other content", expected, "take the published file")
    return steps.astype(np.int64)
