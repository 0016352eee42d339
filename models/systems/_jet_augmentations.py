"""Views of jets for DarkCLR (arXiv:2312.03067): what the encoder is to see past, and what it is to see.

    jets (N, n, 3)   constituents: pT [GeV], eta, phi, hardest first; rows without pT are empty and stay zero
    base             turned by a random angle, then moved
    positive         the base turned once more, then moved by itself: physically the same jet
    anomaly          the base with each constituent dropped with a probability of 0.5, never all of a jet's; the others
                     scaled to the same sum of pT, sorted and centred again, as a jet with an invisible part; then moved

A jet turns about its pT-weighted centre. All three are moved by themselves, in eta and in phi by at most the base's
extent there, uniformly: where a view lies does not tell which it is.
"""

import numpy as np

# Probability with which a constituent is dropped.
DROPPED = 0.5


def views(jets: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centred jets (N, n, 3) -> base, positive and anomaly, the same shape each, float64."""
    base = turned(jets, generator)
    positive = turned(base, generator)
    anomaly = thinned(base, generator)
    return moved(base, base, generator), moved(positive, base, generator), moved(anomaly, base, generator)


def centred(jets: np.ndarray) -> np.ndarray:
    """Jets (N, n, 3) with their pT-weighted mean of eta and of phi at zero, float64.

    >>> centred(np.array([[[30.0, 0.4, 0.0], [10.0, 0.0, 0.4], [0.0, 0.0, 0.0]]]))[0, :, 1:].round(6).tolist()
    [[0.1, -0.1], [-0.3, 0.3], [0.0, 0.0]]
    """
    pt = jets[..., :1].astype(np.float64)
    total = pt.sum(axis=1, keepdims=True)
    centre = np.divide(
        (pt * jets[..., 1:]).sum(axis=1, keepdims=True), total, out=np.zeros((len(jets), 1, 2)), where=total > 0
    )
    return _only_where(pt, np.concatenate([pt, jets[..., 1:] - centre], axis=-1))


def turned(jets: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Jets (N, n, 3), each turned about (eta, phi) = (0, 0) by an angle of its own."""
    angle = generator.uniform(0, 2 * np.pi, (len(jets), 1))
    pt, eta, phi = np.moveaxis(jets.astype(np.float64), -1, 0)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([pt, cosine * eta - sine * phi, sine * eta + cosine * phi], axis=-1)


def moved(jets: np.ndarray, whole: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Jets (N, n, 3), each moved in eta and in phi by up to the extent of the whole jet (N, n, 3) either way."""
    exists = whole[..., :1] > 0
    high = np.where(exists, whole[..., 1:], -np.inf).max(axis=1, keepdims=True)
    low = np.where(exists, whole[..., 1:], np.inf).min(axis=1, keepdims=True)
    extent = np.where(exists.any(axis=1, keepdims=True), high - low, 0.0)
    step = extent * generator.uniform(-1, 1, extent.shape)
    return _only_where(jets[..., :1], np.concatenate([jets[..., :1], jets[..., 1:] + step], axis=-1))


def thinned(jets: np.ndarray, generator: np.random.Generator, share: float = DROPPED) -> np.ndarray:
    """Jets (N, n, 3) whose constituents are dropped with a probability below 1; the sum of pT is kept."""
    exists = jets[..., 0] > 0
    kept = exists & (generator.random(exists.shape) >= share)
    # A jet of which nothing is left is drawn again.
    while len(lost := np.flatnonzero(exists.any(axis=1) & ~kept.any(axis=1))):
        kept[lost] = exists[lost] & (generator.random((len(lost), exists.shape[1])) >= share)
    pt = np.where(kept, jets[..., 0], 0.0)
    left = pt.sum(axis=1, keepdims=True)
    pt *= np.divide(jets[..., 0].sum(axis=1, keepdims=True), left, out=np.zeros_like(left), where=left > 0)
    order = np.argsort(-pt, axis=1, kind="stable")[..., None]
    return centred(np.take_along_axis(np.concatenate([pt[..., None], jets[..., 1:]], axis=-1), order, axis=1))


def _only_where(pt: np.ndarray, jets: np.ndarray) -> np.ndarray:
    """The jets with zeros where pT (N, n, 1) is zero."""
    return np.where(pt > 0, jets, 0.0)
