"""Place and route a run's firmware on an open FPGA family (Lattice ECP5): utilisation, achieved clock, bitstream.

    python scripts/place.py --run runs/demo
    python scripts/place.py --run runs/demo --out-of-context

Yosys maps the RTL, nextpnr places and routes it, ecppack writes the bitstream (extra `place`). Figures are those of
that chip. Resumable. Writes place/board.json or place/out_of_context.json; the run's next report shows it.
docs/estimates.md has more.
"""

from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run import later as further


def command() -> None:
    """Parse the arguments, place and route, say what came out."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage synthesize done")
    parser.add_argument("--out-of-context", action="store_true", help="the pipeline alone: no harness, no bitstream")
    parser.add_argument("--seed", type=int, default=1, help="of the placer")
    parser.add_argument("--timeout-s", type=float, default=14_400.0, help="longest run of one step [s]")
    parser.add_argument("--quiet", action="store_true", help="do not follow the tools' output")
    arguments = parser.parse_args()
    if not arguments.timeout_s > 0:
        raise InputError(f"--timeout-s {arguments.timeout_s:g}", "a number above zero", "correct it")
    run = stage.open_run(arguments.run, None)
    run.require("synthesize")

    placed = place(run, arguments)
    row = {
        "name": f"{placed['design']}, on another chip",
        "kind": "post-route",
        "tool": placed["tool"],
        "figures": f"{further.figures(placed['used'])}, {placed['achieved_mhz']:g} MHz; {placed['how']}",
    }
    sites = ", ".join(f"{used:,} of {placed['available'][key]:,} {key}" for key, used in placed["used"].items())
    print(f"{placed['design']}: {sites}")
    print(f"clock {placed['achieved_mhz']:g} MHz of the asked {placed['asked_mhz']:g} MHz; {placed['how']}")
    print(f"bitstream: {placed['bitstream'] or 'none out of context'}")
    print(further.write(run, further.OUT_OF_CONTEXT if arguments.out_of_context else further.BOARD, placed, [row]))


def place(run: Any, arguments: Any) -> dict[str, Any]:
    """Place and route, following the tools on standard output."""
    from codae_l1.hls.vendor.ecp5 import place_and_route

    def progress(done: int, total: int, text: str) -> None:
        print(f"[{done}/{total}] {text}", flush=True)

    work = run.path("place", "out_of_context" if arguments.out_of_context else "board")
    heard = None if arguments.quiet else further.follow
    options = {"seed": arguments.seed, "bitstream": not arguments.out_of_context, "timeout_s": arguments.timeout_s}
    rtl = run.path("synthesize", "rtl")
    return place_and_route(rtl, run.config.hls, work, follow=heard, progress=progress, **options)


if __name__ == "__main__":
    cli.run(command)
