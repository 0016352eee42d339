"""Layers as adders, bit slices and multiplexers of da4ml, exact to the bit.

QKeras rounds half to even; da4ml 0.5.2 has only truncation and half up, which QKeras does not have. With S
the step wanted, half to even is half up, floor(x / S + 1/2), whose last bit is cleared at a tie (x / S + 1/2 whole).
The cleared bit is the carry of

    (last bit and dropped bits of x + S/2) + (S - lsb)   into the weight 2 S,

one adder of dropped + 1 bits, no table. Where no tie can occur (a constant finer than everything added to it leaves
the lowest bit always one) half up is exact already and the adder is left out: a bias that is an odd multiple of half
the accumulator's step makes rounding free.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from codae_l1.data.base.words import WordType

if TYPE_CHECKING:
    from codae_l1.hls.layers.activation import Quantizer

# Longest word whose square is one table, and the longest rest of a longer word that is: measured, docs/numerics.md.
_TABLE_BITS, _REST_BITS = 7, 6


def array(elements: Any, like: Any) -> Any:
    """Symbolic values of one object array, with the options of others."""
    from da4ml.trace import FixedVariableArray

    return FixedVariableArray(elements, like.solver_options)


def each(like: Any, function: Callable[[Any], Any]) -> Any:
    """A function of each symbolic value."""
    out = np.empty(like.size, dtype=object)
    out[:] = [function(element) for element in like.ravel()._vars]
    return array(out.reshape(like.shape), like)


def windows(value: Any, window: tuple[int, ...], strides: tuple[int, int]) -> np.ndarray:
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


def quantize_exactly(variable: Any, quantizer: "Quantizer") -> Any:
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


def _constant(variable: Any, quantizer: "Quantizer") -> Any:
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


def square(variable: Any, table: int = _TABLE_BITS) -> Any:
    """variable * variable without a multiplier: a table of up to `table` bits, an addition for each further bit.

    With b the highest bit, of weight w, and r what is below it, (b w + r)^2 = b w^2 + r^2 + b 2 w r. The first two do
    not overlap, so that only the third is added. A sign has the weight -w.
    """
    if variable.low == variable.high:
        return variable.from_const(variable.low * variable.low, hwconf=variable.hwconf)
    variable = _upright(variable)
    negative, integer, fraction = variable.kif
    if negative + integer + fraction <= table:
        steps = round((variable.high - variable.low) / variable.step)
        return variable.lookup((float(variable.low) + float(variable.step) * np.arange(steps + 1)) ** 2)
    top = integer if negative else integer - 1
    weight = float(Decimal(2) ** top)
    rest = variable.quantize(0, top, fraction)
    # da4ml's msb_mux reads the highest bit of an unsigned key wrongly: the same bits, read as a signed word.
    key = variable if negative else variable.quantize(1, top, fraction)
    cross = key.msb_mux(rest, 0) * (2 * weight)
    highest = variable.quantize(0, top + 1, -top) * weight
    return square(rest, _REST_BITS) + highest + (-cross if negative else cross)
