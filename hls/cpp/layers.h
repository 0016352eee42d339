// The layers of a fixed-point network on integer words, for B events at a time. Part of a generated emulator.
//
// An array of a layer holds value i of event e at [i * B + e]: the compiler turns each loop over e into vector
// instructions. Every sum fits its type (the generator has bounded it), so nothing wraps around and all is exact.
#ifndef @GUARD@_LAYERS_H
#define @GUARD@_LAYERS_H

#include <cstdint>

#include "@NAMESPACE@_vectors.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace @NAMESPACE@ {
namespace {

#ifdef __SSE2__
// 8 rows of 8 words, in_step apart -> their columns, out_step apart. Each step interleaves rows k and k + 4: the three
// bits of a word's row and the three of its column, read as one number, turn by one place; three turns exchange them.
@GUARD@_INLINE void transpose(const std::int16_t *in, int in_step, std::int16_t *out, int out_step) {
    __m128i rows[8];
    for (int k = 0; k < 8; k++) rows[k] = _mm_loadu_si128(reinterpret_cast<const __m128i *>(in + k * in_step));
    for (int step = 0; step < 3; step++) {
        __m128i mixed[8];
        for (int k = 0; k < 4; k++) {
            mixed[2 * k] = _mm_unpacklo_epi16(rows[k], rows[k + 4]);
            mixed[2 * k + 1] = _mm_unpackhi_epi16(rows[k], rows[k + 4]);
        }
        for (int k = 0; k < 8; k++) rows[k] = mixed[k];
    }
    for (int k = 0; k < 8; k++) _mm_storeu_si128(reinterpret_cast<__m128i *>(out + k * out_step), rows[k]);
}
#endif

// (B events, n values) -> (n values, B events).
template <int n, int B, class Word>
@GUARD@_INLINE void interleave(const Word *in, Word *out) {
    int i = 0;
#ifdef __SSE2__
    if constexpr (sizeof(Word) == sizeof(std::int16_t) && n >= 8 && B % 8 == 0) {
        for (; i < n; i += 8) {
            // The last 8 overlap those before.
            const int place = i < n - 8 ? i : n - 8;
            for (int e = 0; e < B; e += 8) transpose(in + e * n + place, n, out + place * B + e, B);
        }
    }
#endif
    for (; i < n; i++) {
        for (int e = 0; e < B; e++) out[i * B + e] = in[e * n + i];
    }
}

// Convolution (rows x columns windows) or dense layer (one window): out = bias + sum over inputs of weight * in.
// Inputs of a window that have the same weights to all outputs are added first: a group (L::starts, L::offsets).
template <class L, int B, class In, class Sum>
@GUARD@_INLINE void weighted(const In *in, Sum *out) {
    typename L::Part parts[L::groups * B];
    for (int row = 0; row < L::rows; row++) {
        for (int column = 0; column < L::columns; column++) {
            const In *window = in + (row * L::row_step + column * L::column_step) * B;
            for (int g = 0; g < L::groups; g++) {
                // In an array of its own, which stays in registers.
                typename L::Part part[B] = {};
                for (int k = L::starts[g]; k < L::starts[g + 1]; k++) {
                    const In *value = window + L::offsets[k] * B;
                    @GUARD@_VECTOR_LOOP
                    for (int e = 0; e < B; e++) part[e] = static_cast<typename L::Part>(part[e] + value[e]);
                }
                for (int e = 0; e < B; e++) parts[g * B + e] = part[e];
            }
            for (int o = 0; o < L::outputs; o++, out += B) {
                // Events outside: the sum stays in a register over all groups.
                @GUARD@_VECTOR_LOOP
                for (int e = 0; e < B; e++) {
                    Sum sum = L::bias[o];
                    for (int g = 0; g < L::groups; g++) {
                        const Sum weight = L::weights[o * L::groups + g];
                        sum = static_cast<Sum>(sum + weight * static_cast<Sum>(parts[g * B + e]));
                    }
                    out[e] = sum;
                }
            }
        }
    }
}

// Towards minus infinity, halves up, halves to even: the names of Vitis HLS (UG1399).
enum class Rounding { TRN, RND, RND_CONV };

// value / 2^shift, rounded; a negative shift multiplies.
template <int shift, Rounding mode, class Work>
@GUARD@_INLINE Work rounded(Work value) {
    if constexpr (shift > 0 && mode == Rounding::TRN) {
        return static_cast<Work>(value >> shift);
    } else if constexpr (shift > 0 && mode == Rounding::RND) {
        return static_cast<Work>(static_cast<Work>(value + (Work{1} << (shift - 1))) >> shift);
    } else if constexpr (shift > 0) {
        constexpr Work below_half = static_cast<Work>((Work{1} << (shift - 1)) - 1);
        const Work odd = static_cast<Work>((value >> shift) & 1);
        return static_cast<Work>(static_cast<Work>(static_cast<Work>(value + below_half) + odd) >> shift);
    } else {
        return static_cast<Work>(value * (Work{1} << -shift));
    }
}

// QActivation: rounding, then clipping to [L::low, L::high] (or their low bits where L::wraps); below zero by
// L::negative_shift where L::leaky.
template <class L, int B, class In, class Out>
@GUARD@_INLINE void quantize(const In *in, Out *out) {
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
@GUARD@_INLINE void relu(const In *in, In *out) {
    for (int i = 0; i < L::size * B; i++) out[i] = in[i] > 0 ? in[i] : In{0};
}

// value * value.
template <class L, int B, class In, class Out>
@GUARD@_INLINE void square(const In *in, Out *out) {
    for (int i = 0; i < L::size * B; i++) out[i] = static_cast<Out>(static_cast<Out>(in[i]) * static_cast<Out>(in[i]));
}

// Largest value (or sum) of windows that do not overlap, each channel by itself.
template <class L, int B, class In, class Out>
@GUARD@_INLINE void pool(const In *in, Out *out) {
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
