"""Stage synthesize: the firmware f_m as Verilog, its clocks counted in simulation, its resources; vendor tools' too.

    python scripts/synthesize.py --run runs/demo

Reads quantize/f_m.npz and convert/hls4ml/. Writes synthesize/rtl/ and synthesize.json.
"""

from typing import TYPE_CHECKING, Any

from codae_l1.scripts.run import cli, stage

if TYPE_CHECKING:
    from codae_l1.scripts.run.run import Run


def work(run: "Run") -> dict[str, Any]:
    """Trace and write the RTL, count its clocks in simulation, map it with Yosys; Vitis HLS and Vivado if on PATH."""
    cli.import_tensorflow()
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.network.records import firmware_network
    from codae_l1.hls.rtl.build import build_rtl
    from codae_l1.hls.rtl.clocks import count_clocks
    from codae_l1.hls.vendor.run import run_vendor
    from codae_l1.scripts.run.cli import Progress
    from codae_l1.scripts.run.executors import open_firmware

    firmware, config, folder = open_firmware(run), run.config.hls, run.path("synthesize", "rtl")
    with Progress("synthesize, RTL") as progress:
        design = build_rtl(*firmware_network(firmware), config, folder, progress)
    clocks = count_clocks(folder)
    with Progress("synthesize, Yosys") as progress:
        report = synthesize(folder, config, progress, clocks)
    with Progress("synthesize, vendor") as progress:
        vendor = run_vendor(run.path("convert", "hls4ml"), config, progress, folder, report, strict=False)
    resources = report["resources"]
    return {
        "summary": f"{resources['LUT']:,} LUT, {resources['FF']:,} FF, {resources['DSP']} DSP, {resources['BRAM_18K']} "
        f"BRAM by {resources['tool']}; {report['latency_cycles']} cycles = {report['latency_ns']:g} ns",
        **report,
        "design": design.as_dict(),
        "clocks": clocks.as_dict(),
        "vendor": vendor,
    }


if __name__ == "__main__":
    stage.main("synthesize", work, __doc__)
