"""Search for the firmware network: topology, bits, pruning and target against its merit and LUT, as a Pareto front.

    python scripts/scan.py --config scripts/configs/scan.toml --jobs 2

Trains the run's full model first where that is not done. Then Optuna asks for designs, a cost model refuses those that
cannot fit, Dask trains the others (--jobs processes here, or --scheduler tcp://host:port, whose workers must see the
same folders), and the front is trained again with the run's own schedule and several seeds and mapped by Yosys. Each
finished training is kept in scan/trials/ by its content: the same command goes on where it stopped, and no design is
trained twice. Designs are judged by validation events; the test split is not looked at. Writes scan/scan.json, scan.md,
pareto.svg and a config best_<LUT>.toml for each of scan.lut_budgets, which run_chain.py takes.

    python scripts/scan.py --config scripts/configs/scan_zero_bias.toml --jobs 2

A search for auto-encoders of zero bias and distances from it (scan.space.training = ["zero_bias"]) needs no full model.
A design is worth the mean efficiency of scan.signals at the first of trigger.points, on the validation crossings; what
it fires beyond the menu is the third axis of the front.

    python scripts/scan.py --config scripts/configs/scan.toml --variants energies --jobs 2

--variants energies trains variants of the run's own network instead, with energies beside the track mask, as
scripts/studies/energies.py lists them, by the same workers into the same scan/trials/. Writes scan/inputs.json and
scan/inputs.md.
"""

import dataclasses
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.events import ZERO_BIAS
from codae_l1.hls.target.size import LARGEST_ARRAY, predict_size
from codae_l1.quantization.search import design, front, suggest
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.options import Companions
from codae_l1.scripts.run.run import Run
from codae_l1.scripts.studies.scan_data import prepare
from codae_l1.scripts.studies.scan_workers import Evaluate, connect, evaluator, make_request

# What the sampler is told of a design that was refused: as good as guessing.
GUESSING = 0.5
# Proposals a trained network, at which a space of designs that are all too large ends.
_ATTEMPTS = 20


def command() -> None:
    """Parse the arguments, make data and full model, search, finish the front, write."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument("--jobs", type=int, default=2, help="parallel trainings, each on one core of this machine")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, tcp://host:port, instead of --jobs")
    parser.add_argument("--variants", choices=("energies",), help="train these variants instead of a search")
    variants = Companions(parser, "--variants")
    variants.add("--seeds", "trainings of each variant", 3, type=int)
    arguments = parser.parse_args()
    variants.settle(arguments)
    for name in ("jobs", "seeds"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} {getattr(arguments, name)}", "a number >= 1", "correct it")
    run = stage.open_run(arguments.run, arguments.config, arguments.update)
    cli.import_tensorflow(run.config.training.deterministic)
    crossings = run.config.scan.space.on_crossings
    if crossings:
        _check_crossings(run, arguments.variants)
    for name in () if crossings else ("make_data", "train"):
        work = __import__(f"codae_l1.scripts.{name}", fromlist=["work"]).work
        stage.do(run, name, work)
    from codae_l1.scripts.reports.scan_report import write_report
    from codae_l1.scripts.studies.energies import compare_energies

    with cli.Progress("scan, data") as progress:
        data = run.folder if crossings else prepare(run, progress)
    with connect(arguments.jobs, arguments.scheduler) as client, cli.Progress("scan") as progress:
        evaluate = evaluator(run, data, client, progress)
        if arguments.variants:
            text = compare_energies(run, data, evaluate, arguments.seeds)
        else:
            trials = _search(run, evaluate)
            text = write_report(run, data, trials, _finish(run, trials, evaluate))
    print(text)


def _check_crossings(run: Run, variants: str | None) -> None:
    """InputError unless a search on zero-bias crossings has what it learns from, and what it judges a design by."""
    from codae_l1.data.formats.crossing_file import CrossingFile

    trigger = run.config.trigger
    if variants:
        raise InputError(
            f"--variants {variants} with scan.space.training = zero_bias",
            "designs that learn from the full model",
            "leave --variants out, or change scan.space.training",
        )
    if trigger.crossings == "none":
        raise InputError(
            'trigger.crossings = "none" with scan.space.training = zero_bias',
            "crossings that a distance learns from",
            'say "sample" or name a file',
        )
    file = CrossingFile(trigger.path)
    missing = [name for name in (ZERO_BIAS, *run.config.scan.signals) if not len(file.where(name, "validation"))]
    if missing:
        raise InputError(
            f"{file.path} without {', '.join(missing)} in the validation split",
            "zero bias and each of scan.signals, to choose a design by",
            "make crossings with them (scripts/make_data.py --layout crossings), or change scan.signals",
        )


def _search(run: Run, evaluate: Evaluate) -> list[dict[str, Any]]:
    """Every design asked for, in order: choices, and its result; batches make it the same for any number of workers."""
    import optuna

    config, seed = run.config.scan, run.config.seed
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(config.trials // 3, 2))
    study = optuna.create_study(directions=("maximize", *("minimize" for _ in _costs(run))), sampler=sampler)
    records: list[dict[str, Any]] = []
    trained: set[str] = set()
    while len(trained) < config.trials and len(records) < _ATTEMPTS * config.trials:
        batch: list[tuple[Any, dict[str, Any]]] = []
        room = min(config.batch, config.trials - len(trained), _ATTEMPTS * config.trials - len(records))
        for _ in range(_ATTEMPTS * room):
            trial = study.ask()
            record = _screen(run, trial, len(records) + len(batch))
            if "request" in record:
                batch.append((trial, record))
                if len(batch) == room:
                    break
            else:
                study.tell(trial, _told(run, record))
                records.append(record)
        results = evaluate([record["request"] for _, record in batch])
        for (trial, record), result in zip(batch, results, strict=True):
            study.tell(trial, _told(run, result))
            repeated = result["key"] in trained
            records.append({**record, **result, **({"state": "repeated"} if repeated else {})})
            trained |= {result["key"]} if result["state"] == "trained" else set()
    return sorted(records, key=lambda record: record["number"])


def _costs(run: Run) -> tuple[str, ...]:
    """What a design is to have little of: LUT and, at a rate of zero-bias crossings, what it adds to the menu."""
    return ("lut", "pure_khz") if run.config.scan.space.on_crossings else ("lut",)


def _told(run: Run, result: dict[str, Any]) -> list[float]:
    """What the sampler is told of a result: its merit and its costs. One without a pure rate adds all of its rate."""
    config = run.config
    guessing = 0.0 if config.scan.space.on_crossings else GUESSING
    costs = [result.get(name, config.trigger.crossing_khz) for name in _costs(run)]
    return [result.get("merit_mean", guessing), *costs]


def _screen(run: Run, trial: Any, number: int) -> dict[str, Any]:
    """The design that a trial asks for, as a record: with a request, or rejected where it cannot be or fit."""
    from codae_l1.hls.cost.lut_model import effective_bits, estimate_lut

    config = run.config.scan
    choices = suggest(trial, config.space)
    record: dict[str, Any] = {"number": number, "choices": choices}
    short = dataclasses.replace(run.config.distill, steps=config.steps, qat_steps=config.qat_steps)
    try:
        firmware, distill = design(choices, short)
    except InputError as error:
        # Its size is not known; it counts as the largest that may be.
        return {**record, "state": "rejected", "reason": str(error), "lut": config.max_lut}
    if config.space.on_crossings:
        return {**record, "request": make_request(run, firmware, distill, choices["training"], run.config.seed, True)}
    expected = estimate_lut("effective_bits", bits := effective_bits(firmware, distill.sparsity))
    record |= {"effective_bits": bits[0], "lut": expected.lut}
    if expected.low > config.max_lut:
        reason = f"at least {expected.low:,.0f} LUT by effective bits, more than {config.max_lut:,}"
        return {**record, "state": "rejected", "reason": reason}
    if predict_size(firmware).largest_array > LARGEST_ARRAY:
        return {**record, "state": "rejected", "reason": f"an array of more than {LARGEST_ARRAY:,} elements"}
    return {**record, "request": make_request(run, firmware, distill, choices["training"], run.config.seed, False)}


def _finish(run: Run, trials: list[dict[str, Any]], evaluate: Evaluate) -> list[dict[str, Any]]:
    """The designs of the front, trained by the run's own schedule with scan.front_seeds seeds, mapped with the first.

    One record a design: the trial's number and choices, and the results.
    """
    seeds, requests, numbers = range(run.config.seed, run.config.seed + run.config.scan.front_seeds), [], []
    chosen = _front_of(run, trials)
    for record in chosen if seeds else ():
        firmware, distill = design(record["choices"], run.config.distill)
        for seed in seeds:
            made = make_request(run, firmware, distill, record["choices"]["training"], seed, seed == seeds[0])
            # The front was found to fit; it is not refused by the coarser estimate now.
            requests.append({**made, "max_lut": 10**9})
            numbers.append(record["number"])
    results = evaluate(requests)
    return [
        {
            "number": record["number"],
            "choices": record["choices"],
            "results": [r for n, r in zip(numbers, results, strict=True) if n == record["number"]],
        }
        for record in chosen
    ]


def _front_of(run: Run, trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trained designs within the budget that no other one beats, cheapest first."""
    config = run.config.scan
    fitting = [
        t
        for t in trials
        if t["state"] == "trained" and t["lut"] <= config.max_lut and t["latency_ns"] <= config.max_latency_ns
    ]
    return front(fitting, [t["merit_mean"] for t in fitting], *([t[name] for t in fitting] for name in _costs(run)))


if __name__ == "__main__":
    cli.run(command)
