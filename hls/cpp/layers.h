// The layers of a fixed-point network on integer words, for B events at a time. Part of a generated emulator.
//
// An array of a layer holds value i of event e at [i * B + e]: the compiler turns each loop over e into vector
// instructions. Every sum fits its type (the generator has bounded it), so nothing wraps around and all is exact.
#ifndef @GUARD@_LAYERS_H
#define @GUARD@_LAYERS_H

#include <cstdint>

namespace @NAMESPACE@ {
namespace {

// Convolution (rows x columns windows) or dense layer (one window): out = bias + sum over inputs of weight * in.
// Inputs of a window that have the same weights to all outputs are added first: a group (L::starts, L::offsets).
template <class L, int B, class In, class Sum>
void weighted(const In *in, Sum *out) {
    typename L::Part parts[L::groups * B];
    for (int row = 0; row < L::rows; row++) {
        for (int column = 0; column < L::columns; column++) {
            const In *window = in + (row * L::row_step + column * L::column_step) * B;
            for (int g = 0; g < L::groups; g++) {
                typename L::Part *part = parts + g * B;
                for (int e = 0; e < B; e++) part[e] = 0;
                for (int k = L::starts[g]; k < L::starts[g + 1]; k++) {
                    const In *value = window + L::offsets[k] * B;
                    for (int e = 0; e < B; e++) part[e] = static_cast<typename L::Part>(part[e] + value[e]);
                }
            }
            for (int o = 0; o < L::outputs; o++, out += B) {
                for (int e = 0; e < B; e++) out[e] = L::bias[o];
                for (int g = 0; g < L::groups; g++) {
                    const typename L::Weight weight = L::weights[o * L::groups + g];
                    const typename L::Part *part = parts + g * B;
                    if (weight == 0) continue;
                    for (int e = 0; e < B; e++)
                        out[e] = static_cast<Sum>(out[e] + static_cast<Sum>(weight) * static_cast<Sum>(part[e]));
                }
            }
        }
    }
}

// Towards minus infinity, halves up, halves to even: the names of Vitis HLS (UG1399).
enum class Rounding { TRN, RND, RND_CONV };

// value / 2^shift, rounded; a negative shift multiplies.
template <int shift, Rounding mode, class Work>
Work rounded(Work value) {
    if constexpr (shift > 0 && mode == Rounding::TRN) {
        return static_cast<Work>(value >> shift);
    } else if constexpr (shift > 0 && mode == Rounding::RND) {
        return static_cast<Work>((value + (Work{1} << (shift - 1))) >> shift);
    } else if constexpr (shift > 0) {
        constexpr Work below_half = static_cast<Work>((Work{1} << (shift - 1)) - 1);
        const Work odd = static_cast<Work>((value >> shift) & 1);
        return static_cast<Work>((value + below_half + odd) >> shift);
    } else {
        return static_cast<Work>(value * (Work{1} << -shift));
    }
}

// QActivation: rounding, then clipping to [L::low, L::high] (or their low bits where L::wraps); below zero by
// L::negative_shift where L::leaky.
template <class L, int B, class In, class Out>
void quantize(const In *in, Out *out) {
    using Work = typename L::Work;
    for (int i = 0; i < L::size * B; i++) {
        const Work value = in[i];
        Work word = rounded<L::shift, L::rounding>(value);
        if constexpr (L::leaky) {
            const Work below = rounded<L::negative_shift, L::rounding>(value);
            word = value < 0 ? below : word;
        }
        if constexpr (L::wraps) {
            if constexpr (L::relu) word = word < 0 ? Work{0} : word;
            // high - low is a mask of all bits of the word.
            word = static_cast<Work>(((word - L::low) & (L::high - L::low)) + L::low);
        }
        word = word < L::low ? L::low : word;
        out[i] = static_cast<Out>(word > L::high ? L::high : word);
    }
}

// max(value, 0).
template <class L, int B, class In>
void relu(const In *in, In *out) {
    for (int i = 0; i < L::size * B; i++) out[i] = in[i] > 0 ? in[i] : In{0};
}

// value * value.
template <class L, int B, class In, class Out>
void square(const In *in, Out *out) {
    for (int i = 0; i < L::size * B; i++) out[i] = static_cast<Out>(static_cast<Out>(in[i]) * static_cast<Out>(in[i]));
}

// Largest value (or sum) of windows that do not overlap, each channel by itself.
template <class L, int B, class In, class Out>
void pool(const In *in, Out *out) {
    for (int row = 0; row < L::rows; row++) {
        for (int column = 0; column < L::columns; column++) {
            const In *window = in + (row * L::row_step + column * L::column_step) * B;
            for (int i = 0; i < L::channels * B; i++) out[i] = window[i];
            for (int k = 1; k < L::window; k++) {
                const In *values = window + L::offsets[k] * B;
                for (int i = 0; i < L::channels * B; i++) {
                    if constexpr (L::average) {
                        out[i] = static_cast<Out>(out[i] + values[i]);
                    } else {
                        out[i] = values[i] > out[i] ? static_cast<Out>(values[i]) : out[i];
                    }
                }
            }
            out += L::channels * B;
        }
    }
}

}  // namespace
}  // namespace @NAMESPACE@

#endif
