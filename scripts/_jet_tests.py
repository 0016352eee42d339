"""What scripts/jets.py measures of a score beside its AUC: background rejection, other signals, a linear classifier.

    rejection               1 / FPR where 20 % and where 30 % of the signal pass
    further signals         AUC of a score against the signal jets of other files, with the same QCD test jets: a system
                            is trained once, and no file but the first has a part in it (model dependence);
                            files with jets of the training part are refused
    linear classifier test  one linear unit (logistic regression of standardised numbers, L2 weight 1) on a frozen
                            representation, trained with labels on the training jets of both kinds, and measured as any
                            other score; the same before the representation was trained, and on what the network reads

Signal labels enter the linear classifier alone. It says what a representation holds, not what an unsupervised score is
worth.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256
from codae_l1.data.formats.jet_images import CONSTITUENTS, QCD, JetSample, generated_from, read_jets

# Efficiencies of the anomaly at which background rejection is quoted.
EFFICIENCIES = (0.2, 0.3)
# Fewest signal jets of a further file.
LEAST_SCORED = 10
# Between a score's name and what marks it as that of the untrained network.
UNTRAINED = ", untrained"
_OF_H, _OF_INPUT = "linear classifier of h", "linear classifier of the input"


class JetTests:
    """The tests of one sample, its split, and further files.

    Scores are (N,), those of all jets of a sample in order; what is measured is on the test part.
    """

    def __init__(self, sample: JetSample, part: np.ndarray, train_on: str, further: dict[str, JetSample]):
        self.sample, self.part, self.further = sample, part, further
        self.background, self.anomaly = sample.kind == train_on, sample.kind != train_on

    def of_observable(self, name: str) -> dict[str, Any]:
        """The entry of an observable."""
        return self.entry(lambda jets: jets.observables[name])

    def of_system(self, system: Any, fresh: Any | None) -> dict[str, dict[str, Any]]:
        """Score, trained and untrained, and linear classifiers where it has a representation -> entry."""
        found, form = {}, system.side
        for one, mark in ((system, ""), (fresh, UNTRAINED)):
            if one is None:
                continue
            scores = {id(jets): one.scores(jets.images[form]) for jets in self._samples()}
            for name in scores[id(self.sample)]:
                found[name + mark] = self.entry(lambda jets, name=name, scores=scores: scores[id(jets)][name])
            if one.representation:
                found[_OF_H + mark] = self._linear(lambda jets, one=one: one.latent(jets.images[form]))
        if system.representation:
            found[_OF_INPUT] = self._linear(lambda jets: _flat(system.network_inputs(jets.images[form])))
        return found

    def entry(self, score: Callable[[JetSample], np.ndarray]) -> dict[str, Any]:
        """AUC, the share of background passing at each of EFFICIENCIES, and the AUC of each further file: (value,
        error) each."""
        from codae_l1.models.evaluation.roc import auc_with_error, fpr_at_tpr

        values, test = score(self.sample), self.part == "test"
        background, anomaly = values[test & self.background], values[test & self.anomaly]
        further = {
            name: auc_with_error(background, score(jets)[jets.kind == jets.signal])
            for name, jets in self.further.items()
        }
        passing = {f"{share:g}": fpr_at_tpr(background, anomaly, share) for share in EFFICIENCIES}
        return {"auc": auc_with_error(background, anomaly), "passing": passing, "further": further}

    def _linear(self, numbers: Callable[[JetSample], np.ndarray]) -> dict[str, Any]:
        """The entry of a linear unit of numbers (N, D), trained on the training jets of both kinds."""
        made = {id(jets): numbers(jets) for jets in self._samples()}
        train = self.part == "train"
        scores = linear_scores(made[id(self.sample)][train], self.anomaly[train])
        return self.entry(lambda jets: scores(made[id(jets)]))

    def _samples(self) -> list[JetSample]:
        return [self.sample, *self.further.values()]


def linear_scores(x: np.ndarray, is_anomaly: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The score of a linear unit, (M, D) -> (M,), fitted to x (N, D) and labels (N,).

    >>> x = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    >>> score = linear_scores(x, np.array([False, False, True, True]))
    >>> bool((np.diff(score(x)) > 0).all())
    True
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    mean, deviation = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-9, deviation, 1.0)
    with threadpool_limits(1):
        unit = LogisticRegression(max_iter=2000).fit((x - mean) / scale, is_anomaly)
    return lambda y: unit.decision_function((y - mean) / scale)


def read_further(paths: list[Path], forms: tuple[int | str, ...], most: int) -> dict[str, JetSample]:
    """Name of each file, without its ending -> its jets; InputError for one without signal, or a name twice."""
    found: dict[str, JetSample] = {}
    for path in paths:
        if path.stem in found:
            raise InputError(f"--score with two files called {path.stem}", "a name for each", "rename one of them")
        found[path.stem] = jets = read_jets(path, forms, most)
        if (number := np.count_nonzero(jets.kind != QCD)) < LEAST_SCORED:
            raise InputError(f"{path} with {number} signal jets", f"at least {LEAST_SCORED}", "leave it out of --score")
    return found


def refuse_copies(jets: Path, further: list[Path]) -> None:
    """InputError where a further file is, byte for byte, that of --jets or another further one."""
    seen = {sha256(jets): f"the training file {jets}"} if further else {}
    for path in filter(Path.is_file, further):
        if (digest := sha256(path)) in seen:
            raise InputError(f"--score {path}, a copy of {seen[digest]}", "other jets", "leave it out of --score")
        seen[digest] = f"--score {path}"


def refuse_trained(sample: JetSample, part: np.ndarray, further: dict[str, JetSample]) -> None:
    """InputError where signal jets of a further file are among those that were not kept for the test (part, (N,)).

    Labels of the training jets enter the linear classifiers, which would be measured on them. A jet is known by the pT
    of its hardest constituents, so all samples must have been read with "constituents".
    """
    trained = set(_hashes(sample, part != "test")) if further else set()
    for name, jets in further.items():
        if common := sum(mark in trained for mark in _hashes(jets, jets.kind != QCD)):
            received = f"--score {name}, of whose signal jets {common} are also training jets"
            raise InputError(received, "no jet in common", "generate the file with another --seed")


def _hashes(jets: JetSample, chosen: np.ndarray) -> Iterable[bytes]:
    pt = np.ascontiguousarray(jets.images[CONSTITUENTS][chosen, :, 0])
    return (hashlib.sha256(row.tobytes()).digest() for row in pt)


def told(paths: list[Path], further: dict[str, JetSample]) -> dict[str, dict[str, Any]]:
    """Of each further file its number of signal jets, and the config that it was generated from."""
    return {
        path.stem: {
            "jets": int(np.count_nonzero(further[path.stem].kind != QCD)),
            "config": generated_from(path),
        }
        for path in paths
    }


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)
