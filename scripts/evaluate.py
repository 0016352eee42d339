"""Stage evaluate: all executors on all events. Equal bits? Which AUC, which efficiency?

    python scripts/evaluate.py --run runs/demo

Reads the run's events and the models and firmware of the stages before. Writes evaluate/scores.h5 (the form of
scripts/score.py, every event of the run's file in its order) and evaluate.json.
"""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.files import opened_hdf5
from codae_l1.data.base.spool import Spool
from codae_l1.data.events import CLASSES, ZERO_BIAS
from codae_l1.data.formats.event_file import EventFile
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.executors import INTEGER_EXECUTORS, open_executor, open_firmware, open_float

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run

# Scores without learning: tracks, active pixels, squared counts of pixels in blocks (models/codae/scores.py).
BASELINES = ("n_tracks", "active_pixels", "block_power")
# Every AUC of the report: full model, the score of it that is distilled (if any), in-situ f_m, executors, baselines.
SCORES = ("codae_mse", "teacher", "in_situ", "float", *INTEGER_EXECUTORS, *BASELINES)
ROC_SCORES = ("codae_mse", "float", "rtl", *BASELINES)
RATE_SCORES = ("rtl", *BASELINES)
# False-positive rates at which the ROC curves are drawn: a point each 7 %, below what the sample resolves included.
ROC_GRID = np.logspace(-3.5, 0, 120)
# Test events that are read at a time.
SLICE = 2048
# Events of each class in the latent plot.
LATENT_EVENTS = 250
GALLERY_PROCESSES = ("qcd", ZERO_BIAS, "h125", "h400", "svj3100")


def work(run: "Run") -> dict[str, Any]:
    """Run every executor on every event, compare the words, measure the scores on the test events."""
    cli.import_tensorflow()
    from codae_l1.models.evaluation.rates import sample_rates
    from codae_l1.scripts.numerics import numerics

    scores, mismatches = _score_all(run)
    events = _read(run)
    test, signal = events["test"], events["signal"][events["test"]]
    scores |= events["baselines"]
    full, latents, reconstruct = _full_model(run, events["masks"], signal)
    scores |= full
    content = _measure(run.config.evaluation, run.config.seed, scores, signal)
    asked = run.config.evaluation.rates_khz, run.config.evaluation.luminosity_cm2s
    rated = {name: scores[name][:] for name in RATE_SCORES}
    content["rates"] = sample_rates(rated, test, events["signal"], events["weight"], events["provenance"], *asked)
    content |= _trigger(run)
    content["numerics"] = numerics(run, events["counts"], signal)
    different = sum(m["different"] for m in mismatches.values())
    worse = [s for s, row in content["auc"].items() if row["rtl"]["value"] < row["active_pixels"]["value"] - 0.01]
    return {
        "summary": f"{len(events['signal'])} events, {different} mismatches; RTL AUC at least that of the active "
        f"pixels - 0.01 on {len(content['auc']) - len(worse)} of {len(content['auc'])} signals",
        "events": {
            "all": len(events["signal"]),
            "test": {str(s): int(np.sum(signal == s)) for s in np.unique(signal)},
        },
        "mismatches": mismatches,
        **content,
        "latents": latents,
        "gallery": _gallery(run, test, signal, scores["rtl"][:], reconstruct),
    }


def _trigger(run: "Run") -> dict[str, Any]:
    """Rates on zero-bias crossings and efficiencies beside the menu: {"trigger": section}, or None and why.

    With {"looks": section} where the network learned from zero bias, else None. The shipped crossings do not fit every
    network; a file that the user names must.
    """
    from codae_l1.data.base.errors import InputError
    from codae_l1.scripts.run.crossings import RunCrossings
    from codae_l1.scripts.studies.looks import Network, looks_section
    from codae_l1.scripts.studies.trigger import trigger_section

    config, reason = run.config.trigger, run.config.why_no_crossings()
    if reason:
        return {"trigger": None, "trigger_reason": reason, "looks": None}
    try:
        crossings = RunCrossings(config, run.executor("rtl"), run.config.seed)
    except InputError as error:
        if config.crossings != "sample":
            raise
        return {"trigger": None, "trigger_reason": str(error), "looks": None}
    kept = (*crossings.signals, *crossings.others)
    zero_bias, signals = [crossings.read(ZERO_BIAS)], {name: [crossings.read(name)] for name in kept}
    generated = {name: crossings.generated(name) for name in crossings.signals}
    section = trigger_section(config, zero_bias, signals, crossings.scores, generated)
    looks = None
    if run.config.firmware.distance:
        read = {ZERO_BIAS: zero_bias[0], **{name: sample[0] for name, sample in signals.items()}}
        fires = {path: row["threshold"] for path, row in section["menu"]["paths"].items()}
        network = Network.of(open_firmware(run))
        looks = looks_section(network, run.executor("emulator"), crossings, read, fires, run.config.seed)
    return {"trigger": crossings.facts() | section, "looks": looks}


def _score_all(run: "Run") -> tuple[dict[str, Spool], dict[str, Any]]:
    """Score every event with every executor into evaluate/scores.h5, some events at a time.

    Executor -> scores of the test events, and every pair's mismatches on events and adversarial input.
    """
    from codae_l1.hls.network.mismatch import adversarial_counts
    from codae_l1.scripts.run.events import events_path, indices
    from codae_l1.scripts.score import Scored, read_counts, write_scores

    path, config = run.path("evaluate", "scores.h5"), run.config.firmware
    executors = {name: open_executor(run, name) for name in INTEGER_EXECUTORS}
    firmware, float_model = open_firmware(run), open_float(run)
    mismatches = _Mismatches(executors)
    with write_scores(path) as out, cli.Progress("evaluate") as progress, EventFile(events_path(run)) as file:
        n = len(file)
        for part in read_counts([file.path], config, tell=lambda line: None):
            words = mismatches.add(part.counts)
            scored: Scored = {"float": (float_model.predict_scores(part.counts), None)}
            scored |= {name: (firmware.firmware_score(w), firmware.firmware_word(w)) for name, w in words.items()}
            out.add(scored, part.signal, part.file)
            progress(mismatches.compared, n, "events")
        mismatches.add(adversarial_counts(config, run.config.seed))
        test = indices(file, "test")
    with opened_hdf5(path, "scores") as found:
        return {name: _kept(path.parent, found[f"{name}/firmware_score"][:][test]) for name in scored}, mismatches.found


def _kept(folder: Path, column: np.ndarray) -> Spool:
    """A column on disk in a folder: the scores are read one by one, and never in memory together."""
    kept = Spool(folder)
    kept.add(column.astype(np.float64))
    return kept


class _Processes:
    """Process of each event of a file without a text for each: compared with a name, or given of some events."""

    def __init__(self, file: EventFile):
        # Behind them, what is no process of a run.
        self._names = np.array((*CLASSES, ""))
        self._codes = np.full(len(file), len(self._names) - 1, np.uint8)
        for code, name in enumerate(self._names[:-1]):
            self._codes[file.is_process(name)] = code

    def __len__(self) -> int:
        return len(self._codes)

    def __getitem__(self, which: np.ndarray) -> np.ndarray:
        return self._names[self._codes[which]]

    def __eq__(self, name: object) -> Any:
        return self._codes == np.flatnonzero(self._names == name)[0]


class _Mismatches:
    """The words of all executors compared pair by pair, some events at a time. compared: how many so far. found: pair
    -> its mismatches, JSON-ready (`hls.network.mismatch.compare_words`)."""

    def __init__(self, executors: dict[str, Any]):
        self._executors, self.compared, self.found = executors, 0, {}

    def add(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Words (n, outputs) of each executor on the next events."""
        from codae_l1.hls.network.mismatch import compare_words

        words = {name: executor.predict_words(counts) for name, executor in self._executors.items()}
        for a, b in itertools.combinations(words, 2):
            new = compare_words(self._executors[a], self._executors[b], counts, words[a], words[b])
            for sample in new["samples"]:
                sample["event"] += self.compared
            before = self.found.setdefault(f"{a}-{b}", {**new, "compared": 0, "different": 0, "samples": ()})
            before["compared"] += new["compared"]
            before["different"] += new["different"]
            before["worst_lsb"] = max(before["worst_lsb"], new["worst_lsb"])
            before["first_layer"] = before["first_layer"] or new["first_layer"]
            before["samples"] = (*before["samples"], *new["samples"])[:5]
        self.compared += len(counts)
        return words


def _measure(config: Any, seed: int, scores: dict[str, Spool], signal: np.ndarray) -> dict[str, Any]:
    """AUC, ROC and working points of each score and signal; scores: name -> (N,), signal: (N,) str."""
    from codae_l1.data.events import BACKGROUNDS, SIGNALS
    from codae_l1.models.evaluation.roc import auc_with_error, paired_auc_difference, roc_curve, tpr_at_fpr

    background = np.isin(signal, BACKGROUNDS)
    result: dict[str, Any] = {"auc": {}, "quantization_loss": {}, "roc": {}, "tpr": {}}
    for process in (s for s in SIGNALS if s in signal):
        of = signal == process

        def pair(name: str, of: np.ndarray = of) -> tuple[np.ndarray, np.ndarray]:
            column = scores[name][:]
            return column[background], column[of]

        errors = {n: auc_with_error(*pair(n), config.bootstrap, seed) for n in SCORES if n in scores}
        result["auc"][process] = {n: {"value": v, "error": e} for n, (v, e) in errors.items()}
        value, error = paired_auc_difference(*pair("float"), *pair("rtl"), config.bootstrap, seed)
        result["quantization_loss"][process] = {"value": value, "error": error}
        result["roc"][process], result["tpr"][process] = {}, [{} for _ in config.fprs]
        for name in ROC_SCORES:
            both = pair(name)
            curve = roc_curve(*both)
            tpr = np.interp(ROC_GRID, curve.fpr, curve.tpr).tolist()
            result["roc"][process][name] = {"fpr": ROC_GRID.tolist(), "tpr": tpr}
            for row, fpr in zip(result["tpr"][process], config.fprs, strict=True):
                row[name] = vars(tpr_at_fpr(*both, fpr))
    return result


def _read(run: "Run") -> dict[str, Any]:
    """What is known of each event of the run's file; test: indices of the test split; of its events alone counts and
    masks, as Spools (they take 6 kB per event), and baselines."""
    from codae_l1.data.pooling import input_counts, track_mask
    from codae_l1.models.codae.scores import active_pixels, block_power
    from codae_l1.scripts.run.events import events_path, indices

    folder = run.path("evaluate")
    counts, masks, pixels, power = (Spool(folder) for _ in range(4))
    with EventFile(events_path(run)) as file:
        test = indices(file, "test")
        for start in range(0, len(test), SLICE):
            images = file.read_where(test[start : start + SLICE]).images
            mask = track_mask(images)
            counts.add(input_counts(images, run.config.firmware.pooling))
            masks.add(mask)
            pixels.add(active_pixels(mask).astype(np.float64))
            power.add(block_power(mask).astype(np.float64))
        tracks = _kept(folder, file.n_tracks[test])
        return {
            "counts": counts,
            "masks": masks,
            "baselines": {"n_tracks": tracks, "active_pixels": pixels, "block_power": power},
            "signal": _Processes(file),
            "weight": file.weight,
            "provenance": file.provenance,
            "test": test,
        }


def _full_model(run: "Run", masks: Any, signal: np.ndarray) -> tuple[dict, dict, Any]:
    """Scores of the full CoDAE and of the in-situ f_m, both latents of some events, and what reconstructs masks."""
    from codae_l1.data.pooling import input_counts
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.codae.scores import codae_scores
    from codae_l1.quantization.distill import combined
    from codae_l1.quantization.f_m.config import output_word
    from codae_l1.quantization.f_m.network import FirmwareModel

    codae = load_codae(run.path("train", "codae.keras"))
    in_situ = FirmwareModel.load(run.path("quantize", "f_m_in_situ.npz"))
    full = codae_scores(codae, masks)
    pooled = (input_counts(masks[i : i + SLICE], in_situ.config.pooling) for i in range(0, len(masks), SLICE))
    words = np.concatenate([in_situ.predict_words(counts) for counts in pooled])
    scores = {"codae_mse": full["mse"], "in_situ": in_situ.firmware_score(words)}
    if coefficients := run.read("quantize")["teacher"]:
        scores["teacher"] = combined(coefficients, full)
    latents = {
        "CoDAE f_m, float": np.stack([full["z0"], full["z1"]], axis=1),
        "QKeras f_m, in situ": words * output_word(in_situ.config).lsb,
    }
    scores = {name: _kept(run.path("evaluate"), column) for name, column in scores.items()}
    latents = {title: _by_process(z, signal) for title, z in latents.items()}
    return scores, latents, lambda m: np.asarray(codae.predict_on_batch(m.astype(np.float32)))


def _by_process(z: np.ndarray, signal: np.ndarray) -> dict[str, list]:
    from codae_l1.scripts.reports.figures import LATENT_PROCESSES

    chosen = {p: z[signal == p][:LATENT_EVENTS] for p in LATENT_PROCESSES if p in signal}
    return {p: np.round(points, 4).tolist() for p, points in chosen.items()}


def _gallery(run: "Run", test: np.ndarray, signal: np.ndarray, score: np.ndarray, reconstruct: Any) -> list[dict]:
    """For each of some classes the event of median firmware score: its pixels, counts and reconstruction."""
    from codae_l1.data.pooling import input_counts, track_mask
    from codae_l1.scripts.run.events import events_path

    gallery = []
    for process in (p for p in GALLERY_PROCESSES if p in signal):
        of = np.flatnonzero(signal == process)
        event = of[np.argsort(score[of], kind="stable")[len(of) // 2]]
        with EventFile(events_path(run)) as file:
            image = file.read_where(test[[event]]).images
        pixels = np.flatnonzero(image[0])
        gallery.append(
            {
                "signal": process,
                "pixels": pixels.tolist(),
                "energies": np.round(image[0].ravel()[pixels].astype(float), 3).tolist(),
                "counts": input_counts(image, run.config.firmware.pooling)[0, ..., 0].tolist(),
                "reconstruction": np.round(reconstruct(track_mask(image))[0, ..., 0].astype(float), 2).tolist(),
            }
        )
    return gallery


if __name__ == "__main__":
    stage.main("evaluate", work, __doc__, loads=True)
