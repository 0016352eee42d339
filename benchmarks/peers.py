"""CICADA, the anomaly trigger that runs at CMS, on crossings of this project: what it keeps of signals at a rate.

    python benchmarks/peers.py --cicada CICADA --out peers

Makes zero-bias crossings in strata of the hardest scattering, and crossings of signals without any selection, from a
pool of collisions of their own; of each the 18 x 14 regions are kept (0.5 GeV steps) and the words of sums, no image.
An interrupted command resumes. Then every score is cut where its rate is that of the point:

    CICADA v2p2p0, v2p1p2    the published networks in integers, weights of a checkout (scripts/studies/_cicada.py)
    HT, MET                  the menu's sums (codae_l1.data.menu)
    active_pixels            pixels with a track of the primary vertex
    block_power              the squares of their numbers in blocks of 12 x 12 pixels, added

Prints a table and writes it with all thresholds to peers.json of the folder. Beyond the menu: of crossings that a menu
of HT, MET and jets at 100 kHz does not take. docs/rates.md defines rates and errors, and says what came out.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from crossing_samples import read_config
from peer_words import PeerWords

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import write_json
from codae_l1.data.events import ZERO_BIAS
from codae_l1.data.generation._crossing_chunks import crossing_tasks
from codae_l1.data.generation.config import Work
from codae_l1.data.generation.crossings import make_chunks, read_chunk
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import MenuConfig, solve_menu
from codae_l1.models.evaluation.crossing_rates import Crossings, trigger_points
from codae_l1.scripts.studies._cicada import SCORE_STEPS, read_published

# Regions (n, 18, 14) -> words (n,).
Score = Callable[[np.ndarray], np.ndarray]

SIGNALS = ("h125", "h200", "h400", "svj2100")
# kHz of crossings: 2,544 bunches x 11.245 kHz.
CROSSING_KHZ = 28_607.0
POINTS = ("1e-3", "10 kHz", "5 kHz")
SUMS = ("HT", "MET", "active_pixels", "block_power")


def main() -> int:
    """Make the crossings, score them, print the table."""
    options = _parser().parse_args()
    try:
        networks = {f"CICADA {version}": of.words for version, of in read_published(options.cicada).items()}
        options.out.mkdir(parents=True, exist_ok=True)
        make_chunks(_config(options), PeerWords(), options.out, Work(options.workers, progress=_progress))
        found = results(read_samples(options.out, networks), options.points)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_json(options.out / "peers.json", found)
    print(table(found))
    return 0


def read_samples(folder: Path, scores: Mapping[str, Score]) -> dict[str, list[Crossings]]:
    """Process -> its crossings in a folder of these, in chunks, with the words of sums and of scores of regions."""
    samples: dict[str, list[Crossings]] = {}
    for task in crossing_tasks(read_config(folder)):
        chunk = read_chunk(task, folder)
        words = {name: chunk[f"words/{name}"] for name in (*SUMS, *_menu().shares)}
        words |= {name: score(chunk["regions"]) for name, score in scores.items()}
        crossings = Crossings(words, chunk["weight"], chunk["stratum"].astype(np.int64), chunk["members"])
        samples.setdefault(task.process, []).append(crossings)
    return samples


def results(samples: dict[str, list[Crossings]], points: list[str]) -> dict[str, Any]:
    """Menu, and points -> score -> rates, threshold and efficiencies, as codae_l1's rates.json has them."""
    zero_bias = samples[ZERO_BIAS]
    signals = {name: sample for name, sample in samples.items() if name != ZERO_BIAS}
    menu = solve_menu([c.words for c in zero_bias], [c.weight for c in zero_bias], _menu(), CROSSING_KHZ)
    scores = [name for name in zero_bias[0].words if name not in _menu().shares or name in SUMS]
    rows = trigger_points(zero_bias, signals, points, menu.thresholds, CROSSING_KHZ, scores)
    return {"crossings": sum(c.size for c in zero_bias), "menu": menu.as_dict(), "points": rows}


def table(found: dict[str, Any]) -> str:
    """Points and scores as rows in Markdown; efficiencies in per cent, in brackets those beyond the menu."""
    signals = next(iter(found["points"].values()))["menu"]["efficiency"]
    lines = [["point", "score", "threshold", "rate [kHz]", *signals], ["---"] * (4 + len(signals))]
    for point, rows in found["points"].items():
        for score, row in rows.items():
            if row["efficiency"] is None:
                lines.append([point, score, "-", row["reason"], *["-"] * len(signals)])
            else:
                cells = [_cell(row["efficiency"][name]) for name in signals]
                lines.append([point, score, _threshold(score, row["threshold"]), _rate(row), *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(of: dict[str, float]) -> str:
    value, error, beyond = (100 * of[key] for key in ("value", "error", "beyond_menu"))
    return f"{value:.1f} ± {error:.1f} ({beyond:.1f})"


def _threshold(score: str, word: int | None) -> str:
    if word is None:
        return "-"
    return str(word) if score in SUMS else f"{word / SCORE_STEPS:.2f}"


def _rate(row: dict[str, Any]) -> str:
    return f"{row['rate_khz']:.3g} ± {row['error_khz']:.2g}" if row["rate_khz"] else "not carried"


def _menu() -> MenuConfig:
    return MenuConfig.PRESETS["phase1"]


def _config(options: argparse.Namespace) -> CrossingsConfig:
    return CrossingsConfig(
        n_crossings=(0, 0, 0, options.crossings),
        n_signal=options.signals,
        n_signal_validation=0,
        processes=SIGNALS,
        n_soft=options.soft,
        n_hard=options.hard,
        pileup=(options.pileup,),
        seed=options.seed,
    )


def _progress(done: int, total: int, text: str) -> None:
    print(f"\r{done:,} of {total:,} {text}".ljust(70), end="", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cicada", type=Path, required=True, help="checkout of github.com/cms-hls4ml/CICADA")
    parser.add_argument("--out", type=Path, default=Path("peers"), help="folder of the crossings")
    parser.add_argument("--crossings", type=int, default=60_000, help="zero-bias crossings")
    parser.add_argument("--signals", type=int, default=1000, help="crossings of each signal")
    parser.add_argument("--soft", type=int, default=60_000, help="soft collisions of the pool")
    parser.add_argument("--hard", type=int, default=20_000, help="hard collisions of the pool")
    parser.add_argument("--pileup", type=float, default=50.0, help="mean number of collisions in a crossing")
    parser.add_argument("--points", nargs="+", default=list(POINTS), help="shares of crossings, or rates in kHz")
    parser.add_argument("--seed", type=int, default=20271, help="base of all random numbers")
    parser.add_argument("--workers", type=int, help="local processes (default: all cores)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
