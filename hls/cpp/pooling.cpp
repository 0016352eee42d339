// The pooling of the emulator @NAMESPACE@. See @NAMESPACE@_pooling.h.
#include "@NAMESPACE@_pooling.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "@NAMESPACE@_vectors.h"
#ifdef @GUARD@_HAS_AVX2
#include <immintrin.h>
#endif

namespace @NAMESPACE@ {
namespace {

constexpr int rows = @ROWS@, columns = @COLUMNS@;
// Cells of side x side towers; the columns are padded with margin empty ones on each side.
constexpr int side = @SIDE@, margin = @MARGIN@, padded = columns + 2 * margin;
static_assert(rows / side * (padded / side) * n_channels == n_inputs, "cells are the network's inputs");
// The image's channel that each input is made of, and whether energies are summed or pixels above zero counted.
constexpr int channel[n_channels] = {@CHANNEL@};
constexpr bool energy[n_channels] = {@ENERGY@};
// Bits by which a sum of energies is shifted right.
constexpr int shift = @SHIFT@;
// A tower of an image saturates far above what any collision gives (half a PeV), before integers could overflow.
constexpr float highest = 1 << 20;

constexpr bool any_energy() {
    for (const bool one : energy) {
        if (one) return true;
    }
    return false;
}

int tower_word(float pixel, int k) {
    if (!energy[k]) return pixel > 0;
    const float word = pixel * static_cast<float>(1 / tower_lsb_gev);
    const float kept = word < highest ? (word > -highest ? word : -highest) : highest;
    const int whole = static_cast<int>(kept);
    return whole - (kept < static_cast<float>(whole));
}

// tower(row, column, k): the word of a tower.
template <class Tower>
void pool_exactly(Tower tower, std::int32_t *inputs) {
    for (int row = 0; row < rows; row += side) {
        std::int64_t sums[padded * n_channels] = {};
        for (int i = row; i < row + side; i++) {
            for (int j = 0; j < columns; j++) {
                for (int k = 0; k < n_channels; k++) sums[(j + margin) * n_channels + k] += tower(i, j, k);
            }
        }
        for (int first = 0; first < padded; first += side) {
            for (int k = 0; k < n_channels; k++) {
                std::int64_t sum = 0;
                for (int j = first; j < first + side; j++) sum += sums[j * n_channels + k];
                sum = energy[k] ? sum >> shift : sum;
                sum = sum < input_low ? input_low : sum;
                *inputs++ = static_cast<std::int32_t>(sum > input_high ? input_high : sum);
            }
        }
    }
}

// Words of towers, whatever they are.
template <class Word>
void pool_any(const Word *towers, std::int32_t *inputs) {
    const auto word = [=](int i, int j, int k) { return towers[(i * columns + j) * n_channels + k]; };
    pool_exactly([=](int i, int j, int k) { return energy[k] ? word(i, j, k) : word(i, j, k) != 0; }, inputs);
}

// The same for words that are not below 0, many towers at once. A tower that saturates its cell by itself counts no
// more than that: sums fit few bits, and no input becomes another.
constexpr std::int64_t saturating = shift < 31 ? (std::int64_t{input_high} + 1) << shift : INT32_MAX;
constexpr std::int32_t most = static_cast<std::int32_t>(saturating < INT32_MAX ? saturating : INT32_MAX);
constexpr std::int64_t largest_sum = std::int64_t{side} * side * (any_energy() ? most : 1);
template <bool small, class Small, class Large>
using Smaller = std::conditional_t<small, Small, Large>;
// The type of sums: one as short as the words, where they fit it.
template <class Word>
using SumOf = Smaller<sizeof(Word) <= 1 && largest_sum <= UINT8_MAX, std::uint8_t,
                      Smaller<sizeof(Word) <= 2 && largest_sum <= UINT16_MAX, std::uint16_t,
                              Smaller<largest_sum <= UINT32_MAX, std::uint32_t, std::uint64_t>>>;

// What a tower adds to its cell: its energy, or 1 where there is no track, since zeros are counted faster.
template <int k, class Word>
@GUARD@_INLINE std::int32_t added(Word word) {
    if constexpr (!energy[k]) return word == 0;
    return word < most ? static_cast<std::int32_t>(word) : most;
}

// Channels, and rows and columns of a cell, are written out, not looped over: the loops around them become vector
// instructions.
using Channels = std::make_index_sequence<n_channels>;
using Side = std::make_index_sequence<side>;

template <int k, class Word, std::size_t... i>
@GUARD@_INLINE SumOf<Word> sum_of_rows(const Word *towers, std::index_sequence<i...>) {
    using Sum = SumOf<Word>;
    return static_cast<Sum>((... + static_cast<Sum>(added<k>(towers[int{i} * columns * n_channels + k]))));
}

// n columns of a row of cells.
template <class Word, std::size_t... k>
@GUARD@_INLINE void add_rows(const Word *towers, int n, SumOf<Word> *sums, std::index_sequence<k...>) {
    for (int j = 0; j < n; j++)
        ((sums[j * n_channels + int{k}] = sum_of_rows<k>(towers + j * n_channels, Side{})), ...);
}

template <int k, class Sum, std::size_t... j>
@GUARD@_INLINE std::int32_t input_of(const Sum *sums, std::index_sequence<j...>) {
    Sum sum = static_cast<Sum>((... + sums[int{j} * n_channels + k]));
    if constexpr (!energy[k]) {
        sum = static_cast<Sum>(side * side - sum);
    } else {
        sum = static_cast<Sum>(shift < 8 * static_cast<int>(sizeof sum) ? sum >> (shift % 64) : 0);
    }
    return sum < input_high ? static_cast<std::int32_t>(sum) : input_high;
}

template <class Sum, std::size_t... k>
@GUARD@_INLINE void add_columns(const Sum *sums, std::int32_t *inputs, std::index_sequence<k...>) {
    ((inputs[k] = input_of<k>(sums, Side{})), ...);
}

template <class Word>
@GUARD@_INLINE void pool_event(const Word *towers, std::int32_t *inputs) {
    using Sum = SumOf<Word>;
    if constexpr (any_energy() && std::is_signed_v<Word>) {
        Word signs = 0;
        for (int i = 0; i < n_towers * n_channels; i++) signs |= towers[i];
        if (signs < 0) return pool_any(towers, inputs);
    }
    // Full vectors, where more rows follow in memory: what goes beyond a row is overwritten.
    constexpr int full = (columns + 31) / 32 * 32, width = padded * n_channels, cells = rows / side * (padded / side);
    Sum sums[rows / side * width + (full - columns) * n_channels];
    for (int row = 0; row < rows; row += side) {
        Sum *sum = sums + row / side * width + margin * n_channels;
        const Word *tower = towers + row * columns * n_channels;
        if (row + side < rows) {
            add_rows(tower, full, sum, Channels{});
        } else {
            add_rows(tower, columns, sum, Channels{});
        }
    }
    for (int row = 0; row < rows / side; row++) {
        for (int j = 0; j < margin * n_channels; j++) {
            const Sum none = energy[j % n_channels] ? 0 : side;
            sums[row * width + j] = none;
            sums[row * width + (margin + columns) * n_channels + j] = none;
        }
    }
    for (int cell = 0; cell < cells; cell++)
        add_columns(sums + cell * side * n_channels, inputs + cell * n_channels, Channels{});
}

// Tracks alone in cells of 4 x 4: what the compiler makes of the loops above takes up to twice as long.
constexpr bool counts_of_four = n_channels == 1 && !any_energy() && side == 4;

#ifdef @GUARD@_HAS_AVX2
@GUARD@_INLINE @GUARD@_AVX2 __m256i loaded(const void *words) {
    return _mm256_loadu_si256(static_cast<const __m256i *>(words));
}

// Less the zeros of four rows among as many columns as a register holds words.
@GUARD@_INLINE @GUARD@_AVX2 __m256i zeros(const std::uint8_t *towers) {
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++)
        sum = _mm256_add_epi8(sum, _mm256_cmpeq_epi8(loaded(towers + i * columns), _mm256_setzero_si256()));
    return sum;
}
@GUARD@_INLINE @GUARD@_AVX2 __m256i zeros(const std::uint16_t *towers) {
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++)
        sum = _mm256_add_epi16(sum, _mm256_cmpeq_epi16(loaded(towers + i * columns), _mm256_setzero_si256()));
    return sum;
}

// The same, a byte for each of 32 columns. Packing works in halves of a register, whose parts are then put in order.
template <class Word>
@GUARD@_INLINE @GUARD@_AVX2 void count_32(const Word *towers, std::uint8_t *sums) {
    __m256i sum;
    if constexpr (sizeof(Word) == 1) {
        sum = zeros(towers);
    } else if constexpr (sizeof(Word) == 2) {
        sum = _mm256_permute4x64_epi64(_mm256_packs_epi16(zeros(towers), zeros(towers + 16)), 0b11'01'10'00);
    } else {
        // Packed row by row, as they come from memory: counted first they would be packed less often, but the compiler
        // would read them in an order that takes a quarter longer.
        sum = _mm256_setzero_si256();
        for (int i = 0; i < 4; i++, towers += columns) {
            const __m256i low = _mm256_packs_epi32(loaded(towers), loaded(towers + 8));
            const __m256i high = _mm256_packs_epi32(loaded(towers + 16), loaded(towers + 24));
            sum = _mm256_add_epi8(sum, _mm256_cmpeq_epi8(_mm256_packs_epi16(low, high), _mm256_setzero_si256()));
        }
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        sum = _mm256_permutevar8x32_epi32(sum, order);
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(sums), sum);
}

template <class Word>
@GUARD@_AVX2 void pool_counts(const Word *towers, std::int32_t *inputs) {
    constexpr int cells = rows / 4 * (padded / 4);
    std::uint8_t sums[rows / 4 * padded];
    for (int row = 0; row < rows / 4; row++) {
        const Word *tower = towers + row * 4 * columns;
        // Two rows of cells ahead, in the next event at the end: some processors come late by themselves.
        constexpr int four_rows = 4 * columns * static_cast<int>(sizeof(Word));
        for (int ahead = 2 * four_rows; ahead < 3 * four_rows; ahead += 64)
            _mm_prefetch(reinterpret_cast<const char *>(tower) + ahead, _MM_HINT_T0);
        std::uint8_t *sum = sums + row * padded;
        for (int j = 0; j < margin; j++) sum[j] = sum[margin + columns + j] = static_cast<std::uint8_t>(-4);
        // The last 32 columns overlap those before them.
        for (int j = 0; j + 32 < columns; j += 32) count_32(tower + j, sum + margin + j);
        count_32(tower + columns - 32, sum + margin + columns - 32);
    }
    for (int cell = 0; cell < cells; cell += 8) {
        const int first = cell + 8 < cells ? cell : cells - 8;
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), loaded(sums + 4 * first));
        const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        const __m256i tracks = _mm256_add_epi32(fours, _mm256_set1_epi32(16));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(inputs + first),
                            _mm256_min_epi32(tracks, _mm256_set1_epi32(input_high)));
    }
}
#endif

template <class Word>
void pool_plain(const Word *towers, std::int32_t *inputs) {
    pool_event(towers, inputs);
}

template <class Word>
@GUARD@_AVX2 void pool_avx2(const Word *towers, std::int32_t *inputs) {
#ifdef @GUARD@_HAS_AVX2
    if constexpr (counts_of_four) return pool_counts(towers, inputs);
#endif
    pool_event(towers, inputs);
}

// Words of an event: of its towers, or the pixels of its image.
template <class Word>
constexpr int size_of = n_towers * (std::is_same_v<Word, float> ? n_image_channels : n_channels);

template <class Word>
void pool_events(const Word *words, std::size_t events, std::int32_t *inputs) {
    const auto pool_one = avx2_is_used() ? pool_avx2<Word> : pool_plain<Word>;
    for (std::size_t e = 0; e < events; e++) pool_one(words + e * size_of<Word>, inputs + e * n_inputs);
}

void pool_events(const float *images, std::size_t events, std::int32_t *inputs) {
    for (std::size_t e = 0; e < events; e++, inputs += n_inputs) {
        const float *image = images + e * size_of<float>;
        const auto word = [=](int i, int j, int k) {
            return tower_word(image[(i * columns + j) * n_image_channels + channel[k]], k);
        };
        pool_exactly(word, inputs);
    }
}

// Which bits are set in any word of some events, where any integer may be given.
@GUARD@_INLINE std::uint32_t bits_of(const std::int32_t *towers, std::size_t events) {
    std::int32_t seen = 0;
    for (std::size_t i = 0; i < events * size_of<std::int32_t>; i++) seen |= towers[i];
    return static_cast<std::uint32_t>(seen);
}

std::uint32_t bits_plain(const std::int32_t *towers, std::size_t events) { return bits_of(towers, events); }
@GUARD@_AVX2 std::uint32_t bits_avx2(const std::int32_t *towers, std::size_t events) { return bits_of(towers, events); }

std::uint32_t seen_in(const std::int32_t *towers, std::size_t events) {
    return (avx2_is_used() ? bits_avx2 : bits_plain)(towers, events);
}
template <class Word>
std::uint32_t seen_in(const Word *, std::size_t) {
    return 0;
}

// Events that are pooled before the network has its turn: as many as it computes together.
constexpr std::size_t pooled_block = 16;

template <class Word>
void predict_block(const Word *words, std::size_t events, std::int64_t *results) {
    std::int32_t inputs[pooled_block * n_inputs];
    pool_events(words, events, inputs);
    predict(inputs, events, results);
}

// call(first event, events) for every block.
template <class Call>
void for_blocks(std::size_t events, Call call) {
    for (std::size_t first = 0; first < events; first += pooled_block)
        call(first, std::min(pooled_block, events - first));
}

template <class Word>
void predict_pooled(const Word *words, std::size_t events, std::int64_t *results) {
    for_blocks(events, [=](std::size_t first, std::size_t n) {
        predict_block(words + first * size_of<Word>, n, results + first * n_outputs);
    });
}

// The same, with the bits of the words: an event at a time, so that the second look finds it in the cache.
template <class Word>
std::uint32_t pool_seen(const Word *towers, std::size_t events, std::int32_t *inputs) {
    std::uint32_t seen = 0;
    for (std::size_t e = 0; e < events; e++, towers += size_of<Word>, inputs += n_inputs) {
        seen |= seen_in(towers, 1);
        pool_events(towers, 1, inputs);
    }
    return seen;
}

template <class Word>
std::uint32_t predict_seen(const Word *towers, std::size_t events, std::int64_t *results) {
    std::uint32_t seen = 0;
    for_blocks(events, [=, &seen](std::size_t first, std::size_t n) {
        std::int32_t inputs[pooled_block * n_inputs];
        seen |= pool_seen(towers + first * size_of<Word>, n, inputs);
        predict(inputs, n, results + first * n_outputs);
    });
    return seen;
}

}  // namespace

void pool(const std::int32_t *towers, std::int32_t *inputs) { pool_events(towers, 1, inputs); }
void pool(const std::uint16_t *towers, std::int32_t *inputs) { pool_events(towers, 1, inputs); }
void pool(const std::uint8_t *towers, std::int32_t *inputs) { pool_events(towers, 1, inputs); }
void pool(const float *image, std::int32_t *inputs) { pool_events(image, 1, inputs); }

void predict_towers(const std::int32_t *towers, std::size_t events, std::int64_t *words) {
    predict_pooled(towers, events, words);
}

void predict_towers(const std::uint16_t *towers, std::size_t events, std::int64_t *words) {
    predict_pooled(towers, events, words);
}

void predict_towers(const std::uint8_t *towers, std::size_t events, std::int64_t *words) {
    predict_pooled(towers, events, words);
}

void predict(const float *images, std::size_t events, std::int64_t *words) { predict_pooled(images, events, words); }

}  // namespace @NAMESPACE@

// For Python's ctypes and for C. All return which bits are set in any word, or 0 where they did not look.
extern "C" {

std::uint64_t @NAMESPACE@_predict_images(const float *images, std::size_t events, std::int64_t *words) {
    @NAMESPACE@::predict(images, events, words);
    return 0;
}

std::uint64_t @NAMESPACE@_pool_images(const float *images, std::size_t events, std::int32_t *inputs) {
    @NAMESPACE@::pool_events(images, events, inputs);
    return 0;
}

std::uint64_t @NAMESPACE@_pool_towers(const std::int32_t *towers, std::size_t events, std::int32_t *inputs) {
    return @NAMESPACE@::pool_seen(towers, events, inputs);
}

std::uint64_t @NAMESPACE@_predict_towers(const std::int32_t *towers, std::size_t events, std::int64_t *words) {
    return @NAMESPACE@::predict_seen(towers, events, words);
}

std::uint64_t @NAMESPACE@_pool_towers16(const std::uint16_t *towers, std::size_t events, std::int32_t *inputs) {
    return @NAMESPACE@::pool_seen(towers, events, inputs);
}

std::uint64_t @NAMESPACE@_predict_towers16(const std::uint16_t *towers, std::size_t events, std::int64_t *words) {
    return @NAMESPACE@::predict_seen(towers, events, words);
}

std::uint64_t @NAMESPACE@_pool_towers8(const std::uint8_t *towers, std::size_t events, std::int32_t *inputs) {
    return @NAMESPACE@::pool_seen(towers, events, inputs);
}

std::uint64_t @NAMESPACE@_predict_towers8(const std::uint8_t *towers, std::size_t events, std::int64_t *words) {
    return @NAMESPACE@::predict_seen(towers, events, words);
}

}  // extern "C"
