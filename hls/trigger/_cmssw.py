"""The library that CMSSW loads by name: the emulator behind CMS's interface of trigger networks, as sources.

`hls4mlEmulator::ModelLoader` (github.com/cms-hls4ml/hls4mlEmulatorExtras) opens NAME.so and calls, event by event,
prepare_input(std::any), predict() and read_result(std::any) of the object that its function `create_model` makes. The
sources (templates hls/cpp/model*) wrap those of `codae_l1.hls.trigger.emulator`, which lie in ../emulator:

<namespace>_model.cpp      the class and the two exported functions
<namespace>_interface.h    the interface: its own header where the include path has it, else our declaration
<namespace>_types.h        arrays as ap_fixed, where the include path has ap_fixed.h
<namespace>_host.cpp       a program that loads the library by name and compares its words with the golden vectors
Makefile                   CXXFLAGS, INCLUDES and LD_FLAGS as CMS's Makefiles of many versions hand them down
"""

from typing import Any

from codae_l1.hls.network.executor import EmulatorDesign
from codae_l1.hls.trigger.emulator import fill, values_of
from codae_l1.hls.trigger.thresholds import Decision

_FILES = {
    "{}_model.cpp": "model.cpp",
    "{}_interface.h": "model_interface.h",
    "{}_types.h": "model_types.h",
    "{}_host.cpp": "model_host.cpp",
    "Makefile": "model.mk",
}


def cmssw_sources(design: EmulatorDesign, decision: Decision) -> dict[str, str]:
    """{file name: text} of the library's folder; design, decision: what `emulator_sources` gave and was given."""
    values = {**values_of(design), "SIGN": decision.sign, "COMPONENT": decision.component}
    return {name.format(design.namespace): fill(template, values) for name, template in _FILES.items()}


def cmssw_interface(design: EmulatorDesign) -> dict[str, Any]:
    """JSON-ready: the name, and what the pointers in the std::any may point to."""
    return {
        "library": f"{design.namespace}.so",
        "model_name": design.namespace,
        "inputs": {"elements": design.inputs, "types": ["std::int32_t", str(design.input_word)]},
        "results": {"elements": design.outputs, "types": ["std::int64_t", str(design.output_word)]},
        "how": "make -C cmssw builds it; std::any holds a pointer to the first element, of exactly one of these types; "
        "the ap_fixed types, whose rounding and overflow modes count, where INCLUDES has ap_fixed.h",
    }
