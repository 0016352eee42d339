"""The published f_m, quantized, as an io_stream hls4ml project: what it would cost, and that its words are QKeras's.

Weights are those of an untrained CoDAE of the seed, or of a run's full model (--of), such as the published weights of
scripts/import_weights.py; words are calibrated on QCD events of the calibration split. What they cost depends on shapes
and widths alone.
"""

import dataclasses
import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.files import read_json, write_json
from codae_l1.data.formats.event_file import EventFile
from codae_l1.data.pooling import track_mask
from codae_l1.data.sample import SAMPLE
from codae_l1.hls.hls4ml.encoders import convert_encoder, read_encoder
from codae_l1.hls.hls4ml.prediction import fastest_reuse, predict_project, products
from codae_l1.hls.hls4ml.project import HlsProject
from codae_l1.hls.network import mismatch
from codae_l1.hls.target.config import HlsConfig
from codae_l1.models.codae.config import COMPACT, PAPER, TINY
from codae_l1.quantization.encoders.config import EncoderConfig
from codae_l1.quantization.encoders.network import QuantizedEncoder
from codae_l1.scripts.run import cli, stage
from codae_l1.scripts.run.events import indices
from codae_l1.scripts.run.folder import stamp
from codae_l1.scripts.run.tables import markdown_table

if TYPE_CHECKING:
    from codae_l1.models.codae.model import CoDAE

# Name -> sizes of the CoDAE.
SIZES = {"paper": PAPER, "compact": COMPACT, "tiny": TINY}


def published_f_m(arguments: Namespace) -> dict[str, Any]:
    """Quantize, forecast, convert, compare; what published.json holds."""
    masks, events = _sample_masks(arguments.events)
    codae = _codae(arguments)
    encoder = _encoder(codae, arguments.weight_bits, arguments.word_bits, masks)
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
        "of": None if arguments.of is None else str(arguments.of),
        "float_parameters": int(codae.f_m.count_params()),
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
        content["comparison"] = _compare(encoder, project, events)
    content["stamp"] = stamp(arguments.seed)
    write_json(arguments.out / "published.json", content)
    return content


def _sample_masks(n_events: int) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the shipped sample: 256 QCD events of the calibration split; n_events of the test split, full, empty."""
    with EventFile(SAMPLE) as file:
        calibration = file.read_where(indices(file, "calibration", background_only=True)[:256])
        test = indices(file, "test")
        tested = file.read_where(test[np.unique(np.linspace(0, len(test) - 1, n_events).astype(int))])
    masks = track_mask(tested.images).astype(np.uint8)
    return track_mask(calibration.images), np.concatenate([masks, np.ones_like(masks[:1]), np.zeros_like(masks[:1])])


def _codae(arguments: Namespace) -> "CoDAE":
    """The full model of the run --of, or an untrained one of a size and seed."""
    from codae_l1.models.codae.codvae import load_codae
    from codae_l1.models.codae.model import CoDAE

    if arguments.of is None:
        return CoDAE(SIZES[arguments.size], seed=arguments.seed)
    run = stage.open_run(arguments.of, None)
    run.require("train")
    return load_codae(run.path("train", "codae.keras"))


def _encoder(codae: "CoDAE", weight_bits: int, word_bits: int, masks: np.ndarray) -> QuantizedEncoder:
    """f_m of a model as it is, quantized; words calibrated on masks (N, 72, 58, 1)."""
    from codae_l1.quantization.encoders import in_situ

    config = EncoderConfig(encoders=("f_m",), weight_bits=weight_bits, word_bits=word_bits)
    return in_situ.untrained_encoder("f_m", codae, config, masks)


def _compare(encoder: QuantizedEncoder, project: HlsProject, masks: np.ndarray) -> dict[str, Any]:
    """QKeras and hls4ml's emulation on masks (N, 72, 58, 1): what `Mismatch` says, and seconds per event of hls4ml."""
    started = time.process_time()
    words = project.predict_words(masks)
    seconds = (time.process_time() - started) / len(masks)
    output = encoder.words[encoder.outputs[0]]
    found = mismatch.compare(mismatch.QKerasNetwork(encoder.model, read_encoder(encoder), output), project, masks)
    says = {"agreement": str(found), "distinct_words": len(np.unique(words))}
    return {**found.as_dict(), **says, "cpu_seconds_per_event": round(seconds, 4)}


def published_table(content: dict[str, Any]) -> str:
    """Markdown: the layers with their multipliers, what the project costs, and how the words compare."""
    period, forecast = content["clock_period_ns"], content["forecast"]
    layers = [
        (row["name"], f"{row['n_in'] * row['n_out']:,}", row["pixels"], row["reuse"], row["multipliers"])
        for row in content["layers"]
    ]
    clocks, interval = forecast["latency_cycles_forecast"], forecast["interval_cycles_forecast"]
    lines = [
        markdown_table(("layer", "products per pixel", "pixels", "reuse factor", "multipliers"), layers),
        "",
        f"Forecast for {content['part']}, no synthesis: {forecast['dsp']:,} DSP and {forecast['lut']:,} LUT, or "
        f"{forecast['lut_without_dsp']:,} LUT without DSP, {forecast['bram_18k']:,} BRAM_18K; an event takes at least "
        f"{clocks:,} clocks = {clocks * period / 1000:.1f} us at {period:g} ns, the next one follows after "
        f"{interval:,} clocks at the earliest.",
    ]
    lines.append(f"{content['float_parameters']:,} parameters in float, {forecast['parameters']:,} in one group.")
    if "comparison" in content:
        found = content["comparison"]
        lines.append(
            f"Emulation: {found['agreement']}; built in {content['build_seconds']:.0f} s, "
            f"{found['cpu_seconds_per_event']:.3g} s of CPU time per event."
        )
    return "\n".join(lines)
