// The pooling of the emulator @NAMESPACE@. See @NAMESPACE@_pooling.h.
#include "@NAMESPACE@_pooling.h"

namespace @NAMESPACE@ {
namespace {

constexpr int rows = @ROWS@, columns = @COLUMNS@;
// Cells of side x side towers; the columns are padded with margin empty ones on each side.
constexpr int side = @SIDE@, margin = @MARGIN@;
static_assert(rows / side * ((columns + 2 * margin) / side) * n_channels == n_inputs, "cells are the network's inputs");
// The image's channel that each input is made of, and whether energies are summed or pixels above zero counted.
constexpr int channel[n_channels] = {@CHANNEL@};
constexpr bool energy[n_channels] = {@ENERGY@};
// Bits by which a sum of energies is shifted right.
constexpr int shift = @SHIFT@;
// A tower saturates far above what any collision gives (half a PeV), before integers could overflow.
constexpr float highest = 1 << 20;

int tower_word(float pixel, int k) {
    if (!energy[k]) return pixel > 0;
    const float word = pixel * static_cast<float>(1 / tower_lsb_gev);
    const float kept = word < highest ? (word > -highest ? word : -highest) : highest;
    const int whole = static_cast<int>(kept);
    return whole - (kept < static_cast<float>(whole));
}

// tower(row, column, k): the word of a tower.
template <class Tower>
void pool_towers(Tower tower, std::int32_t *inputs) {
    for (int row = 0; row < rows; row += side) {
        std::int64_t sums[(columns + 2 * margin) * n_channels] = {};
        for (int i = row; i < row + side; i++) {
            for (int j = 0; j < columns; j++) {
                for (int k = 0; k < n_channels; k++) sums[(j + margin) * n_channels + k] += tower(i, j, k);
            }
        }
        for (int first = 0; first < columns + 2 * margin; first += side) {
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

}  // namespace

void pool(const std::int32_t *towers, std::int32_t *inputs) {
    const auto word = [=](int i, int j, int k) { return towers[(i * columns + j) * n_channels + k]; };
    pool_towers([=](int i, int j, int k) { return energy[k] ? word(i, j, k) : word(i, j, k) != 0; }, inputs);
}

void pool(const float *image, std::int32_t *inputs) {
    const auto pixel = [=](int i, int j, int k) { return image[(i * columns + j) * n_image_channels + channel[k]]; };
    pool_towers([=](int i, int j, int k) { return tower_word(pixel(i, j, k), k); }, inputs);
}

void predict(const float *images, std::size_t events, std::int64_t *words) {
    // Events at a time: as many as the network computes together.
    constexpr int block = 16;
    std::int32_t inputs[block * n_inputs];
    for (std::size_t first = 0; first < events; first += block) {
        const std::size_t filled = events - first < block ? events - first : block;
        for (std::size_t e = 0; e < filled; e++)
            pool(images + (first + e) * n_towers * n_image_channels, inputs + e * n_inputs);
        predict(inputs, filled, words + first * n_outputs);
    }
}

}  // namespace @NAMESPACE@

extern "C" {

void @NAMESPACE@_predict_images(const float *images, std::size_t events, std::int64_t *words) {
    @NAMESPACE@::predict(images, events, words);
}

void @NAMESPACE@_pool_images(const float *images, std::size_t events, std::int32_t *inputs) {
    using namespace @NAMESPACE@;
    for (std::size_t i = 0; i < events; i++) pool(images + i * n_towers * n_image_channels, inputs + i * n_inputs);
}

void @NAMESPACE@_pool_towers(const std::int32_t *towers, std::size_t events, std::int32_t *inputs) {
    using namespace @NAMESPACE@;
    for (std::size_t i = 0; i < events; i++) pool(towers + i * n_towers * n_channels, inputs + i * n_inputs);
}

}  // extern "C"
