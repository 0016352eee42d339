"""Stage evaluate: all executors on all events. Equal bits? Which AUC, which efficiency?

    python scripts/evaluate.py --run runs/demo

Reads the run's events and the models and firmware of the stages before. Writes evaluate/scores.h5 (the form of
scripts/score.py, every event of the run's file in its order) and evaluate.json.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

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
# Events of each class in the latent plot.
LATENT_EVENTS = 250
GALLERY_PROCESSES = ("qcd", "h125", "h400", "svj3100")


def work(run: "Run") -> dict[str, Any]:
    """Run every executor on every event, compare the words, measure the scores on the test events."""
    cli.import_tensorflow()
    from codae_l1.models.evaluation.rates import sample_rates
    from codae_l1.scripts.numerics import numerics
    from codae_l1.scripts.score import write_scores

    events = _read(run)
    words, mismatches = _compare_all(run, events["counts"])
    firmware = open_firmware(run)
    test = events["test"]
    scores = {name: firmware.firmware_score(w)[test] for name, w in words.items()}
    scores["float"] = open_float(run).predict_scores(events["counts"])
    written = {"float": (scores["float"], None)}
    written |= {name: (firmware.firmware_score(w), firmware.firmware_word(w)) for name, w in words.items()}
    write_scores(run.path("evaluate", "scores.h5"), written, events["signal"], events["file"])
    scores["float"] = scores["float"][test]
    scores |= {name: events[name][test].astype(np.float64) for name in BASELINES}
    full, latents, reconstruct = _full_model(run, events["masks"][test])
    scores |= full
    signal = events["signal"][test]
    content = _measure(run.config.evaluation, run.config.seed, scores, signal)
    asked = run.config.evaluation.rates_khz, run.config.evaluation.luminosity_cm2s
    rated = {name: scores[name] for name in RATE_SCORES}
    content["rates"] = sample_rates(rated, test, events["signal"], events["weight"], events["provenance"], *asked)
    content |= _trigger(run)
    content["numerics"] = numerics(run, events["counts"][test], signal)
    different = sum(m["different"] for m in mismatches.values())
    worse = [s for s, row in content["auc"].items() if row["rtl"]["value"] < row["active_pixels"]["value"] - 0.01]
    return {
        "summary": f"{len(events['signal'])} events, {different} mismatches; RTL AUC at least that of the active "
        f"pixels - 0.01 on {len(content['auc']) - len(worse)} of {len(content['auc'])} signals",
        "events": {"all": len(events["signal"]), "test": {s: int(np.sum(signal == s)) for s in np.unique(signal)}},
        "mismatches": mismatches,
        **content,
        "latents": {title: _by_process(z, signal) for title, z in latents.items()},
        "gallery": _gallery(run, test, signal, scores["rtl"], reconstruct),
    }


def _trigger(run: "Run") -> dict[str, Any]:
    """Rates on zero-bias crossings and efficiencies beside the menu: {"trigger": section}, or None and why.

    With {"looks": section} where the network is a distance, else None. The shipped crossings do not fit every network;
    a file that the user names must.
    """
    from codae_l1.data.base.errors import InputError
    from codae_l1.data.events import ZERO_BIAS
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


def _compare_all(run: "Run", counts: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Words of each integer executor on the events, and every pair's mismatches on events and adversarial input."""
    from codae_l1.hls.network.mismatch import adversarial_counts, compare_words
    from codae_l1.scripts.run.cli import Progress

    adversarial = adversarial_counts(run.config.firmware, run.config.seed)
    inputs = np.concatenate([counts, adversarial])
    executors = {name: open_executor(run, name) for name in INTEGER_EXECUTORS}
    words = {}
    with Progress("evaluate") as progress:
        for i, (name, executor) in enumerate(executors.items()):
            words[name] = executor.predict_words(inputs)
            progress(i + 1, len(executors), name)
    mismatches = {}
    for i, a in enumerate(INTEGER_EXECUTORS):
        for b in INTEGER_EXECUTORS[i + 1 :]:
            mismatches[f"{a}-{b}"] = compare_words(executors[a], executors[b], inputs, words[a], words[b])
    return {name: w[: len(counts)] for name, w in words.items()}, mismatches


def _measure(config: Any, seed: int, scores: dict[str, np.ndarray], signal: np.ndarray) -> dict[str, Any]:
    """AUC, ROC and working points of each score and signal; scores: name -> (N,), signal: (N,) str with "qcd"."""
    from codae_l1.data.events import QCD, SIGNALS
    from codae_l1.models.evaluation.roc import auc_with_error, paired_auc_difference, roc_curve, tpr_at_fpr

    background = {name: values[signal == QCD] for name, values in scores.items()}
    result: dict[str, Any] = {"auc": {}, "quantization_loss": {}, "roc": {}, "tpr": {}}
    for process in (s for s in SIGNALS if s in signal):
        of = {name: values[signal == process] for name, values in scores.items()}
        pairs = {name: (background[name], of[name]) for name in SCORES if name in scores}
        errors = {n: auc_with_error(*pair, config.bootstrap, seed) for n, pair in pairs.items()}
        result["auc"][process] = {n: {"value": v, "error": e} for n, (v, e) in errors.items()}
        value, error = paired_auc_difference(*pairs["float"], *pairs["rtl"], config.bootstrap, seed)
        result["quantization_loss"][process] = {"value": value, "error": error}
        curves = {n: roc_curve(*pairs[n]) for n in ROC_SCORES}
        result["roc"][process] = {
            n: {"fpr": ROC_GRID.tolist(), "tpr": np.interp(ROC_GRID, c.fpr, c.tpr).tolist()} for n, c in curves.items()
        }
        result["tpr"][process] = [{n: vars(tpr_at_fpr(*pairs[n], fpr)) for n in ROC_SCORES} for fpr in config.fprs]
    return result


def _read(run: "Run") -> dict[str, Any]:
    """Counts, masks and what is known of each event of the run's file, in slices; `test`: indices of the test split."""
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.pooling import input_counts, track_mask
    from codae_l1.models.codae.scores import active_pixels, block_power
    from codae_l1.scripts.run.events import events_path, indices

    with EventFile(events_path(run)) as file:
        parts = [(input_counts(e.images, run.config.firmware.pooling), track_mask(e.images)) for e in file.slices()]
        counts, masks = (np.concatenate(column) for column in zip(*parts, strict=True))
        return {
            "counts": counts,
            "masks": masks,
            "active_pixels": active_pixels(masks),
            "block_power": block_power(masks),
            "n_tracks": file.n_tracks,
            "signal": file.signal,
            "weight": file.weight,
            "provenance": file.provenance,
            "file": np.full(len(file), str(file.path)),
            "test": indices(file, "test"),
        }


def _full_model(run: "Run", masks: np.ndarray) -> tuple[dict, dict, Any]:
    """Scores of the full CoDAE and of the in-situ f_m, both latents, and a function that reconstructs masks."""
    from codae_l1.data.pooling import input_counts
    from codae_l1.models.codae.model import load_codae
    from codae_l1.models.codae.scores import codae_scores
    from codae_l1.quantization.distill import combined
    from codae_l1.quantization.f_m.config import output_word
    from codae_l1.quantization.f_m.network import FirmwareModel

    codae = load_codae(run.path("train", "codae.keras"))
    in_situ = FirmwareModel.load(run.path("quantize", "f_m_in_situ.npz"))
    full = codae_scores(codae, masks)
    words = in_situ.predict_words(input_counts(masks, in_situ.config.pooling))
    scores = {"codae_mse": full["mse"], "in_situ": in_situ.firmware_score(words)}
    if coefficients := run.read("quantize")["teacher"]:
        scores["teacher"] = combined(coefficients, full)
    latents = {
        "CoDAE f_m, float": np.stack([full["z0"], full["z1"]], axis=1),
        "QKeras f_m, in situ": words * output_word(in_situ.config).lsb,
    }
    return scores, latents, lambda m: np.asarray(codae.predict_on_batch(m.astype(np.float32)))


def _by_process(z: np.ndarray, signal: np.ndarray) -> dict[str, list]:
    from codae_l1.scripts.reports.figures import LATENT_PROCESSES

    chosen = {p: z[signal == p][:LATENT_EVENTS] for p in LATENT_PROCESSES if p in signal}
    return {p: np.round(points, 4).tolist() for p, points in chosen.items()}


def _gallery(run: "Run", test: np.ndarray, signal: np.ndarray, score: np.ndarray, reconstruct: Any) -> list[dict]:
    """For each of some classes the event of median firmware score: its pixels, counts and reconstruction."""
    from codae_l1.data.formats.event_file import EventFile
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
