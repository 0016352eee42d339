"""Measure the designs that the cost model is calibrated with: train each shortly, trace it, map it with Yosys.

    python scripts/studies/calibrate_cost.py --out hls/cost_calibration.json

Each learns the squared counts of blocks (models/codae/scores.py, block_power) of the shipped QCD events: no full model
is needed. A design that the file holds already, of the same versions, is not measured again. 20 minutes on two cores.
"""

import dataclasses
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, scratch_folder, write_json
from codae_l1.scripts.run import cli

# Convolutions (filters, kernel, stride), dense units, tied, weight bits, word bits, inputs, pruned share, held out.
DESIGNS: tuple[tuple[Any, ...], ...] = (
    ((), (), True, 6, 6, ("tracks",), 0.0, False),
    (((1, 3, 3),), (), True, 5, 6, ("tracks",), 0.0, False),
    (((2, 3, 3),), (), True, 8, 8, ("tracks",), 0.0, True),
    (((4, 3, 3),), (), True, 5, 6, ("tracks", "ecal"), 0.0, False),
    (((8, 3, 3),), (), True, 8, 8, ("tracks",), 0.0, False),
    (((8, 3, 3),), (), True, 6, 6, ("tracks",), 0.5, True),
    (((4, 2, 2),), (), True, 5, 5, ("tracks",), 0.0, False),
    (((2, 3, 3),), (), False, 5, 6, ("tracks",), 0.0, False),
    (((4, 3, 3),), (), False, 6, 6, ("tracks",), 0.3, True),
    (((4, 3, 3),), (), False, 6, 6, ("tracks", "track_pt"), 0.0, False),
    (((3, 3, 3),), (4,), False, 5, 5, ("tracks",), 0.0, True),
    (((4, 3, 3),), (8,), True, 6, 6, ("tracks",), 0.0, False),
    (((4, 3, 3), (4, 2, 2)), (), True, 6, 6, ("tracks",), 0.0, False),
    (((3, 3, 3), (4, 2, 2)), (), False, 5, 5, ("tracks",), 0.3, True),
    (((4, 5, 5),), (), False, 4, 6, ("tracks",), 0.0, False),
    (((2, 6, 6),), (), True, 7, 8, ("tracks", "track_pt", "ecal", "hcal"), 0.0, True),
)
# QCD events, float steps, QAT steps: enough to learn the shape of the weights.
EVENTS, STEPS, QAT_STEPS, SEED = 2000, 400, 250, 1


def command() -> None:
    """Parse the arguments, measure what is missing, write after each design."""
    parser = cli.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write, and to go on with")
    parser.add_argument("--designs", type=int, default=len(DESIGNS), help="measure the first so many only")
    options = parser.parse_args()
    if not 1 <= options.designs <= len(DESIGNS):
        raise InputError(f"--designs {options.designs}", f"a number from 1 to {len(DESIGNS)}", "correct it")
    cli.output("--out", options.out, "JSON of designs")
    cli.import_tensorflow()
    from codae_l1.data.base.config import dump
    from codae_l1.hls.cost.lut_model import METHODS, fit_lut, row_features
    from codae_l1.hls.target.config import HlsConfig
    from codae_l1.scripts.run.folder import versions

    made, rows = versions(), []
    kept = read_json(options.out) if options.out.exists() else {}
    known = [] if kept.get("versions") != made else kept["designs"]
    events = None
    with cli.Progress("calibrate") as progress:
        for number, design in enumerate(DESIGNS[: options.designs]):
            progress(number, options.designs, f"design {number + 1}")
            firmware, sparsity = _describe(design)
            key = {"firmware": dump(firmware), "sparsity": sparsity, "held_out": design[-1]}
            row = next((r for r in known if all(r[k] == value for k, value in key.items())), None)
            if row is None:
                events = _shipped_qcd() if events is None else events
                row = {**key, **_measure(firmware, sparsity, events, HlsConfig())}
            rows.append(row)
            write_json(options.out, {"versions": made, "seed": SEED, "designs": rows})
    fitted = [row for row in rows if not row["held_out"]]
    for method in METHODS if len(fitted) > 2 else ():
        a, b, sigma = fit_lut(fitted, method)
        held_out = [(row["lut"], row_features(row, method)) for row in rows if row["held_out"]]
        worst = max((abs(lut / (a * x + b * y) - 1) for lut, (x, y) in held_out), default=0.0)
        print(f"{method}: LUT = {a:.3f} x + {b:.3f} y, spread {100 * sigma:.0f} %, held out within {100 * worst:.0f} %")


def _describe(design: tuple[Any, ...]) -> tuple[Any, float]:
    """FirmwareConfig and pruned share of a row of DESIGNS."""
    from codae_l1.quantization.f_m.config import ConvConfig, FirmwareConfig
    from codae_l1.quantization.f_m.precision import LayerPrecision

    convs, dense, tied, weight_bits, word_bits, inputs, sparsity, _ = design
    layers = tuple(ConvConfig(f, (kernel, kernel), (stride, stride)) for f, kernel, stride in convs)
    config = FirmwareConfig(conv=layers, dense=dense, tied=tied, inputs=inputs, precision={})
    bits = {name: LayerPrecision(weight_bits, output_bits=word_bits) for name in config.layers}
    bits["output"] = dataclasses.replace(bits["output"], output_bits=12)
    return dataclasses.replace(config, precision=bits), sparsity


def _shipped_qcd() -> Any:
    """Images (N, 72, 58, 3) of the first QCD events of the shipped sample's training split."""
    import numpy as np

    from codae_l1.data.events import QCD
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.sample import SAMPLE
    from codae_l1.data.splits import split_of

    with EventFile(SAMPLE) as file:
        chosen = np.flatnonzero((file.signal == QCD) & (split_of(file.pileup_block) == "train"))
        return file.read_where(chosen[:EVENTS]).images


def _measure(firmware: Any, sparsity: float, images: Any, hls: Any) -> dict[str, Any]:
    """Train the design, trace it before and after, map it: a row of cost_calibration.json."""
    import numpy as np

    from codae_l1.data.pooling import input_counts, track_mask
    from codae_l1.hls.cost.lut_model import trained_cost, untrained_cost
    from codae_l1.hls.cost.synthesis import synthesize
    from codae_l1.hls.network.records import firmware_network
    from codae_l1.hls.rtl.build import build_rtl
    from codae_l1.models.codae.scores import block_power
    from codae_l1.quantization.config import DistillConfig, Training
    from codae_l1.quantization.distill import learn

    counts, power = input_counts(images, firmware.pooling), block_power(track_mask(images))
    targets = ((power - power.mean()) / power.std()).astype(np.float32)[:, None]
    config = DistillConfig(steps=STEPS, qat_steps=QAT_STEPS, sparsity=sparsity)
    before = untrained_cost(firmware, counts, hls, sparsity, SEED)
    student = learn(counts, targets, counts, firmware, Training(config, seed=SEED)).firmware
    after = trained_cost(student, hls)
    with scratch_folder() as scratch:
        build_rtl(*firmware_network(student), hls, Path(scratch) / "rtl", simulate=False, compiled=True)
        resources = synthesize(Path(scratch) / "rtl", hls)["resources"]
    return {
        "untrained": before.as_dict(),
        "trained": after.as_dict(),
        "lut": resources["LUT"],
        "ff": resources["FF"],
    }


if __name__ == "__main__":
    cli.run(command)
