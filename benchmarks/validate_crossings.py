"""Zero-bias crossings against what is known: rates of a trigger that runs, of Level-1 seeds, and the stitching.

    python benchmarks/validate_crossings.py sample.work --cicada CICADA --out validation

The first argument is the work folder that `make_data.py --layout crossings` leaves next to its file. Each part prints
one table (docs/rates.md says what they mean):

    cicada     rates of the published network CICADA on these crossings beside those in data; needs --cicada, a checkout
    level1     jets and sums at thresholds that are calibrated to generated jets, beside seeds in data of 2018
    collisions charged hadrons of inelastic collisions beside measurements at 13 TeV, and the hardest scattering
    stitching  the same rates with slices that begin later, and from a pool of half the size

Errors of rates count collisions; "-" where fewer than ten effective collisions fire.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from crossing_samples import Pool, cut_later, measured, read_config, read_pool, thinned
from inelastic import collision_tables
from jet_response import Responses, measure_responses

from codae_l1.data.base.errors import InputError
from codae_l1.data.generation._pool import SOFT, PoolChunk, make_pool_chunk
from codae_l1.data.generation.crossings_config import CrossingsConfig
from codae_l1.data.menu import menu_words
from codae_l1.data.pooling import TOWER_LSB_GEV
from codae_l1.models.evaluation.crossing_rates import Crossings, total_rate
from codae_l1.scripts.studies._cicada import SCORE_STEPS, read_cicada, region_words

# Threshold of the score -> kHz in zero-bias data of 2024, of CROSSING_KHZ (histograms in github.com/ekauffma/
# MLG_25_001_plots at eca6e89, 47.8 million events; the division is this project's).
CICADA_KHZ = {50: 554.0, 60: 89.0, 70: 17.7, 80: 5.6, 90: 2.3}
CROSSING_KHZ = 28_610.0
# What is changed for each column of the table.
VARIANTS = {
    "as shipped": {},
    "response 0.40": {"hadron_response": 0.40},
    "response 0.44": {"hadron_response": 0.44},
    "pile-up 57": {"pileup": (57.0,)},
    "pile-up 57, response 0.38": {"pileup": (57.0,), "hadron_response": 0.38},
    "every hadron in full": {"hadron_response": 1.0},
    "delphes": {"detector": "delphes"},
}
# Seed -> word of the menu, GeV, crossings that fire, of DATA_CROSSINGS zero-bias crossings of 2018 at a mean pile-up of
# DATA_PILEUP (github.com/cms-l1-dpg/L1MenuTools at 2a1d35f, rate-estimation/plots/
# Run3_ZeroBias_123_20212906_rateVSpileup_PU.csv, lines from pile-up 38 on).
SEEDS = {
    "SingleJet180er2p5": ("jet1", 180, 696),
    "DoubleJet150er2p5": ("jet2", 150, 312),
    "HTT360er": ("HT", 360, 864),
    "HTT400er": ("HT", 400, 587),
    "HTT450er": ("HT", 450, 409),
    "ETMHF100": ("MET", 100, 692),
    "ETMHF120": ("MET", 120, 325),
}
DATA_CROSSINGS, DATA_PILEUP = 8_912_700, 41.39
# Crossings of them that fire ETMHF150. From 140 to 150 GeV their number falls by 6 %, so that most are no falling
# spectrum but energies that saturate; those fire single jets, HTT and ETM, whatever the threshold.
DATA_SATURATED = 228
# Soft collisions of the pool whose slices begin later.
LATER_SOFT, LATER_CHUNK = 21_000, 3000


def main() -> int:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="work folder of a sample of crossings")
    parser.add_argument("--parts", nargs="+", choices=tuple(_PARTS), default=tuple(_PARTS), help="tables to print")
    parser.add_argument("--cicada", type=Path, help="checkout of github.com/cms-hls4ml/CICADA")
    parser.add_argument("--out", type=Path, default=Path("validation"), help="folder for collisions made here")
    parser.add_argument("--crossings", type=int, default=40_000, help="zero-bias crossings of each column")
    parser.add_argument("--collisions", type=int, default=16_000, help="inelastic collisions without a pool")
    parser.add_argument("--seed", type=int, default=1, help="base of all random numbers")
    options = parser.parse_args()
    try:
        config = read_config(options.work)
        for part in options.parts:
            print(f"\n### {part}\n\n{_PARTS[part](config, options)}", flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _cicada(config: CrossingsConfig, options: argparse.Namespace) -> str:
    if options.cicada is None:
        return "Left out: the published weights are not part of this project; --cicada names a checkout."
    network = read_cicada(options.cicada)
    pools = [read_pool(config, split, options.work) for split in ("test", "validation")]
    columns = {}
    for name, changes in VARIANTS.items():
        changed = replace(config, **changes)
        sample = _sample(changed, pools, options, lambda images: {"score": network.words(region_words(images))})
        columns[name] = {t: _rate(sample, {"score": t * SCORE_STEPS}) for t in CICADA_KHZ}
    rows = [
        [str(t), f"{khz:g}", *(f"{_value(*of[t])} ({of[t][0] / khz:.2f})" for of in columns.values())]
        for t, khz in CICADA_KHZ.items()
    ]
    return table(["score", "data, kHz", *columns], rows)


def _level1(config: CrossingsConfig, options: argparse.Namespace) -> str:
    pools = [read_pool(config, split, options.work) for split in ("test", "validation")]
    found = measure_responses(config, pools[0], options.seed)
    changed = replace(config, pileup=(DATA_PILEUP,))
    sample = _sample(changed, pools, options, menu_words)
    rows = [_seed_row(name, sample, found) for name in SEEDS]
    heads = ["seed", "threshold here, GeV", "data", "not saturated", "here", "here / data", "here / not saturated"]
    return f"{found.text()}\n\nPer million crossings at pile-up {DATA_PILEUP:g}:\n\n{table(heads, rows)}"


def _seed_row(name: str, sample: list[Crossings], found: Responses) -> list[str]:
    word, gev, fired = SEEDS[name]
    threshold = gev * found.of(word, gev)
    per_million = 1e6 / DATA_CROSSINGS
    rate, error = _rate(sample, {word: round(threshold / TOWER_LSB_GEV)})
    here = rate * 1e6 / CROSSING_KHZ
    clean = fired if word == "jet2" else fired - DATA_SATURATED
    ratios = (f"{here / (n * per_million):.2f}" for n in (fired, clean))
    return [
        name,
        f"{threshold:.0f}",
        _value(fired * per_million, fired**0.5 * per_million),
        f"{clean * per_million:.3g}",
        *(["-"] * 3 if error is None else [_value(here, error * 1e6 / CROSSING_KHZ), *ratios]),
    ]


def _collisions(config: CrossingsConfig, options: argparse.Namespace) -> str:
    return "\n\n".join(table(heads, rows) for heads, rows in collision_tables(config, options.collisions, options.seed))


def _stitching(config: CrossingsConfig, options: argparse.Namespace) -> str:
    test, train = (read_pool(config, split, options.work) for split in ("test", "train"))
    pools = {
        f"from {config.cuts_gev[0]:g} GeV": test,
        f"from {config.cuts_gev[1]:g} GeV": cut_later(train, _later(config, options)),
        "half the pool": thinned(train, slice(None, None, 2)),
    }
    samples = {
        name: measured(config, pool, options.crossings, [options.seed, i], scores)
        for i, (name, pool) in enumerate(pools.items())
    }
    first = next(iter(samples.values()))
    rows = []
    for word in first.words:
        for share in (1e-2, 1e-3, 1e-4):
            order = np.argsort(first.words[word])[::-1]
            at = np.searchsorted(np.cumsum(first.weight[order]), share * first.weight.sum())
            threshold = int(first.words[word][order[at]])
            rates = [_rate([sample], {word: threshold}) for sample in samples.values()]
            rows.append(
                [
                    word,
                    str(threshold),
                    *(_value(*rate) for rate in rates),
                    *(_pull(rates[0], rate) for rate in rates[1:]),
                ]
            )
    names = list(samples)
    return table(
        ["word", "threshold", *(f"{name}, kHz" for name in names), *(f"pull, {name}" for name in names[1:])], rows
    )


def scores(images: np.ndarray) -> dict[str, np.ndarray]:
    """HT, missing ET, and the number of pixels with a track."""
    words = menu_words(images)
    return {"HT": words["HT"], "MET": words["MET"], "active pixels": (images[..., 0] > 0).sum(axis=(1, 2))}


def _later(config: CrossingsConfig, options: argparse.Namespace) -> list[Path]:
    """Files of soft collisions up to the second cut, made where they are missing."""
    later = replace(config, cuts_gev=config.cuts_gev[1:])
    # Numbers beyond those of the sample's chunks, and a split that the comparison does not use: other collisions.
    chunks = [PoolChunk("validation", SOFT, 900 + k, LATER_CHUNK) for k in range(LATER_SOFT // LATER_CHUNK)]
    options.out.mkdir(parents=True, exist_ok=True)
    for chunk in chunks:
        if not (options.out / chunk.file).exists():
            make_pool_chunk(later, chunk, options.out)
    return [options.out / chunk.file for chunk in chunks]


def _sample(config: CrossingsConfig, pools: list[Pool], options: argparse.Namespace, measure) -> list[Crossings]:
    """Crossings of several pools, as many of each as it has collisions; ids of members differ between pools."""
    sizes = np.array([len(pool.collisions) for pool in pools])
    counts = np.round(options.crossings * sizes / sizes.sum()).astype(int)
    sample, before = [], 0
    for i, (pool, count) in enumerate(zip(pools, counts, strict=True)):
        part = measured(config, pool, count, [options.seed, i], measure)
        sample.append(replace(part, members=np.where(part.members >= 0, part.members + before, -1)))
        before += len(pool.collisions)
    return sample


def _rate(sample: list[Crossings], fires: dict[str, int]) -> tuple[float, float | None]:
    """Rate and error, kHz; no error where the sample does not carry the rate."""
    found = total_rate(sample, fires, CROSSING_KHZ)
    [(name, threshold)] = fires.items()
    fired = sum(float(part.weight[part.words[name] >= threshold].sum()) for part in sample)
    return CROSSING_KHZ * fired / sum(float(part.weight.sum()) for part in sample), found.error_khz


def _value(value: float, error: float | None) -> str:
    return f"{value:.3g} ± {'-' if error is None else f'{error:.2g}'}"


def _pull(a: tuple[float, float | None], b: tuple[float, float | None]) -> str:
    return "-" if a[1] is None or b[1] is None else f"{(b[0] - a[0]) / np.hypot(a[1], b[1]):+.1f}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


_PARTS = {"cicada": _cicada, "level1": _level1, "collisions": _collisions, "stitching": _stitching}

if __name__ == "__main__":
    sys.exit(main())
