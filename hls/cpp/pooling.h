// From the image of one bunch crossing, @ROWS@ x @COLUMNS@ towers (phi, eta), to the inputs of the emulator.
#ifndef @GUARD@_POOLING_H
#define @GUARD@_POOLING_H

#include <cstddef>
#include <cstdint>

#include "@NAMESPACE@.h"

namespace @NAMESPACE@ {

// What is pooled, in order: @POOLED@.
constexpr int n_channels = @CHANNELS@;
constexpr int n_towers = @ROWS@ * @COLUMNS@;
// Channels of an image: @IMAGE@.
constexpr int n_image_channels = @IMAGE_CHANNELS@;
// Towers count energy in steps of this many GeV.
constexpr double tower_lsb_gev = @TOWER_LSB@;

// towers: (@ROWS@, @COLUMNS@, n_channels), words of pT or ET >= 0 in tower_lsb_gev, rounded down. For tracks, any that
// is not 0 counts as one.
void pool(const std::int32_t *towers, std::int32_t *inputs);
void pool(const std::uint16_t *towers, std::int32_t *inputs);
void pool(const std::uint8_t *towers, std::int32_t *inputs);

// image: (@ROWS@, @COLUMNS@, n_image_channels) in GeV -> the same towers, pooled.
void pool(const float *image, std::int32_t *inputs);

// Pooling and network: towers (events, @ROWS@, @COLUMNS@, n_channels) -> words (events, n_outputs).
void predict_towers(const std::int32_t *towers, std::size_t events, std::int64_t *words);
void predict_towers(const std::uint16_t *towers, std::size_t events, std::int64_t *words);
void predict_towers(const std::uint8_t *towers, std::size_t events, std::int64_t *words);

// The same from images (events, @ROWS@, @COLUMNS@, n_image_channels) in GeV -> words (events, n_outputs).
void predict(const float *images, std::size_t events, std::int64_t *words);

}  // namespace @NAMESPACE@

#endif
