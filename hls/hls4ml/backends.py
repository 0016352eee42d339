"""hls4ml's backends: their options, the layers they have code for, and what compiling their emulation needs.

Vitis, Vivado and Catapult ship their number types with hls4ml, so g++ alone compiles their emulation. oneAPI uses
Catapult's types, and cpp/sycl_stand_in.hpp replaces its pipes and tasks. Libero's types come with its compiler.
"""

from dataclasses import dataclass

from codae_l1.hls.target.config import OTHER_PARTS, HlsConfig


@dataclass(frozen=True)
class Backend:
    """One backend of hls4ml 1.3.

    tool: the vendor's program that synthesises its projects. strategies: those that its convolutions and dense layers
    follow; hls4ml takes the first for any other. io_types: those that it writes. source: folder of its sources.
    includes: header folders of the emulation inside the project. needs: what its emulation needs in addition to a C++17
    compiler, empty where nothing. traced: io_types whose layers show their outputs. wrong: kinds of layers
    (hls/layers/) whose words it computes wrong. narrowest: bits of the narrowest word that it writes as asked.
    """

    name: str
    tool: str
    part: str
    strategies: tuple[str, ...]
    io_types: tuple[str, ...] = ("io_parallel", "io_stream")
    source: str = "."
    includes: tuple[str, ...] = ()
    needs: str = ""
    traced: tuple[str, ...] = ("io_parallel", "io_stream")
    wrong: tuple[str, ...] = ()
    narrowest: int = 1


_AMD = HlsConfig().part
_AC = tuple(f"firmware/{name}/include" for name in ("ac_types", "ac_math", "ac_simutils"))
BACKENDS = {
    row.name: row
    for row in (
        Backend(
            "Vitis",
            "vitis-run",
            _AMD,
            ("latency", "resource", "distributed_arithmetic"),
            includes=("firmware/ap_types", "."),
        ),
        Backend(
            "Vivado",
            "vivado_hls",
            _AMD,
            ("latency", "resource", "distributed_arithmetic"),
            includes=("firmware/ap_types", "."),
        ),
        Backend(
            "Catapult",
            "catapult",
            _AMD,
            ("latency", "resource"),
            includes=(*_AC, "firmware/nnet_utils", "."),
            # A mean is computed in the word of its inputs: its new fraction bits are lost, and it may be too narrow for
            # the size of the window.
            wrong=("average_pool",),
            narrowest=2,
        ),
        # Its traced layers are written with a wrong type in io_parallel and with an unknown name in io_stream.
        Backend("oneAPI", "icpx", OTHER_PARTS["oneAPI"], ("resource",), source="src", traced=(), narrowest=2),
        # Its structs of inputs and outputs cannot be written for streams.
        Backend(
            "Libero",
            "shls",
            OTHER_PARTS["Libero"],
            ("latency", "resource"),
            ("io_parallel",),
            needs="Microchip's SmartHLS (shls on PATH) with its header hls/ap_fixpt.hpp",
            traced=(),
        ),
    )
}
