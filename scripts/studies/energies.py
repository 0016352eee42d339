"""Beyond the mask: what the firmware network gains from energies at about equal cost, as a table.

The run's own network ([firmware], [distill]) reads the track mask alone, then the mask with track pT, then with ECAL
and HCAL as well; the filters are divided by the number of inputs, which keeps the number of adders about the same. With
energies it learns the score itself, or the score's excess over that of QCD with the same energies
(distill.given_energies). Each variant is trained on QCD with several seeds and judged by the validation events; Yosys
maps the first seed. Writes scan/inputs.json and scan/inputs.md.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codae_l1.data.base.files import whole_file, write_json
from codae_l1.quantization.f_m.config import FirmwareConfig
from codae_l1.scripts.run.folder import stamp
from codae_l1.scripts.run.tables import markdown_table
from codae_l1.scripts.studies.scan_data import ScanData
from codae_l1.scripts.studies.scan_results import baselines, summary
from codae_l1.scripts.studies.scan_workers import Evaluate, make_request

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run

# What is read, and whether the excess over QCD of the same energies is learnt.
VARIANTS = (
    (("tracks",), False),
    (("tracks", "track_pt"), False),
    (("tracks", "track_pt"), True),
    (("tracks", "track_pt", "ecal", "hcal"), False),
    (("tracks", "track_pt", "ecal", "hcal"), True),
)
# Bits of the input words, the same for all: 63 steps of energy before a cell saturates.
_COUNT_BITS = 6


def compare_energies(run: "Run", data: Path, evaluate: Evaluate, seeds: int) -> str:
    """Train each variant with some seeds and write both files; returns the table. data: folder of scan_data.prepare."""
    rows, known, made = _energy_rows(run, evaluate, seeds), baselines(run, ScanData(data)), stamp(run.config.seed)
    write_json(run.path("scan", "inputs.json"), {"rows": rows, "baselines": known, "stamp": made})
    text = _energy_table(rows, known, made)
    with whole_file(run.path("scan", "inputs.md")) as temporary:
        temporary.write_text(text)
    return text


def _energy_rows(run: "Run", evaluate: Evaluate, seeds: int) -> list[dict[str, Any]]:
    """One row per variant: inputs, given_energies, LUT and FF of the first seed, AUC as mean and spread over seeds."""
    numbers = range(run.config.seed, run.config.seed + seeds)
    requests, base = [], run.config.firmware
    if base.distance:
        base = FirmwareConfig.PRESETS["distilled"]
    for inputs, given in VARIANTS:
        # Filters times inputs stay: about the same adders.
        share = len(inputs)
        convs = tuple(dataclasses.replace(c, filters=max(c.filters // share, 1)) for c in base.conv)
        firmware = dataclasses.replace(base, inputs=inputs, count_bits=_COUNT_BITS, conv=convs)
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


def _energy_table(rows: list[dict[str, Any]], known: dict[str, Any], made: dict[str, Any]) -> str:
    """The table, AUC in %: baselines, then each variant, mean +- spread over seeds."""
    signals = list(rows[0]["merit"])
    lines = [[name, "", *(f"{100 * row['merit'][s]['value']:.1f}" for s in signals)] for name, row in known.items()]
    for row in rows:
        name = " + ".join(row["choices"]["inputs"]) + (", given energies" if row["choices"]["given_energies"] else "")
        cells = [f"{100 * row['merit'][s]['value']:.1f}{_error(row['merit'][s]['spread'])}" for s in signals]
        lines.append([name, f"{row['lut']:,.0f}", *cells])
    note = (
        f"Integer words on validation events; mean and spread of {rows[0]['seeds']} seeds, LUT by Yosys of the first. "
        f"Seed {made['seed']}, commit {made['commit']}."
    )
    return f"{markdown_table(('inputs, target', 'LUT', *signals), lines, numbers_from=1)}\n\n{note}\n"


def _error(spread: float | None) -> str:
    return "" if spread is None else f" ± {100 * spread:.1f}"
