"""The published f_m, quantized, as an io_stream hls4ml project: what it would cost, and that its words are QKeras's.

    python scripts/published_f_m.py --size paper --out runs/published

Weights are those of an untrained CoDAE of the seed (a training of this size takes half a day); words are calibrated on
QCD events of the calibration split. What they cost depends on shapes and widths alone. Writes published.json and the
hls4ml project, which scripts/vendor.py can synthesise. --reuse 0 looks for the shortest interval that fits the part.
"""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.files import read_json, write_json
from codae_l1.scripts.run import cli
from codae_l1.scripts.studies.projects import fail_where_different


def command() -> None:
    """Parse the arguments, build, convert, compare, write."""
    parser = cli.parser(__doc__)
    parser.add_argument("--size", choices=("paper", "compact", "tiny"), default="paper", help="of the CoDAE")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--events", type=int, default=8, help="test events to compare, beside full and empty masks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--weight-bits", type=int, default=6)
    parser.add_argument("--word-bits", type=int, default=8)
    parser.add_argument("--reuse", type=int, default=0, help="reuse factor of all layers; 0: the fastest that fits")
    parser.add_argument("--part", default="xcvu13p-flga2577-2-e")
    parser.add_argument("--clock", type=float, default=5.0, help="clock period in ns")
    parser.add_argument("--forecast-only", action="store_true", help="neither convert nor compile")
    parser.add_argument("--jobs", type=int, default=2, help="files compiled at once")
    arguments = parser.parse_args()
    if arguments.events < 1 or arguments.reuse < 0:
        raise InputError(f"--events {arguments.events} --reuse {arguments.reuse}", "at least 1 and 0", "correct them")
    cli.import_tensorflow()
    content = work(arguments)
    print(table(content), flush=True)
    fail_where_different([content])


def work(arguments: Any) -> dict[str, Any]:
    """Quantize, forecast, convert, compare; what published.json holds."""
    from codae_l1.hls.hls4ml.encoders import convert_encoder, read_encoder
    from codae_l1.hls.hls4ml.prediction import fastest_reuse, predict_project, products
    from codae_l1.hls.target.config import HlsConfig
    from codae_l1.scripts.run.folder import stamp

    masks, events = sample_masks(arguments.events)
    encoder = untrained_encoder(arguments.size, arguments.weight_bits, arguments.word_bits, arguments.seed, masks)
    config = HlsConfig(
        part=arguments.part,
        clock_period_ns=arguments.clock,
        io_type="io_stream",
        strategy="resource",
        reuse_factor=arguments.reuse or 1,
        jobs=arguments.jobs,
        tool_timeout_s=36_000.0,
    )
    network = read_encoder(encoder)
    if not arguments.reuse:
        config = dataclasses.replace(config, layer_reuse=fastest_reuse(network, config))
    content: dict[str, Any] = {
        "size": arguments.size,
        "float_parameters": float_parameters(arguments.size),
        "part": config.part,
        "clock_period_ns": config.clock_period_ns,
        "forecast": predict_project(network, config).as_dict(),
        "layers": [dataclasses.asdict(row) | {"multipliers": row.multipliers} for row in products(network, config)],
    }
    if not arguments.forecast_only:
        started = time.time()
        with cli.Progress("published f_m") as progress:
            project = convert_encoder(encoder, config, arguments.out / "hls4ml", "io_stream", progress)
        content["build_seconds"] = round(time.time() - started, 1)
        content["project"] = read_json(project.folder / "project.json")
        content["comparison"] = compare(encoder, project, events)
    content["stamp"] = stamp(arguments.seed)
    write_json(arguments.out / "published.json", content)
    return content


def sample_masks(n_events: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the shipped sample: 256 QCD events of the calibration split; n_events of the test split, full, empty."""
    from codae_l1.data.formats.event_file import EventFile
    from codae_l1.data.pooling import track_mask
    from codae_l1.data.sample import SAMPLE
    from codae_l1.scripts.run.events import indices

    with EventFile(SAMPLE) as file:
        calibration = file.read_where(indices(file, "calibration", qcd_only=True)[:256])
        test = indices(file, "test")
        tested = file.read_where(test[np.unique(np.linspace(0, len(test) - 1, n_events).astype(int))])
    masks = track_mask(tested.images).astype(np.uint8)
    return track_mask(calibration.images), np.concatenate([masks, np.ones_like(masks[:1]), np.zeros_like(masks[:1])])


def untrained_encoder(size: str, weight_bits: int, word_bits: int, seed: int, masks: np.ndarray) -> Any:
    """QuantizedEncoder of f_m of an untrained CoDAE; words calibrated on masks (N, 72, 58, 1)."""
    from codae_l1.models.codae.model import CoDAE
    from codae_l1.quantization.encoders import in_situ
    from codae_l1.quantization.encoders.config import EncoderConfig

    codae = CoDAE(sizes()[size], seed=seed)
    config = EncoderConfig(encoders=("f_m",), weight_bits=weight_bits, word_bits=word_bits)
    return in_situ.untrained_encoder("f_m", codae, config, masks)


def sizes() -> dict[str, Any]:
    """Name -> CoDAEConfig."""
    from codae_l1.models.codae.config import COMPACT, PAPER, TINY

    return {"paper": PAPER, "compact": COMPACT, "tiny": TINY}


def float_parameters(size: str) -> int:
    """Parameters of the float f_m, its convolutions in the published groups."""
    from codae_l1.models.codae.model import CoDAE

    return int(CoDAE(sizes()[size], seed=0).f_m.count_params())


def compare(encoder: Any, project: Any, masks: np.ndarray) -> dict[str, Any]:
    """QKeras and hls4ml's emulation on masks (N, 72, 58, 1): what `Mismatch` says, and seconds an event of hls4ml."""
    from codae_l1.hls.hls4ml.encoders import read_encoder
    from codae_l1.hls.network import mismatch

    started = time.process_time()
    words = project.predict_words(masks)
    seconds = (time.process_time() - started) / len(masks)
    output = encoder.words[encoder.outputs[0]]
    found = mismatch.compare(mismatch.QKerasNetwork(encoder.model, read_encoder(encoder), output), project, masks)
    says = {"agreement": str(found), "distinct_words": len(np.unique(words))}
    return {**found.as_dict(), **says, "cpu_seconds_per_event": round(seconds, 4)}


def table(content: dict[str, Any]) -> str:
    """Markdown: the layers with their multipliers, what the project costs, and how the words compare."""
    period, forecast = content["clock_period_ns"], content["forecast"]
    lines = ["| layer | products a pixel | pixels | reuse factor | multipliers |", "| --- | --- | --- | --- | --- |"]
    for row in content["layers"]:
        cells = (row["name"], f"{row['n_in'] * row['n_out']:,}", row["pixels"], row["reuse"], row["multipliers"])
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    cost = f"{forecast['dsp']:,} DSP and {forecast['lut']:,} LUT, or {forecast['lut_without_dsp']:,} LUT without DSP, "
    cost += f"{forecast['bram_18k']:,} BRAM_18K"
    lines += ["", f"Forecast for {content['part']}, no synthesis: {cost}; an event takes at least"]
    micro = forecast["latency_cycles_forecast"] * period / 1000
    lines[-1] += (
        f" {forecast['latency_cycles_forecast']:,} clocks = {micro:.1f} us at {period:g} ns, the next one follows after"
    )
    lines[-1] += f" {forecast['interval_cycles_forecast']:,} clocks at the earliest."
    lines.append(f"{content['float_parameters']:,} parameters in float, {forecast['parameters']:,} in one group.")
    if "comparison" in content:
        found = content["comparison"]
        lines.append(
            f"Emulation: {found['agreement']}; built in {content['build_seconds']:.0f} s, "
            f"{found['cpu_seconds_per_event']:.3g} s of CPU time an event."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(command)
