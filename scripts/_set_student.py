"""A trained teacher's score in firmware: a set network learns it, is proved word for word, mapped, and measured.

    OUT/firmware/<title>/    deep_set.npz, the executors' folders (emulator, hls4ml, rtl), student.json

The student sees background alone: the events that the teacher was trained on, and copies of them that are turned; those
of events also lie beside them, their objects exchanged with those of other events, lost, and scaled. The teacher scores
all of them. Labels serve to measure: the AUC of teacher, float student and firmware words on the same test events.
"""

import argparse
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.keep import digest, keep, without_speed
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.systems.registry import system_class
from codae_l1.scripts._system_tables import Plan, train
from codae_l1.scripts.run import cli
from codae_l1.scripts.run.tables import markdown_table

if TYPE_CHECKING:
    from codae_l1.hls.network.executor import Executor
    from codae_l1.models.systems.base import LabelledEvents
    from codae_l1.quantization.deep_set import DeepSet, SetConfig, SetStudent, SetTraining, SetWords

# Events (N, M, 3) of pT [GeV], eta, phi -> scores (N,), higher = more anomalous.
Teacher = Callable[[np.ndarray], np.ndarray]
# Copies beside each background event: share of objects exchanged and of objects lost, deviation of log(scale).
EXCHANGED, LOST, SCALED = 0.3, 0.1, 0.4
# Test events on which the executors are compared, besides those that overflow and those of random words.
_COMPARED, _RANDOM = 1000, 1000


@dataclass(frozen=True)
class StudentPlan:
    """How a student is made.

    words: of the events' objects. around_axis: angles are relative to an axis, around which copies are turned, and not
    in phi alone. copies: of each background event; enough for the least number of events, too. moved: their objects are
    exchanged, lost and scaled. seed: of the copies and of the bootstrap; the training has its own.
    """

    words: "SetWords"
    config: "SetConfig"
    training: "SetTraining"
    hls: HlsConfig = field(default_factory=HlsConfig)
    around_axis: bool = False
    copies: int = 2
    moved: bool = True
    least: int = 20_000
    seed: int = 1

    @classmethod
    def of(cls, form: str, hls: HlsConfig) -> "StudentPlan":
        """Of "objects" (ADC2021) or of "constituents" (jets, relative to their axis).

        A jet with constituents of another one is none, and a student that learns such jets learns fewer true ones.
        """
        from codae_l1.quantization.deep_set import CONSTITUENTS, OBJECTS, SetConfig, SetTraining

        words = {"objects": OBJECTS, "constituents": CONSTITUENTS}[form]
        jets = form == "constituents"
        return cls(words, SetConfig(words.rows), SetTraining(), hls, around_axis=jets, moved=not jets)


def add_firmware_argument(parser: argparse.ArgumentParser) -> None:
    """The option --firmware."""
    parser.add_argument(
        "--firmware",
        nargs="+",
        metavar="NAME[:SCORE]",
        default=[],
        help="systems whose score goes into firmware, too: the one that is quoted first, or SCORE",
    )


def chosen(names: Sequence[str], plans: Sequence[Plan]) -> list[tuple[Plan, str]]:
    """Plan and score of each --firmware NAME[:SCORE], each once; InputError where one is not trained or has no such."""
    known = {plan.title: plan for plan in plans}
    found: dict[tuple[str, str], tuple[Plan, str]] = {}
    for name in names:
        title, colon, score = name.partition(":")
        if title not in known or (colon and not score):
            raise InputError(f"--firmware {name}", f"some of {', '.join(known)}", "correct --firmware or --models")
        kind = system_class(known[title].system)
        scores = (kind.main_score, *kind.further_scores)
        if score and score not in scores:
            raise InputError(f"--firmware {name}", f"some of {', '.join(scores)}", "correct --firmware")
        found[title, score or kind.main_score] = known[title], score or kind.main_score
    return list(found.values())


def students(
    named: Sequence[tuple[Plan, str]],
    events: "Callable[[], tuple[LabelledEvents, LabelledEvents]]",
    tested: Mapping[str, np.ndarray],
    make_plan: Callable[[], "StudentPlan"],
    out: Path,
) -> dict[str, dict[str, Any]]:
    """Title -> row of `firmware_student`; the teacher is a score of the first seed, from its folder in OUT.

    named: of `chosen`. events: those to train on and those to choose the epoch by. tested: background first, then the
    signals.
    """
    rows, background = {}, events()[0].images
    for plan, score in named:
        system, _ = train(plan, plan.seeds[0], events, out)
        title = plan.title if score == system.main_score else f"{plan.title}-{score}"

        def teacher(objects: np.ndarray, system: Any = system, score: str = score) -> np.ndarray:
            return system.scores(objects)[score]

        rows[title] = firmware_student(title, teacher, background, tested, make_plan(), out)
    return rows


def firmware_student(
    title: str, teacher: Teacher, background: np.ndarray, tested: Mapping[str, np.ndarray], plan: StudentPlan, out: Path
) -> dict[str, Any]:
    """The row of a student, JSON-ready, from its folder where that was made from the same; see `student_rows`.

    background: events (N, M, 3) to learn from. tested: name -> events; the first are background, the others signals.
    """
    beside = neighbours(background, plan)
    scores = [teacher(background), *(teacher(events) for events in beside)]
    found = {name: teacher(events) for name, events in tested.items()}

    def make(folder: Path) -> dict[str, Any]:
        from codae_l1.quantization.deep_set import learn_set
        from codae_l1.scripts.run.folder import stamp

        words = np.concatenate([plan.words.words(x, plan.config.input_word) for x in (background, *beside)])
        target = learned(np.concatenate(scores))
        with cli.Progress(f"{title}, student") as progress:
            student = learn_set(words, target, plan.config, plan.training, progress)
        student.firmware.save(folder / "deep_set.npz")
        given = {name: plan.words.words(x, plan.config.input_word) for name, x in tested.items()}
        row = {"history": student.history, "auc": _measure(student, found, given, plan.seed)}
        row |= in_firmware(student.firmware, np.concatenate([x[:_COMPARED] for x in given.values()]), folder, plan)
        logarithm = not np.array_equal(target, np.concatenate(scores))
        return {**row, "logarithm": logarithm, "plan": asdict(plan), "stamp": stamp(plan.seed)}

    from codae_l1.scripts.run.folder import versions
    from codae_l1.scripts.run.stages import code_of

    sums = [digest(array.tolist()) for array in (*scores, *found.values())]
    inputs = [title, without_speed(asdict(plan)), versions(), code_of(__name__), sums]
    return keep(out / "firmware" / title, inputs, make, "student.json")


def learned(scores: np.ndarray) -> np.ndarray:
    """What a student learns of scores (N,): the scores or, if all have one, the logarithm; the less skewed of both.

    Neither changes the order. The long tail of a distance would take most of the squared error.
    """
    from scipy.stats import skew

    if not (scores > 0).all():
        return scores
    return min(scores, np.log(scores), key=lambda values: abs(skew(values)))


def neighbours(background: np.ndarray, plan: StudentPlan) -> list[np.ndarray]:
    """Copies of events (N, M, 3): with plan.moved, objects exchanged with other events, lost, all pT scaled.

    An object changes places with that of the same row of another event, so that types stay. All of a copy is turned by
    one angle.
    """
    rng, made = np.random.default_rng(plan.seed), []
    for _ in range(max(plan.copies, -(-plan.least // len(background)) - 1)):
        events = background
        if plan.moved:
            other = background[rng.permutation(len(background))]
            events = np.where(rng.random((*background.shape[:2], 1)) < EXCHANGED, other, background)
            events = events * (rng.random((*background.shape[:2], 1)) >= LOST)
            events[..., 0] *= np.exp(rng.normal(0, SCALED, (len(events), 1)))
        events = _turned(events, plan.around_axis, rng.uniform(-np.pi, np.pi, (len(events), 1))) * (events[..., :1] > 0)
        made.append(_sorted(events, plan.words.rows))
    return made


def _turned(events: np.ndarray, around_axis: bool, angle: np.ndarray) -> np.ndarray:
    """Events whose phi grows by an angle (N, 1), or that are turned by it in the plane of eta and phi."""
    pt, eta, phi = np.moveaxis(events[..., :3], -1, 0)
    if not around_axis:
        return np.stack([pt, eta, np.remainder(phi + angle + np.pi, 2 * np.pi) - np.pi], axis=-1)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([pt, cosine * eta - sine * phi, sine * eta + cosine * phi], axis=-1)


def _sorted(events: np.ndarray, rows: Sequence[int]) -> np.ndarray:
    """Objects of each type with falling pT; one type where the rows are fewer than the objects."""
    ends = np.cumsum([0, *rows]) if len(rows) > 1 else [0, events.shape[1]]
    parts = []
    for first, last in itertools.pairwise(ends):
        part = events[:, first:last]
        order = np.argsort(-part[..., 0], axis=1, kind="stable")
        parts.append(np.take_along_axis(part, order[..., None], axis=1))
    return np.concatenate(parts, axis=1)


def _measure(
    student: "SetStudent", teacher: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray], seed: int
) -> dict[str, dict[str, float]]:
    """Signal -> AUC of the teacher, of the float student and of the words; what the words lose, and its error."""
    from codae_l1.models.evaluation.roc import auc, paired_auc_difference

    floats = {name: student.float_scores(words) for name, words in given.items()}
    words = {name: student.scores(x) for name, x in given.items()}
    background, *signals = given
    found = {}
    for name in signals:
        lost, error = paired_auc_difference(
            teacher[background], teacher[name], words[background], words[name], seed=seed
        )
        found[name] = {
            "teacher": auc(teacher[background], teacher[name]),
            "float": auc(floats[background], floats[name]),
            "words": auc(words[background], words[name]),
            "lost": lost,
            "lost_error": error,
        }
    return found


def in_firmware(network: "DeepSet", events: np.ndarray, folder: Path, plan: StudentPlan) -> dict[str, Any]:
    """Every executor of a set network, each compared with QKeras; LUT, FF and latency as stage synthesize has them.

    events: words (N, objects, 1, features). Gives comparison: executor -> Mismatch; permuted, of events whose objects
    of one type have changed places: words that differ in the RTL; and the report of hls/cost/synthesis.py.
    """
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.hls4ml.project import convert_network
    from codae_l1.hls.network.mismatch import QKerasNetwork, compare
    from codae_l1.hls.network.records import read_network
    from codae_l1.hls.rtl.build import Interpreter, RtlSimulation, build_rtl
    from codae_l1.hls.rtl.clocks import count_clocks
    from codae_l1.hls.trigger.emulator import Emulator, build_emulator

    records, output = read_network(network.model, network.config.input_word), network.output_word
    rtl = folder / "rtl"
    with cli.Progress("student, RTL") as progress:
        build_rtl(records, output, plan.hls, rtl, progress)
    build_emulator(records, output, plan.hls, folder / "emulator")
    with cli.Progress("student, hls4ml") as progress:
        project = convert_network(network.model, records, output, plan.hls, folder / "hls4ml", progress)
    with cli.Progress("student, Yosys") as progress:
        report = synthesize(rtl, plan.hls, progress, count_clocks(rtl))
    simulation = RtlSimulation(rtl, plan.hls.jobs)
    made: list[Executor] = [project, Emulator(folder / "emulator"), Interpreter(rtl, plan.hls.jobs), simulation]
    words = np.concatenate([events, adversarial(network.config, plan.seed)])
    reference = QKerasNetwork(network.model, records, output)
    found = {executor.name: compare(reference, executor, words).as_dict() for executor in made}
    moved = simulation.predict_words(permuted(words, network.config, plan.seed))
    different = int(np.count_nonzero((moved != simulation.predict_words(words)).any(axis=1)))
    return {"comparison": found, "permuted": {"compared": len(words), "different": different}, "synthesis": report}


def adversarial(config: "SetConfig", seed: int) -> np.ndarray:
    """Words (N, objects, 1, features) that overflow: both ends, patterns, one word alone, random ones of both signs."""
    from codae_l1.hls.network.mismatch import _adversarial_words

    rng, word = np.random.default_rng(seed), config.input_word
    positive = _adversarial_words(config.input_shape, word, word.bounds[1] // 2, seed, _RANDOM)
    return np.concatenate([positive, -positive - 1, positive * rng.choice([-1, 1], positive.shape)])


def permuted(words: np.ndarray, config: "SetConfig", seed: int) -> np.ndarray:
    """Words of events (N, objects, 1, features) whose objects of each type have changed places at random."""
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((len(words), len(config.types))) + 2 * config.types, axis=1)
    return np.take_along_axis(words, order[:, :, None, None], axis=1)


def student_rows(rows: Mapping[str, dict[str, Any]]) -> str:
    """Title -> row of `firmware_student` as a Markdown table, one line for each signal, and what was compared."""
    titles = ("firmware of", "signal", "AUC teacher", "float", "words", "teacher - words", "LUT", "FF", "latency [ns]")
    lines, notes = [], []
    for title, row in rows.items():
        of, ns = row["synthesis"]["resources"], row["synthesis"]["latency_ns"]
        for signal, auc in row["auc"].items():
            areas = [f"{100 * auc[key]:.1f}" for key in ("teacher", "float", "words")]
            lost = f"{100 * auc['lost']:.1f} ± {100 * auc['lost_error']:.1f}"
            lines.append((title, signal, *areas, lost, f"{of['LUT']:,}", f"{of['FF']:,}", f"{ns:g}"))
        pairs = [f"{name}: {m['different']} of {m['compared']:,}" for name, m in row["comparison"].items()]
        moved = row["permuted"]
        what = "the logarithm of the score" if row.get("logarithm") else "the score"
        notes.append(
            f"`{title}`: {what} is learned; words other than QKeras's: {', '.join(pairs)}; of events whose objects of "
            f"one type have changed places: {moved['different']} of {moved['compared']:,}. {of['DSP']} DSP, "
            f"{of['BRAM_18K']} BRAM; LUT and FF by {of['tool']}, an event a clock, "
            f"{row['synthesis']['latency_cycles']} clocks {row['synthesis']['latency_how'].split(' on ')[0]}."
        )
    table = markdown_table(titles, lines, numbers_from=2)
    return "\n".join((table, "", "AUC in %, what the words lose in points, on the same events.", "", *notes, ""))
