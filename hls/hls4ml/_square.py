"""The layer Square (hls/layers/square.py) in hls4ml, on hls4ml's own extension point.

hls4ml takes it as an activation called `square`. Its code, cpp/nnet_square.h, is written into each project that needs
it. It has no multiplication: shifts and additions alone leave nothing for a vendor's tool to place in a DSP.
"""

from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any

HEADER = "nnet_square.h"
# What unrolls a loop, for each backend.
_UNROLL = {
    "Vitis": "#pragma HLS UNROLL",
    "Vivado": "#pragma HLS UNROLL",
    "Catapult": "#pragma hls_unroll yes",
    "oneAPI": "#pragma unroll",
    "Libero": "#pragma HLS loop unroll",
}
_ARRAYS = """template <class data_T, class res_T, typename CONFIG_T>
void square(data_T data[CONFIG_T::n_in], res_T res[CONFIG_T::n_in]) {
    @PIPELINE@
    for (int i = 0; i < CONFIG_T::n_in; i++) {
        @UNROLL@
        res[i] = squared<data_T, res_T>(data[i]);
    }
}"""
_STREAMS = """template <class data_T, class res_T, typename CONFIG_T>
void square(@STREAM@<data_T> &data, @STREAM@<res_T> &res) {
    for (int i = 0; i < CONFIG_T::n_in / res_T::size; i++) {
        @PIPELINE@
        data_T in = data.read();
        res_T out;
        for (int j = 0; j < res_T::size; j++) {
            @UNROLL@
            out[j] = squared<typename data_T::value_type, typename res_T::value_type>(in[j]);
        }
        res.write(out);
    }
}"""
_INTEL_ARRAYS = """template <class data_T, class res_T, typename CONFIG_T> void square(const data_T &data, res_T &res) {
    @UNROLL@
    for (int i = 0; i < CONFIG_T::n_in; i++)
        res[i] = squared<typename data_T::value_type, typename res_T::value_type>(data[i]);
}"""
_INTEL_PIPES = """template <class data_pipe, class res_pipe, typename CONFIG_T> void square_stream() {
    using data_T = typename ExtractPipeType<data_pipe>::value_type;
    using res_T = typename ExtractPipeType<res_pipe>::value_type;
    constexpr int size = std::tuple_size<res_T>{};
    [[intel::initiation_interval(1)]] for (int i = 0; i < CONFIG_T::n_in / size; i++) {
        auto in = data_pipe::read();
        res_T out;
        @UNROLL@
        for (int j = 0; j < size; j++)
            out[j] = squared<typename data_T::value_type, typename res_T::value_type>(in[j]);
        res_pipe::write(out);
    }
}"""


def register() -> None:
    """Teach hls4ml's Keras 3 front end Square; calling it again changes nothing."""
    from hls4ml.converters.keras_v3 import _base

    handled = "codae_l1.quantization.f_m._square.Square"
    if handled in _base.registry:
        return

    class SquareHandler(_base.KerasV3LayerHandler):
        """Square -> hls4ml's Activation `square`."""

        handles = (handled,)

        def handle(self, layer: Any, in_tensors: Any, out_tensors: Any) -> tuple[dict[str, Any], ...]:
            own = {"class_name": "Activation", "activation": "square", "n_in": prod(in_tensors[0].shape[1:])}
            return ({**self.default_config, **own},)


def squares(graph: Any) -> list[Any]:
    """The layers of hls4ml's ModelGraph that square; ValueError where one would lose bits of a square."""
    found = [layer for layer in graph.get_layers() if layer.get_attr("activation") == "square"]
    for layer in found:
        given, made = (v.type.precision for v in (layer.get_input_variable(), layer.get_output_variable()))
        if made.fractional != 2 * given.fractional:
            raise ValueError(f"layer {layer.name}: the square of {given} is no {made}")
    return found


def include(layers: list[Any]) -> None:
    """Let hls4ml include the header of squares."""
    for layer in layers:
        layer.set_attr("include_header", [*layer.get_attr("include_header", []), f"nnet_utils/{HEADER}"])


def write_header(folder: Path, backend: str, io_type: str) -> None:
    """Write the code of squares into a project's nnet_utils, as the backend calls it."""
    pipeline = "#pragma HLS PIPELINE" if backend in ("Vitis", "Vivado") else ""
    arrays, streams = (_INTEL_ARRAYS, _INTEL_PIPES) if backend == "oneAPI" else (_ARRAYS, _STREAMS)
    call = streams if io_type == "io_stream" else arrays
    text = files("codae_l1.hls").joinpath("cpp", HEADER).read_text().replace("@CALL@", call)
    text = text.replace("@UNROLL@", _UNROLL[backend]).replace("@PIPELINE@", pipeline)
    text = text.replace("@STREAM@", "ac_channel" if backend == "Catapult" else "hls::stream")
    (folder / HEADER).write_text(text)
