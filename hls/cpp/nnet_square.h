// y = x * x for hls4ml's code, exact, without a multiplication that a tool could place in a DSP.
//
// A square is a sum over its bits: with b the bit of weight w, and r what the bits below it hold,
// (b w + r)^2 = b w^2 + r^2 + b 2 w r; the sign has the weight -w.
#ifndef NNET_SQUARE_H_
#define NNET_SQUARE_H_

#include "nnet_common.h"

namespace nnet {

// One value, of a fixed-point type of AMD, Siemens or Intel; the result's step is that of the value, squared.
template <class data_T, class res_T> res_T squared(const data_T &value) {
    const bool negative = value < 0;
    unsigned low = 0, sum = 0;
    for (int b = 0; b < data_T::width; b++) {
        @UNROLL@
        const unsigned bit = value[b] ? 1 : 0, square = bit << (2 * b), cross = bit ? low << (b + 1) : 0;
        sum = b == data_T::width - 1 && negative ? sum + square - cross : sum + square + cross;
        low |= bit << b;
    }
    res_T result = 0;
    for (int b = 0; b < res_T::width; b++) {
        @UNROLL@
        result[b] = ((sum >> b) & 1) != 0;
    }
    return result;
}

@CALL@

} // namespace nnet

#endif
