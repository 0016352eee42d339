"""Beyond the mask: what the firmware network gains from energies at about equal cost, as a table.

    python scripts/inputs.py --config scripts/configs/scan.toml --jobs 2

The run's own network ([firmware], [distill]) reads the track mask alone, then with track pT, then with ECAL and HCAL,
too, with as many filters less as it has inputs more. With energies it learns the score itself, or the score's excess
over what QCD of the same energies has (distill.given_energies). Each is trained on QCD with several seeds and judged by
the validation events; Yosys maps the first. Trainings are kept in scan/trials/: the same command goes on where it
stopped. Writes scan/inputs.json and scan/inputs.md.
"""

import dataclasses
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import whole_file, write_json
from codae_l1.scripts.run import cli, stage

# What is read, and whether the excess over QCD of the same energies is learnt.
VARIANTS = (
    (("tracks",), False),
    (("tracks", "track_pt"), False),
    (("tracks", "track_pt"), True),
    (("tracks", "track_pt", "ecal", "hcal"), False),
    (("tracks", "track_pt", "ecal", "hcal"), True),
)
# Bits of the input words, the same for all: 63 steps of energy before a cell saturates.
COUNT_BITS = 6


def command() -> None:
    """Parse the arguments, make data and full model, train each variant, write the table."""
    parser = cli.parser(__doc__)
    stage.add_run_arguments(parser)
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, each on one core of this machine")
    parser.add_argument("--scheduler", help="address of a Dask scheduler, tcp://host:port, instead of --jobs")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each variant")
    arguments = parser.parse_args()
    for name in ("jobs", "seeds"):
        if getattr(arguments, name) < 1:
            raise InputError(f"--{name} {getattr(arguments, name)}", "a number >= 1", "correct it")
    run = stage.open_run(arguments.run, arguments.config, arguments.update)
    cli.import_tensorflow()
    from codae_l1.scripts import make_data, train
    from codae_l1.scripts.reports.scan_report import baselines
    from codae_l1.scripts.scan import connect, evaluator
    from codae_l1.scripts.studies.scan_data import ScanData, prepare

    stage.do(run, "make_data", make_data.work)
    stage.do(run, "train", train.work)
    with cli.Progress("inputs, data") as progress:
        data = prepare(run, progress)
    with connect(arguments.jobs, arguments.scheduler) as client, cli.Progress("inputs") as progress:
        rows = compare(run, evaluator(run, data, client, progress), arguments.seeds)
    print(write(run, rows, baselines(run, ScanData(data))))


def compare(run: Any, evaluate: Any, seeds: int) -> list[dict[str, Any]]:
    """One row a variant: inputs, given_energies, LUT and FF of the first seed, AUC as mean and spread over seeds."""
    from codae_l1.scripts.reports.scan_report import summary
    from codae_l1.scripts.scan import make_request

    numbers = range(run.config.seed, run.config.seed + seeds)
    requests = []
    for inputs, given in VARIANTS:
        # Filters times inputs stay: about the same adders.
        share = len(inputs)
        convs = tuple(dataclasses.replace(c, filters=max(c.filters // share, 1)) for c in run.config.firmware.conv)
        firmware = dataclasses.replace(run.config.firmware, inputs=inputs, count_bits=COUNT_BITS, conv=convs)
        distill = dataclasses.replace(run.config.distill, given_energies=given)
        for seed in numbers:
            made = make_request(run, firmware, distill, "distilled", seed, seed == numbers[0])
            # All are trained, also those out of the scan's budget: the table says what they cost.
            requests.append({**made, "max_lut": 10**9, "max_latency_ns": 1e9})
    results = evaluate(requests)
    rows = []
    for i, (inputs, given) in enumerate(VARIANTS):
        of = {"number": i, "choices": {"inputs": inputs, "given_energies": given}}
        rows.append(summary({**of, "results": results[i * seeds : (i + 1) * seeds]}))
    return rows


def write(run: Any, rows: list[dict[str, Any]], known: dict[str, Any]) -> str:
    """inputs.json and inputs.md; returns the table."""
    from codae_l1.scripts.run.folder import stamp

    made = stamp(run.config.seed)
    write_json(run.path("scan", "inputs.json"), {"rows": rows, "baselines": known, "stamp": made})
    text = markdown(rows, known, made)
    with whole_file(run.path("scan", "inputs.md")) as temporary:
        temporary.write_text(text)
    return text


def markdown(rows: list[dict[str, Any]], known: dict[str, Any], made: dict[str, Any]) -> str:
    """The table, AUC in %: baselines, then each variant, mean +- spread over seeds."""
    signals = list(rows[0]["auc"])
    lines = ["| inputs, target | LUT | " + " | ".join(signals) + " |", "|---|---:|" + "---:|" * len(signals)]
    for name, row in known.items():
        cells = [f"{100 * row['auc'][s]['value']:.1f}" for s in signals]
        lines.append(f"| {name} |  | " + " | ".join(cells) + " |")
    for row in rows:
        name = " + ".join(row["choices"]["inputs"]) + (", given energies" if row["choices"]["given_energies"] else "")
        cells = [f"{100 * row['auc'][s]['value']:.1f}{_error(row['auc'][s]['spread'])}" for s in signals]
        lines.append(f"| {name} | {row['lut']:,.0f} | " + " | ".join(cells) + " |")
    note = (
        f"Integer words on validation events; mean and spread of {rows[0]['seeds']} seeds, LUT by Yosys of the first. "
        f"Seed {made['seed']}, commit {made['commit']}."
    )
    return "\n".join([*lines, "", note]) + "\n"


def _error(spread: float | None) -> str:
    return "" if spread is None else f" ± {100 * spread:.1f}"


if __name__ == "__main__":
    cli.run(command)
