"""QKeras -> da4ml: every layer as adders, bit slices and multiplexers, exact to the bit.

QKeras rounds half to even; da4ml 0.5.2 knows truncation and half up only, the words that QKeras does not have. With S
the step wanted, half to even is half up, floor(x / S + 1/2), whose last bit is cleared at a tie (x / S + 1/2 whole).
The cleared bit is the carry of

    (last bit and dropped bits of x + S/2) + (S - lsb)   into the weight 2 S,

one adder of dropped + 1 bits, no table. Where no tie can occur (a constant finer than everything added to it leaves
the lowest bit always one) half up is exact already and the adder is left out: a bias that is an odd multiple of half
the accumulator's step makes rounding free.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from codae_l1.data.base.errors import InputError
from codae_l1.data.base.words import WordType
from codae_l1.hls.network.records import Layer, Network, Quantizer, check_chain, read_network


class QKerasTracer:
    """Tracing plugin of da4ml for QKeras models (entry point `dais_tracer.plugins`, name `qkeras`).

    It has the methods of da4ml's DAISTracerPluginBase (`trace`, `apply_model`, `get_input_shapes`), which the pinned
    da4ml 0.5.2 does not ship yet; hence no inheritance. Inputs are made of `inputs` or `inputs_kif`
    (keep-negative, integer, fraction bits of each input element).
    """

    def __init__(self, model: Any, hwconf: Any, solver_options: dict[str, Any] | None = None):
        self.model, self.hwconf, self.solver_options = model, hwconf, solver_options

    def get_input_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the model's inputs without the batch axis."""
        return [tuple(tensor.shape[1:]) for tensor in self.model.inputs]

    def apply_model(self, verbose: bool, inputs: tuple[Any, ...]) -> tuple[dict[str, Any], list[str]]:
        """Symbolic inputs -> ({layer name: its symbolic output}, [name of the last layer])."""
        kif = np.max(inputs[0].kif.reshape(3, -1), axis=1)
        network = read_network(self.model, WordType(bool(kif[0]), int(kif[1]), int(kif[2])))
        report = print if verbose else None
        traces = trace_layers(network, inputs[0], progress=(lambda i, n, text: report(text)) if report else None)
        return traces, [network.layers[-1].name]

    def trace(
        self,
        verbose: bool = False,
        inputs: tuple[Any, ...] | Any | None = None,
        inputs_kif: tuple[int, int, int] | None = None,
        dump: bool = False,
    ) -> Any:
        """(flat inputs, flat outputs) as da4ml's comb_trace takes them, or every layer's output where `dump`."""
        if inputs is None:
            if inputs_kif is None:
                raise InputError("neither inputs nor inputs_kif", "one of them", "pass inputs_kif=(0, 5, 0)")
            word = WordType(bool(inputs_kif[0]), inputs_kif[1], inputs_kif[2])
            inputs = symbolic_input(self.get_input_shapes()[0], word, self.hwconf, self.solver_options)
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        traces, names = self.apply_model(verbose, inputs)
        return traces if dump else (inputs[0].ravel(), traces[names[-1]].ravel())


def symbolic_input(shape: Sequence[int], word: WordType, hwconf: Any, solver_options: dict[str, Any] | None) -> Any:
    """da4ml's FixedVariableArray of `shape`, every element of type `word`."""
    from da4ml.trace import FixedVariableArray

    kif = (np.full(shape, bits) for bits in (int(word.keep_negative), word.integer, word.fraction))
    return FixedVariableArray.from_kif(*kif, hwconf=hwconf, solver_options=solver_options)  # type: ignore[arg-type]


def trace_layers(
    network: Network, inputs: Any, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, Any]:
    """Symbolic inputs of the network's shape -> {layer name: symbolic output}, in the order of the layers."""
    check_chain(network)
    traces, value = {}, inputs
    for index, layer in enumerate(network.layers):
        value = _TRACERS[layer.kind](layer, value)
        traces[layer.name] = value
        if progress is not None:
            progress(index + 1, len(network.layers), f"traced {layer.name}, depth {np.max(value.latency):g}")
    return traces


def _array(elements: Any, like: Any) -> Any:
    from da4ml.trace import FixedVariableArray

    return FixedVariableArray(elements, like.solver_options)


def _each(like: Any, function: Callable[[Any], Any]) -> Any:
    out = np.empty(like.size, dtype=object)
    out[:] = [function(element) for element in like.ravel()._vars]
    return _array(out.reshape(like.shape), like)


def _windows(value: Any, window: tuple[int, int], strides: tuple[int, int]) -> np.ndarray:
    """(H, W, C) -> object array (rows, columns, window, C) of the windows' elements."""
    elements = value._vars
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(elements.shape, window, strides, strict=False))
    out = np.empty((rows, columns, window[0] * window[1], elements.shape[2]), dtype=object)
    for row in range(rows):
        for column in range(columns):
            top, left = row * strides[0], column * strides[1]
            patch = elements[top : top + window[0], left : left + window[1]]
            out[row, column] = patch.reshape(-1, elements.shape[2])
    return out


def _conv(layer: Layer, value: Any) -> Any:
    assert layer.kernel is not None
    patches = _windows(value, layer.kernel.shape[:2], layer.strides)  # (rows, columns, kh kw, in)
    flat = _array(patches.reshape(*patches.shape[:2], -1), value)
    return flat @ layer.kernel.reshape(-1, layer.kernel.shape[-1]) + layer.bias


def _dense(layer: Layer, value: Any) -> Any:
    return value @ layer.kernel + layer.bias


def _flatten(layer: Layer, value: Any) -> Any:
    return value.ravel()


def _relu(layer: Layer, value: Any) -> Any:
    return _each(value, lambda v: v.relu())


def _pool(layer: Layer, value: Any) -> Any:
    patches = _windows(value, layer.pool, layer.pool)  # (rows, columns, window, C)
    out = np.empty((*patches.shape[:2], patches.shape[3]), dtype=object)
    average, size = layer.kind == "average_pool", patches.shape[2]
    for index in np.ndindex(out.shape):
        elements = list(patches[index[0], index[1], :, index[2]])
        while len(elements) > 1:
            pairs = list(zip(elements[::2], elements[1::2], strict=False))
            rest = elements[2 * len(pairs) :]
            elements = [a + b if average else a.max_of(b) for a, b in pairs] + rest
        out[index] = elements[0] * (1.0 / size) if average else elements[0]
    return _array(out, value)


def _activation(layer: Layer, value: Any) -> Any:
    assert layer.quantizer is not None
    quantizer = layer.quantizer
    return _each(value, lambda v: quantize_exactly(v, quantizer))


_TRACERS: dict[str, Callable[[Layer, Any], Any]] = {
    "conv": _conv,
    "dense": _dense,
    "flatten": _flatten,
    "relu": _relu,
    "max_pool": _pool,
    "average_pool": _pool,
    "activation": _activation,
}


def quantize_exactly(variable: Any, quantizer: Quantizer) -> Any:
    """One da4ml FixedVariable through a quantizer: its ReLU, its rounding, its overflow rule."""
    word = quantizer.word
    if variable.low == variable.high:
        return _constant(variable, quantizer)
    variable = _upright(variable)
    if word.overflow == "WRAP":
        return _wrap(_ROUNDINGS[word.rounding](variable.relu() if quantizer.relu else variable, word.fraction), word)
    low, high = (Decimal(bound) for bound in quantizer.bounds)
    lsb = Decimal(2) ** -word.fraction
    if not quantizer.negative_slope:
        return _clip(_ROUNDINGS[word.rounding](variable, word.fraction), low, high, lsb)
    positive = _clip(_round_half_even(variable, word.fraction), Decimal(0), high, lsb)
    if variable.low >= 0:
        return positive
    scaled = _round_half_even(variable * quantizer.negative_slope, word.fraction)
    negative = _clip(scaled, low, max(scaled.high, Decimal(0)), lsb)
    if variable.high <= 0:
        return negative
    # da4ml takes the finer of both steps for the multiplexer's output and no other.
    return variable.msb_mux(negative, positive, (low, high, min(negative.step, positive.step)))


def _constant(variable: Any, quantizer: Quantizer) -> Any:
    value = float(quantizer.quantize(np.array(float(variable.low))))
    return variable.from_const(value, hwconf=variable.hwconf)


def _upright(variable: Any) -> Any:
    """The variable as a wire of its own where da4ml keeps it as the negative of one.

    da4ml's msb_mux turns the key -x < 0 into not (x < 0), which is wrong at zero.
    """
    from da4ml.trace import FixedVariable

    if variable._factor > 0:
        return variable
    return FixedVariable(
        variable.low,
        variable.high,
        variable.step,
        latency=None,
        hwconf=variable.hwconf,
        opr="wrap",
        _from=(variable,),
        _factor=abs(variable._factor),
    )


def _floor(variable: Any, fraction: int) -> Any:
    """Largest multiple of 2**-fraction not above the variable: a bit slice, the sign kept."""
    negative, integer, own = variable.kif
    if fraction >= own:
        return variable
    if negative:
        integer = max(integer, -fraction)
    return variable.quantize(int(negative), integer, fraction)


def _never_ties(variable: Any, fraction: int) -> bool:
    """True where the lowest bit is always one and is not the first dropped bit."""
    if variable.opr != "cadd":
        return False
    parent = variable._from[0]
    coarse = abs(parent.step * variable._factor / parent._factor)
    return coarse > variable.step and 4 * variable.step <= Decimal(2) ** -fraction


def _round_half_even(variable: Any, fraction: int) -> Any:
    own = variable.kif[2]
    if fraction >= own:
        return variable
    step = Decimal(2) ** -fraction
    if variable.kif[0] and variable.kif[1] < 1 - fraction:
        # da4ml does not extend the sign of a narrow word into a slice: move it by an even number of steps and back.
        return _round_half_even(variable + 2 * step, fraction) - 2 * step
    raised = variable + step / 2
    if _never_ties(variable, fraction):
        return _floor(raised, fraction)
    tail = raised.quantize(0, 1 - fraction, own)  # last bit and dropped bits, in [0, 2 step)
    carry = (tail + (step - Decimal(2) ** -own)).quantize(0, 2 - fraction, fraction - 1)  # 0 or 2 step
    return _floor(raised, fraction - 1) + carry * 0.5


def _round_half_up(variable: Any, fraction: int) -> Any:
    return _floor(variable + Decimal(2) ** -fraction / 2, fraction) if fraction < variable.kif[2] else variable


_ROUNDINGS: dict[str, Callable[[Any, int], Any]] = {
    "RND_CONV": _round_half_even,
    "RND": _round_half_up,
    "TRN": _floor,
}


def _wrap(variable: Any, word: WordType) -> Any:
    """The low bits of a variable that is on the word's grid."""
    if variable.low == variable.high:
        return variable.from_const(float(word.quantize(np.array(float(variable.low)))), hwconf=variable.hwconf)
    if variable.low < 0 and not word.keep_negative:
        # da4ml does not extend a sign into an unsigned word: turns of the word make all values positive.
        turn = Decimal(2) ** word.integer
        variable = variable + turn * -(variable.low // turn - 1)
    return variable.quantize(int(word.keep_negative), word.integer, word.fraction)


def _clip(variable: Any, low: Decimal, high: Decimal, lsb: Decimal) -> Any:
    """Clip to [low, high] of the grid `lsb`: bit slices where the bounds are powers of two, else compared in full."""
    if low == 0:
        variable = variable.relu()
    elif variable.low < low:
        variable = _clip_low(variable, low)
    return _clip_high(variable, high, lsb) if variable.high > high else variable


def _clip_high(variable: Any, high: Decimal, lsb: Decimal) -> Any:
    if variable.low >= high:
        return variable.from_const(high, hwconf=variable.hwconf)
    integer = _power(high + lsb)
    if integer is None:
        return variable.min_of(high)
    # Negative exactly where the variable is below 2**integer: only the bits above are compared.
    below = _floor(variable, -integer) - Decimal(2) ** integer
    kept = variable.quantize(0, integer, variable.kif[2]) if variable.low >= 0 else variable
    return below.msb_mux(kept, high, (variable.low, high, min(variable.step, lsb)))


def _clip_low(variable: Any, low: Decimal) -> Any:
    if variable.high <= low:
        return variable.from_const(low, hwconf=variable.hwconf)
    integer = _power(-low)
    if integer is None:
        return variable.max_of(low)
    below = _floor(variable, -integer) + Decimal(2) ** integer
    return below.msb_mux(low, variable, (low, variable.high, variable.step))


def _power(value: Decimal) -> int | None:
    """The exponent where value is a power of two."""
    exponent = int(np.log2(float(value)))
    return exponent if Decimal(2) ** exponent == value else None
