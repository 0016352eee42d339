"""The trigger between two AXI4-Stream ports: frames of slices in, one beat of score and accept bits per frame out.

Module <namespace>_axis (hls/cpp/axis.v) around <namespace>_trigger, which it does not change: results wait in a memory
that holds as many events as can be on their way, so that the pipeline never has to stop.
"""

from typing import Any

from codae_l1.data.calorimeter import N_ETA, N_PHI
from codae_l1.hls.trigger._wrapper import TriggerRtl


def axis_values(trigger: TriggerRtl) -> dict[str, Any]:
    """@NAME@ -> value of the templates, those of the trigger included."""
    return trigger.values() | {
        "SCORE_FIELD": _whole_bytes(trigger.score_bits),
        "ACCEPT_FIELD": _whole_bytes(len(trigger.decision.points)),
    }


def axis_interface(trigger: TriggerRtl) -> dict[str, Any]:
    """JSON-ready: ports, fields, handshake."""
    score, accept = _whole_bytes(trigger.score_bits), _whole_bytes(len(trigger.decision.points))
    towers = N_PHI * N_ETA * trigger.tower_bits // trigger.slices
    return {
        "top": f"{trigger.namespace}_axis",
        "s_axis_tdata": {"width": _whole_bytes(towers), "towers": towers},
        "m_axis_tdata": {
            "width": score + accept,
            "score": {"offset": 0, "width": score, "signed": True},
            "accept": {"offset": score, "width": len(trigger.decision.points)},
        },
        "frame": f"{trigger.slices} beats, tlast on the last; one beat out per frame, in order; m_axis_tuser marks the "
        "answer of a frame of another length, whose accept bits are 0",
        "latency_cycles": trigger.latency + 2,
        "latency_how": "from the edge that takes a frame's last beat to the edge after which its answer is offered, if "
        "none waits before it",
        "initiation_interval": trigger.slices,
        "resources": "not mapped",
    }


def _whole_bytes(bits: int) -> int:
    """The bits, rounded up to a multiple of 8."""
    return -(-bits // 8) * 8
