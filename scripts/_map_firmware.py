"""The firmware figures of a network that was trained elsewhere: from its f_m.npz alone, without a run or a training."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import sha256, write_json
from codae_l1.scripts.run import cli

# Seed of the random inputs on which the words are compared, and their number.
_SEED, _EVENTS = 1, 2000


def map_file(arguments: Namespace) -> None:
    """Write OUT/rtl/ and OUT/synthesize.json of the network in a file; print resources, latency and mismatches.

    arguments: those of scripts/synthesize.py. InputError where they belong to a run; status 1 where words differ.
    """
    if arguments.out is None or arguments.run is not None or arguments.update:
        raise InputError(
            "--firmware " + ("without --out" if arguments.out is None else "with --run or --update"),
            "--firmware FILE --out DIR, and --config for another [hls] than the demo's",
            "name a folder to write, and leave the run out",
        )
    cli.output("--out", arguments.out, "folder of a mapped network", (cli.existing(str(arguments.firmware)),))
    from codae_l1.scripts.run.config import RunConfig, load_config

    config = load_config(arguments.config).hls if arguments.config else RunConfig().hls
    cli.import_tensorflow()
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.network.mismatch import compare
    from codae_l1.hls.network.records import firmware_network
    from codae_l1.hls.rtl.build import RtlSimulation, build_rtl
    from codae_l1.hls.rtl.clocks import count_clocks
    from codae_l1.scripts.run.folder import stamp
    from codae_l1.scripts.studies.projects import fail_where_different

    rtl: Path = arguments.out / "rtl"
    firmware, counts = read_firmware(arguments.firmware)
    with cli.Progress("synthesize, RTL") as progress:
        build_rtl(*firmware_network(firmware), config, rtl, progress)
    with cli.Progress("synthesize, Yosys") as progress:
        report = synthesize(rtl, config, progress, count_clocks(rtl))
    found, sum_ = compare(firmware, RtlSimulation(rtl, config.jobs), counts), sha256(arguments.firmware)
    record = {"sha256": sum_, **report, "comparison": found.as_dict(), "stamp": stamp(_SEED)}
    write_json(arguments.out / "synthesize.json", record)
    of = report["resources"]
    print(
        f"{arguments.firmware}, SHA-256 {sum_}\n"
        f"{of['LUT']:,} LUT, {of['FF']:,} FF, {of['DSP']} DSP, {of['BRAM_18K']} BRAM by {of['tool']}; "
        f"{report['latency_cycles']} cycles = {report['latency_ns']:g} ns, II = {report['interval_cycles']}"
        f"{report['beyond_reach'] and '; ' + report['beyond_reach']}\n{found}",
        flush=True,
    )
    fail_where_different([record])


def read_firmware(path: Path) -> tuple[Any, Any]:
    """The QKeras model of a file; counts (N, phi, eta, inputs) int64 on which its words are compared."""
    from codae_l1.hls.network.mismatch import adversarial_counts
    from codae_l1.quantization.f_m.network import FirmwareModel

    firmware = FirmwareModel.load(path)
    return firmware, adversarial_counts(firmware.config, _SEED, _EVENTS)
