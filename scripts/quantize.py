"""Stage quantize: the firmware f_m, in float and in QKeras, and an f_m in situ.

    python scripts/quantize.py --run runs/demo

The firmware is an auto-encoder of zero-bias crossings or a distance from them (firmware.distance; from the run's QCD
events where it has no crossings), or distilled from the full model. Reads background events and train/codae.keras.
Writes quantize/f_m_float.npz and quantize/f_m.npz (the firmware), quantize/f_m_in_situ.npz (QKeras, conditions the
decoder), quantize.json.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.config import dump
from codae_l1.data.formats.crossing_file import CrossingFile
from codae_l1.data.pooling import input_counts, track_mask
from codae_l1.models.codae.config import Z_M_SIZE
from codae_l1.models.codae.scores import codae_scores
from codae_l1.models.evaluation.float_vs_fixed import compare_scores
from codae_l1.quantization.config import Training
from codae_l1.quantization.distill import codae_teacher, distill, teacher_coefficients
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.crossings import RunCrossings
from codae_l1.scripts.run.events import read_each, read_split

if TYPE_CHECKING:
    from codae_l1.quantization.distill import Student
    from codae_l1.scripts.run.run import Run


def work(run: "Run") -> dict[str, Any]:
    """Train the firmware, train in situ, compare float with QKeras on the test events."""
    cli.import_tensorflow(run.config.training.deterministic)
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.quantization.in_situ import train_in_situ

    config = run.config
    codae = load_codae(run.path("train", "codae.keras"))
    masks = {split: read_each(run, split, track_mask)[0] for split in ("train", "calibration")}
    training = functools.partial(Training, config.distill, config.in_situ, config.seed)
    if config.firmware.distance:
        student, found = _distance(run, training)
    else:
        student, found = _distilled(run, codae, masks, training)
    student.float_model.save(run.path("quantize", "f_m_float.npz"))
    student.firmware.save(run.path("quantize", "f_m.npz"))
    # What learns from zero bias gives no z_m: in situ, its place is taken by the network that is distilled otherwise.
    plain = FirmwareConfig() if config.firmware.distance else config.firmware
    two = dataclasses.replace(plain, inputs=("tracks",), outputs=Z_M_SIZE)
    with cli.Progress("quantize, in situ") as progress:
        in_situ = train_in_situ(codae, masks["train"], masks["calibration"], two, training(progress))
    in_situ.firmware.save(run.path("quantize", "f_m_in_situ.npz"))
    parameters = student.firmware.model.count_params()
    bce = (in_situ.history["bce_after"], in_situ.history["bce_own_f_m"])
    return {
        "summary": f"f_m of {parameters:,} parameters; {found.pop('said')}; in situ BCE {bce[0]:.2f} "
        f"(own f_m {bce[1]:.2f})",
        "parameters": parameters,
        **found,
        "firmware": dump(student.firmware.config),
        "in_situ": in_situ.history,
        "comparison": _compare(run, student),
    }


def _distilled(run: "Run", codae: Any, masks: dict[str, np.ndarray], training: Any) -> tuple["Student", dict[str, Any]]:
    """The network that learns the full model's score on background, and what quantize.json says of it."""
    config, inputs = run.config, masks
    if config.firmware.inputs != ("tracks",):
        inputs = {split: read_split(run, split).images for split in masks}
    signs = run.read("train")["orientation"]
    coefficients = teacher_coefficients(config.distill.scores, codae_scores(codae, masks["calibration"]), signs)
    with cli.Progress("quantize, distilled") as progress:
        teacher = codae_teacher(codae, coefficients)
        student = distill(teacher, inputs["train"], inputs["calibration"], config.firmware, training(progress))
    correlation = student.history["calibration_correlation"]["qkeras"]
    said = f"correlation with its teacher's score on background {correlation:.3f}"
    return student, {"said": said, "teacher": coefficients, "distilled": student.history}


def _distance(run: "Run", training: Any) -> tuple["Student", dict[str, Any]]:
    """The network that measures the distance from background, or an auto-encoder's error, and quantize.json's words."""
    from codae_l1.quantization.distance import learn_distance

    config, reason = run.config, run.config.why_no_crossings()
    pool = functools.partial(input_counts, config=config.firmware.pooling)
    if reason is None:
        counts, weight = RunCrossings.background(config, "train")
        calibration, _ = RunCrossings.background(config, "calibration")
        name = "zero-bias crossings"
    else:
        counts, calibration = (read_each(run, split, pool)[0] for split in ("train", "calibration"))
        # As in every training on events: each counts once, whatever it weighs in a rate.
        weight, name = np.ones(len(counts)), "QCD events, each counted once"
    with cli.Progress("quantize, zero bias" if reason is None else "quantize, QCD") as progress:
        student = learn_distance(counts, weight, calibration, config.firmware, training(progress))
    correlation = student.history["calibration_correlation"]["qkeras"]
    what = "the error of an auto-encoder of" if config.firmware.dense else "a distance from"
    said = f"{what} {len(counts):,} {name}" + (f" ({reason})" if reason else "")
    said += f"; correlation of its words with the float score {correlation:.3f}"
    of = {"crossings": None if reason else CrossingFile(config.trigger.path).checksum}
    learned = {"background": name, "no_crossings": reason, **of, **student.history}
    return student, {"said": said, "teacher": {}, "distance": learned}


def _compare(run: "Run", student: Any) -> dict[str, Any]:
    """Float against QKeras on the test events: scatter, ROC per signal, AUC difference with its error."""
    pool = functools.partial(input_counts, config=run.config.firmware.pooling)
    counts, signal = read_each(run, "test", pool, background_only=False)
    qkeras = student.firmware.firmware_score(student.firmware.predict_words(counts))
    scores = student.float_model.predict_scores(counts), qkeras
    return compare_scores(*scores, signal, run.config.evaluation.bootstrap, run.config.seed)


if __name__ == "__main__":
    stage.main("quantize", work, __doc__)
