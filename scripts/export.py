"""Export a run's firmware: C++ emulator, golden vectors, Verilog with its testbench, interface file, checksums.

    python scripts/export.py --run runs/demo --out exports/f_m_v1 --namespace f_m_v1
    sh exports/f_m_v1/selftest.sh

The first vectors are events of the run's test split, with their towers; the others make words overflow. The words are
QKeras's. interface.json holds the thresholds of the run's working points, counted on QCD of the test split.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.errors import InputError
from codae_l1.scripts import cli, stage

# Random inputs beside the events, single cells and full images.
RANDOM_EVENTS = 200


def command() -> None:
    """Parse the arguments, export, say where."""
    parser = cli.parser(__doc__)
    parser.add_argument("--run", type=Path, required=True, help="a run folder with the stage synthesize done")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; what stood there is replaced")
    parser.add_argument("--namespace", default="codae", help="C++ namespace and name of the emulator's files")
    parser.add_argument("--events", type=int, default=200, help="events of the test split among the vectors")
    arguments = parser.parse_args()
    if arguments.events < 1:
        raise InputError(f"--events {arguments.events}", "a number >= 1", "correct it")
    run = stage.open_run(arguments.run, None)

    from codae_l1.hls.export import export
    from codae_l1.hls.mismatch import adversarial_counts
    from codae_l1.scripts.dataset import read_split
    from codae_l1.scripts.executors import open_executor

    report, firmware = run.read("synthesize"), open_executor(run, "qkeras")
    events = read_split(run, "test", qcd_only=False)
    chosen = np.linspace(0, len(events) - 1, min(arguments.events, len(events))).astype(int)
    facts = {
        "resources": report["resources"],
        "thresholds": thresholds(run, firmware),
        "stamp": report["stamp"],
    }
    counts = adversarial_counts(firmware.config, run.config.seed, RANDOM_EVENTS)
    rtl = run.path("synthesize", "rtl")
    interface = export(
        firmware, rtl, events.images[chosen], counts, run.config.hls, arguments.out, facts, arguments.namespace
    )
    print(f"{interface['vectors']['events']} vectors, self-test passed, checksum {interface['checksum'][:12]}")
    print(arguments.out)


def thresholds(run: Any, firmware: Any) -> list[dict[str, Any]]:
    """Per working point of the run: the lowest oriented word that keeps to it on QCD test events, and its rate in kHz.

    What the events cannot say (too few pass, no cross section) is None, with the reason.
    """
    from codae_l1.models.evaluation import tpr_at_fpr
    from codae_l1.models.rates import background_rate
    from codae_l1.quantization.firmware import input_counts
    from codae_l1.scripts.dataset import read_split

    qcd, (cross_section, unknown) = read_split(run, "test"), _cross_section(run)
    words = firmware.firmware_word(firmware.predict_words(input_counts(qcd.images, firmware.config)))
    rows = []
    for fpr in run.config.evaluation.fprs:
        point = tpr_at_fpr(words, words, fpr)
        rate: dict[str, Any] = {"rate_khz": None, "rate_error_khz": None, "rate_reason": point.reason or unknown}
        if point.threshold is not None and cross_section is not None:
            luminosity = run.config.evaluation.luminosity_cm2s
            found = background_rate(words, qcd.weight, point.threshold, cross_section, luminosity)
            rate = {"rate_khz": found.rate_khz, "rate_error_khz": found.error_khz, "rate_reason": found.reason}
        row = {
            "fpr_at_most": fpr,
            "threshold_word": None if point.threshold is None else int(point.threshold),
            "fpr": point.value,
            "fpr_error": point.error,
        }
        rows.append(row | {"qcd_events": len(words), "reason": point.reason, **rate})
    return rows


def _cross_section(run: Any) -> tuple[float | None, str | None]:
    """Accepted cross section of the run's QCD [pb], or None and why it is not known."""
    from codae_l1.data.events import QCD
    from codae_l1.data.store import EventFile
    from codae_l1.models.rates import accepted_cross_section
    from codae_l1.scripts.dataset import events_path

    with EventFile(events_path(run)) as file:
        try:
            return accepted_cross_section(file.provenance, QCD, file.weight[file.signal == QCD]), None
        except InputError as error:
            return None, error.received


if __name__ == "__main__":
    cli.run(command)
