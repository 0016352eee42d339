"""The whole encoders, f_m and f_R on the 72 x 58 mask, in hls4ml: how large they are, and a compiled project.

    io_parallel   the whole image at once: each value has a register, each product a multiplier
    io_stream     one pixel per cycle: one multiplier per weight, and at least 72 x 58 = 4,176 cycles per event

hls4ml 1.3 streams convolutions with 'same' padding, but no pooling with padding; io_parallel allows 4,096 values per
array, fewer than the mask has pixels. `_check_encoder` reports this with numbers before anything is trained or
converted.
"""

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.progress import Progress
from codae_l1.hls.hls4ml.project import HlsProject, convert_network
from codae_l1.hls.layers import Interval, reader
from codae_l1.hls.network.records import Network
from codae_l1.hls.target.config import HlsConfig, IoType
from codae_l1.hls.target.size import LayerCost, PredictedSize, check_part
from codae_l1.quantization.encoders.config import MASK_WORD, EncoderConfig, Part
from codae_l1.quantization.encoders.network import QuantizedEncoder, build_encoder


def predict_encoder(part: Part, codae: Any, encoders: EncoderConfig, io_type: IoType = "io_stream") -> PredictedSize:
    """Predicted cost of a twin of f_m or f_R of a CoDAEConfig (hls/target/size.py).

    multiplications: at once, those of one pixel where pixels are streamed. largest_array: of values in io_parallel, of
    weights in io_stream.

    >>> from codae_l1.models.codae.config import PAPER
    >>> predict_encoder("f_m", PAPER, EncoderConfig(), "io_parallel").largest_array
    294912
    """
    model, parallel = build_encoder(part, codae, encoders), io_type == "io_parallel"
    rows, width, arrays = [], MASK_WORD.width, [prod(model.input_shape[1:]) if parallel else 1]
    for layer in model.layers:
        values = prod(layer.output.shape[1:])
        if parallel:
            arrays.append(values)
        if not layer.weights:
            continue
        kernel = tuple(layer.weights[0].shape)
        pixels = values // kernel[-1] if parallel and len(kernel) == 4 else 1
        bits, outputs = (encoders.weight_bits, width), values if parallel else kernel[-1]
        rows.append(LayerCost(prod(kernel), kernel[-1], prod(kernel) * pixels, *bits, outputs, encoders.word_bits))
        width = encoders.word_bits
    return PredictedSize.of(rows, arrays)


def _check_encoder(
    part: Part, codae: Any, encoders: EncoderConfig, config: HlsConfig, io_type: IoType = "io_stream"
) -> PredictedSize:
    """Refuse a twin that hls4ml or the part cannot take; return its predicted size."""
    if io_type == "io_stream" and part == "f_m" and encoders.pooling == "2x2":
        raise InputError(
            "f_m with 2x2 pooling in io_stream, whose pools do not pad the odd rows and columns of 36 x 29",
            'encoders.pooling = "strided"',
            "train it anew",
        )
    predicted = predict_encoder(part, codae, encoders, io_type)
    # With multipliers shared, what counts is how: hls/hls4ml/check.py knows when it has the weights.
    return predicted if config.strategy == "resource" else check_part(predicted, config)


def convert_encoder(
    encoder: QuantizedEncoder,
    config: HlsConfig,
    folder: Path | str,
    io_type: IoType = "io_stream",
    progress: Progress | None = None,
) -> HlsProject:
    """QuantizedEncoder -> hls4ml project, compiled; `predict_words` takes masks (N, 72, 58, 1) of 0 and 1, integers.

    Output words (N, 2) of f_m, (N, 5 x 4 x C) of f_R. A CoDVAE's f_R has two outputs and is refused.
    """
    if len(encoder.outputs) != 1:
        raise InputError(f"an encoder with outputs {', '.join(encoder.outputs)}", "one output", "convert a CoDAE's")
    _check_encoder(encoder.part, encoder.codae, encoder.config, config, io_type)
    network, output = read_encoder(encoder), encoder.words[encoder.outputs[0]]
    return convert_network(encoder.model, network, output, replace(config, io_type=io_type), folder, progress)


def read_encoder(encoder: QuantizedEncoder) -> Network:
    """A twin as records, every output with its interval; `read_network` reads chains without padding alone."""
    intervals, layers = {"mask": Interval(0.0, 1.0, 1.0)}, []
    for layer in encoder.model.layers[1:]:
        sources = layer.input if isinstance(layer.input, list) else [layer.input]
        before = [intervals[source._keras_history.operation.name] for source in sources]
        record = reader(layer, branches=True).read(layer, before)
        layers.append(record)
        intervals[layer.name] = record.interval
    return Network("mask", MASK_WORD, tuple(encoder.model.input_shape[1:]), tuple(layers))
