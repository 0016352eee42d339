"""Export a run's firmware: C++ emulator, golden vectors, Verilog with its testbenches, interface file, checksums.

    python scripts/export.py --run runs/demo --out exports/f_m_v1 --namespace f_m_v1
    sh exports/f_m_v1/selftest.sh

The first vectors are events of the run's test split, with their towers; the others make towers or words overflow. The
words are those of QKeras. Thresholds are those of the run's working points on zero-bias crossings (trigger.points), of
--points, or of --rates of weighted QCD; a point that the sample cannot support is reported and never fires.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.config import parse
from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_table
from codae_l1.data.pooling import PoolingConfig
from codae_l1.hls.trigger.export_config import ExportConfig, check_namespace, check_slices, check_target
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.tables import with_error

# Random inputs in addition to the events, single cells and full images.
RANDOM_EVENTS = 200
# ns, of LHC bunch crossings.
CROSSING_NS = 25.0


def command() -> None:
    """Parse the arguments, export, say where."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage synthesize done")
    parser.add_argument("--out", type=Path, required=True, help="folder to write: a new one, or an older export")
    parser.add_argument("--namespace", default="codae", help="C++ namespace and name of the emulator's files")
    parser.add_argument("--events", type=int, default=200, help="test events among the vectors; all, if fewer")
    parser.add_argument("--slices", type=int, default=1, help="cycles over which the towers of an event arrive")
    parser.add_argument(
        "--points", nargs="+", metavar="POINT", help="working points, such as 1e-3 '1 kHz pure' (default: the run's)"
    )
    parser.add_argument("--rates", type=float, nargs="+", metavar="KHZ", help="working points at rates of weighted QCD")
    parser.add_argument("--simulate", action="store_true", help="also run the testbenches with Verilator")
    parser.add_argument("--trust", **stage.TRUST)
    arguments = parser.parse_args()
    _check(arguments)
    run = stage.open_run(arguments.run, None, trust=arguments.trust)
    cli.output("--out", arguments.out, "folder", run=run.folder)
    cli.import_tensorflow()

    from codae_l1.hls.network.mismatch import adversarial_counts
    from codae_l1.hls.rtl.verilator import SIMULATION_LIBRARY
    from codae_l1.hls.trigger.export import export
    from codae_l1.scripts.run.events import read_split
    from codae_l1.scripts.run.executors import open_firmware

    report, firmware = run.require("synthesize"), open_firmware(run)
    check_slices(arguments.slices, firmware.config.pooling)
    events, seed = read_split(run, "test", background_only=False), run.config.seed
    chosen = np.linspace(0, len(events) - 1, min(arguments.events, len(events))).astype(int)
    counts = adversarial_counts(firmware.config, seed, RANDOM_EVENTS)
    options = ExportConfig(arguments.namespace, arguments.slices, arguments.simulate, seed=seed)
    facts = {"resources": report["resources"], "stamp": report["stamp"]}
    rtl = run.path("synthesize", "rtl")
    run.library("synthesize", rtl / SIMULATION_LIBRARY)
    asked = arguments.points or arguments.rates
    points = run.working_points(arguments.rates, points=arguments.points) if asked else run.working_points()
    with cli.Progress("export") as progress:
        interface = export(
            firmware,
            rtl,
            events.images[chosen],
            counts,
            points,
            run.config.hls,
            arguments.out,
            options,
            facts,
            progress,
        )
    print(_summary(interface))
    print(arguments.out)


def _check(arguments: Any) -> None:
    """Say what cannot be exported before anything is loaded: InputError."""
    if arguments.events < 1:
        raise InputError(f"--events {arguments.events}", "a number >= 1", "correct it")
    rates = arguments.rates or []
    if not all(0 < rate < np.inf for rate in rates) or len({f"{rate:g}" for rate in rates}) < len(rates):
        raise InputError(f"--rates {rates}", "different finite numbers above zero, in kHz", "correct them")
    if arguments.points and rates:
        raise InputError("--points and --rates", "one of them", "leave one out")
    check_namespace(arguments.namespace)
    check_target(arguments.out, arguments.run)
    stored = arguments.run / "config.json"
    if stored.is_file():
        table = read_table(stored).get("firmware", {})
        known = {key: table[key] for key in ("pool",) if key in table} if isinstance(table, dict) else table
        check_slices(arguments.slices, parse(PoolingConfig, known, f"{stored}: firmware"))


def _summary(interface: dict[str, Any]) -> str:
    """What was exported, in a few lines: vectors, latency, resources, what each working point lets through."""
    trigger, cost, simulated = interface["trigger"], interface["resources"], interface["simulated"]
    every_ns = trigger["initiation_interval"] * trigger["latency_ns"] / trigger["latency_cycles"]
    copies = math.ceil(round(every_ns / CROSSING_NS, 9))
    lines = [
        f"{interface['vectors']['events']} vectors, self-test passed, checksum {interface['checksum'][:12]}",
        f"towers to accept bits: {trigger['latency_cycles']} cycles = {trigger['latency_ns']:g} ns, an event every "
        f"{trigger['initiation_interval']}; {cost['whole']['LUT']:,} LUT, {cost['whole']['FF']:,} FF, of which pooling "
        f"and thresholds {cost['trigger']['wrapper']['LUT']:,} and {cost['trigger']['wrapper']['FF']:,}",
    ]
    if copies > 1:
        said = f"an event every {every_ns:g} ns, crossings every {CROSSING_NS:g} ns"
        lines.append(f"{said}: {copies} copies in turn take all of them")
    for point in interface["decision"]["working_points"]:
        if point["threshold_word"] is None:
            lines.append(f"{point['name']}: not carried, never fires ({point['reason']})")
            continue
        if "pure_khz" in point:
            lines.append(f"{point['name']}: score >= {point['threshold_word']}, {_zero_bias_rate(point)}")
            continue
        rate = (
            f"rate not known ({point['rate_reason']})"
            if point["rate_khz"] is None
            else f"{with_error(point['rate_khz'], point['error_khz'])} kHz of QCD, "
            f"{100 * point['passing_share']:.2g} % of the sample's {point['total_khz']:.3g} kHz"
        )
        lines.append(f"{point['name']}: score >= {point['threshold_word']}, {rate}")
    return "\n".join(lines + [f"{name}: {said}" for name, said in {**interface["executed"], **simulated}.items()])


def _zero_bias_rate(point: dict[str, Any]) -> str:
    """Rate and pure rate of a working point on zero-bias crossings, in words."""
    rates = (("rate_khz", "error_khz", ""), ("pure_khz", "pure_error_khz", " beyond the menu"))
    said = [f"{with_error(point[k], point[e])} kHz{what}" for k, e, what in rates if point[k] is not None]
    return f"{', '.join(said)}, of {point['crossing_khz']:,.0f} kHz of crossings"


if __name__ == "__main__":
    cli.run(command)
