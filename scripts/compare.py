"""Compare the run's systems on the same events: AUC, working points, rate, size, time, one table and one page of plots.

    python scripts/compare.py --run runs/demo --seeds 1 2 3 --page docs/comparison.md

Trains what is missing, as scripts/train.py --model does (RUN/systems/), and scores the run's test events, or those of
--events, with every system and with the firmware if the run has it. Each system and seed is kept in comparison/parts/
once it is scored: an interrupted command resumes, and a changed config, events or code repeats only what it affects.
Writes comparison/comparison.json, comparison.md and figures (SVG). --page writes the results page with its figures next
to it, and its numbers without the ROC curves in results/ below it.

    python scripts/compare.py --run runs/demo --tflite

--tflite converts the run's full model to TF-Lite instead (float16, int8), compares it with Keras and times both. Writes
RUN/tflite/<part>_<kind>.tflite and table.json.
"""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.errors import InputError
from codae_l1.models.systems.registry import SYSTEMS, system_class
from codae_l1.scripts._seeds import require_seeds
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.options import Companions
from codae_l1.scripts.studies.tflite import compare_tflite

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run
    from codae_l1.scripts.studies.comparison import Part

# Events that the TF-Lite versions are checked on unless another number is asked for.
TFLITE_EVENTS = 256


def command() -> None:
    """Parse the arguments, train and score what is missing, write."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument(
        "--tflite",
        type=int,
        nargs="?",
        const=TFLITE_EVENTS,
        metavar="N",
        help=f"compare the full model with its TF-Lite versions instead, on N QCD events ({TFLITE_EVENTS})",
    )
    table = Companions(parser, "--tflite", present=False)
    table.add("--models", "systems to compare, of docs/training.md (default: all)", nargs="+", metavar="NAME")
    table.add("--seeds", "trainings of each random system", [1, 2, 3], type=int, nargs="+")
    table.add("--events", "events of any format with background and signals", type=Path, nargs="+", metavar="FILE")
    table.add("--out", "folder to write (default: RUN/comparison, with --events RUN/comparison-events)", type=Path)
    table.add("--trust", default=False, **stage.TRUST)
    table.add("--cicada", "checkout of github.com/cms-hls4ml/CICADA, whose networks are rows, too", type=Path)
    table.add("--page", "Markdown page to make, figures beside it", type=Path)
    arguments = parser.parse_args()
    table.settle(arguments)
    if arguments.tflite is not None:
        print(compare_tflite(stage.open_run(arguments.run, arguments.config, arguments.update), arguments.tflite))
        return
    for file in arguments.events or ():
        cli.existing(str(file))
    cli.output("--out", arguments.out, "folder of a comparison", run=arguments.run)
    cli.output("--page", arguments.page, "page of a comparison")
    if arguments.page is not None and arguments.page.exists() and not _record_of(arguments.page).is_file():
        raise InputError(
            f"--page {arguments.page} exists, and no numbers of a comparison lie at {_record_of(arguments.page)}",
            "a new page, or one that this command made",
            "name another, or remove it yourself",
        )
    cli.import_tensorflow(stage.check_config(arguments.config, arguments.run or Path(stage.DEFAULT_RUN)))
    from codae_l1.scripts.studies.comparison import Part, complexity_bias, file_events, run_events

    names = check(arguments)
    cicada = Part.of_cicada(arguments.cicada) if arguments.cicada else None
    run = stage.open_run(arguments.run, arguments.config, arguments.update, arguments.trust)
    from codae_l1.scripts import make_data

    stage.do(run, "make_data", make_data.work, kept=True)
    events = file_events(arguments.events) if arguments.events else run_events(run)
    out = arguments.out or run.folder / ("comparison-events" if arguments.events else "comparison")
    published = events.published_parts() | ({"published CICADA": cicada(events.images)} if cicada else {})
    rows = _compare(run, names, arguments.seeds, events, out, published)
    content = _describe(run, rows, events, arguments.seeds)
    content["complexity_bias"] = complexity_bias(run, events)
    text = _write(content, out, arguments.page)
    if out == run.folder / "comparison":
        said = {"systems": names, "seeds": arguments.seeds, "comparison": "comparison/comparison.json", "rows": []}
        run.do("compare", lambda run: said)
    print(text)


def check(arguments: Any) -> list[str]:
    """The systems to compare; InputError for unknown names, systems of jets and wrong seeds."""
    known = [name for name in SYSTEMS if system_class(name).inputs == "events"]
    names = list(dict.fromkeys(arguments.models or known))
    for name in names:
        if name not in known:
            reads = f", which reads {system_class(name).inputs}" if name in SYSTEMS else ""
            raise InputError(f"--models {name}{reads}", f"some of {', '.join(known)}", "choose among them")
    require_seeds("--seeds", arguments.seeds, different=True)
    return names


def _compare(
    run: "Run", names: list[str], seeds: list[int], events: Any, out: Path, published: "dict[str, Part]"
) -> list[dict[str, Any]]:
    """The rows of all systems, the published models and the firmware; each part is scored unless it is kept."""
    from codae_l1.scripts.studies.comparison import rows_of

    config = run.config.evaluation
    how = {"bootstrap": config.bootstrap, "luminosity": config.luminosity_cm2s}
    rows = []
    for name in names:
        parts = {
            seed: _part_of(run, name, seed, events, out) for seed in (seeds if system_class(name).random else seeds[:1])
        }
        rows += rows_of(name, parts, events, **how)
    for name, part in published.items():
        rows += rows_of(name, {0: part}, events, **how)
    firmware = _firmware_part(run, events)
    if firmware is not None:
        rows += rows_of("firmware", {run.config.seed: firmware}, events, **how)
    return sorted(rows, key=_place)


def _place(row: dict[str, Any]) -> int:
    """Where a row stands: what learns nothing first, then what learns from QCD, the firmware, what sees signals.

    >>> _place({"learning": "none", "model": "observables"}) < _place({"learning": "signals", "model": "bdt"})
    True
    """
    last = {"published CoDAE": 2, "firmware": 4}
    return {"none": 0, "background": last.get(row["model"], 1), "cms": 3, "signals": 5}[row["learning"]]


def _part_of(run: "Run", name: str, seed: int, events: Any, out: Path) -> Any:
    """One system with one seed, scored: kept, or trained (or taken from its training) and scored now."""
    from codae_l1.data.base.keep import digest
    from codae_l1.models.systems.base import LabelledEvents
    from codae_l1.scripts.studies.comparison import Part, timing
    from codae_l1.scripts.train import system_inputs, train_system, untrained_scores

    file = out / "parts" / f"{name}-seed-{seed}.npz"
    key = digest([system_inputs(run, name, seed), events.key])
    part = Part.load(file, key)
    if part is not None:
        print(f"{name}, seed {seed}: kept", flush=True)
        return part
    system, seconds = train_system(run, name, seed)
    started = time.time()
    scores = system.scores(events.images)
    scores = {column: getattr(events, column).astype(float) for column in system.record_scores} | scores
    spent = time.time() - started
    record = {"key": key, "main_score": system.main_score, "learning": system.learning, "seconds": seconds + spent}
    record |= {"parameters": system.parameters, "macs": system.macs, **timing(system, events.images)}
    if measures := system.classification(LabelledEvents(events.images, events.signal)):
        record["classification"] = measures
    part = Part(scores, record, untrained_scores(run, system, events.images))
    part.save(file)
    print(f"{name}, seed {seed}: trained in {seconds:.0f} s, scored in {spent:.0f} s", flush=True)
    return part


def _firmware_part(run: "Run", events: Any) -> Any:
    """The RTL's words of the run's firmware as a part; None, with a line that says so, where the run has none."""
    from codae_l1.data.pooling import input_counts
    from codae_l1.models.evaluation.macs import count_macs
    from codae_l1.quantization.f_m.network import FirmwareModel
    from codae_l1.scripts.studies.comparison import Part

    try:
        quantized, made = run.require("quantize"), run.require("synthesize")
    except InputError as error:
        print(f"firmware: left out, {error}", flush=True)
        return None
    counts, model = (
        input_counts(events.images, run.config.firmware.pooling),
        FirmwareModel.load(run.path("quantize", "f_m.npz")),
    )
    record = {"main_score": "rtl", "learning": "background", "parameters": quantized["parameters"]}
    record |= {"macs": count_macs(model.model), "lut": made["resources"]["LUT"], "latency_ns": made["latency_ns"]}
    emulator, started = run.executor("emulator"), time.process_time()
    emulator.predict_words(counts)
    record |= {"cpu_ms": 1e3 * (time.process_time() - started) / len(counts), "how": "C++ emulator, all at once"}
    return Part({"rtl": run.executor("rtl").scores(counts)}, record)


def _describe(run: "Run", rows: list[dict[str, Any]], events: Any, seeds: list[int]) -> dict[str, Any]:
    """Everything of the comparison, JSON-ready."""
    import numpy as np

    from codae_l1.data.events import SIGNALS
    from codae_l1.scripts.run.folder import stamp
    from codae_l1.scripts.studies.comparison import checks

    signals = {s: int(np.sum(events.signal == s)) for s in SIGNALS if s in events.signal}
    return {
        "command": shlex.join(["python", *sys.argv]),
        "seeds": seeds,
        "background": events.background,
        "events": {"what": events.what, "background": int(events.is_background.sum()), "signals": signals},
        "luminosity_cm2s": run.config.evaluation.luminosity_cm2s,
        "bootstrap": run.config.evaluation.bootstrap,
        "checks": checks(rows),
        "rows": rows,
        "stamp": stamp(run.config.seed),
    }


def _write(content: dict[str, Any], out: Path, page_path: Path | None) -> str:
    """comparison.json, comparison.md and the figures; the page and its figures where one is asked for. The tables."""
    import matplotlib

    from codae_l1.data.base.files import read_json, whole_file, write_json
    from codae_l1.scripts.reports.comparison_figures import FIGURES
    from codae_l1.scripts.reports.comparison_report import markdown
    from codae_l1.scripts.reports.figures import save_svg

    write_json(out / "comparison.json", content)
    text = markdown(content)
    written = {out / "comparison.md": text.encode()}
    for name, (_, figure) in FIGURES.items():
        with matplotlib.rc_context({"svg.fonttype": "none"}):  # letters as text: a quarter of the size
            save_svg(figure(content), out / f"{name}.svg")
    if page_path is not None:
        for name in FIGURES:
            written[page_path.parent / f"{page_path.stem}-{name}.svg"] = (out / f"{name}.svg").read_bytes()
        rows = [{key: value for key, value in row.items() if key != "roc"} for row in content["rows"]]
        write_json(_record_of(page_path), {**content, "rows": rows})
        written[page_path] = _page_of(read_json(_record_of(page_path)), page_path).encode()
    for path, content_of in written.items():
        with whole_file(path) as temporary:
            temporary.write_bytes(content_of)
    return text


def _record_of(page_path: Path) -> Path:
    """Where the numbers of a page lie: results/ beside it.

    >>> _record_of(Path("docs/comparison.md")).as_posix()
    'docs/results/comparison.json'
    """
    return page_path.parent / "results" / f"{page_path.stem}.json"


def _page_of(content: dict[str, Any], page_path: Path) -> str:
    """The page that `content` makes, with links to the figures beside it."""
    from codae_l1.scripts.reports.comparison_figures import FIGURES
    from codae_l1.scripts.reports.comparison_report import page

    return page(content, {title: f"{page_path.stem}-{name}.svg" for name, (title, _) in FIGURES.items()})


if __name__ == "__main__":
    cli.run(command)
