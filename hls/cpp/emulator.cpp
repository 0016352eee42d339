// The emulator @NAMESPACE@: events into blocks, blocks through the network. See @NAMESPACE@.h.
#include "@NAMESPACE@.h"

#include <memory>

// Both in an unnamed namespace: two emulators in one process share nothing, not even where their names are equal.
#include "@NAMESPACE@_layers.h"
#include "@NAMESPACE@_network.h"

namespace @NAMESPACE@ {
namespace {

// Events that are computed together: a few vector registers of the smallest instruction set.
constexpr int block = 16;

template <int B, class Integer>
void load(const Integer *inputs, int events, Buffers<B> &buffers) {
    constexpr Integer low = input_low, high = input_high;
    for (int e = 0; e < events; e++, inputs += n_inputs) {
        for (int i = 0; i < n_inputs; i++) {
            const Integer value = inputs[i] < low ? low : inputs[i];
            buffers.input[i * B + e] = static_cast<Input>(value > high ? high : value);
        }
    }
}

template <int B>
void store(const Buffers<B> &buffers, int events, std::int64_t *words) {
    for (int e = 0; e < events; e++) {
        for (int o = 0; o < n_outputs; o++) *words++ = output(buffers)[o * B + e] * output_scale;
    }
}

template <class Integer>
void predict_blocks(const Integer *inputs, std::size_t events, std::int64_t *words) {
    const auto buffers = std::make_unique<Buffers<block>>();
    for (std::size_t first = 0; first < events; first += block) {
        const int filled = events - first < block ? static_cast<int>(events - first) : block;
        load(inputs + first * n_inputs, filled, *buffers);
        run(*buffers);
        store(*buffers, filled, words + first * n_outputs);
    }
}

}  // namespace

void predict(const std::int32_t *inputs, std::int64_t *words) {
    Buffers<1> buffers;
    load(inputs, 1, buffers);
    run(buffers);
    store(buffers, 1, words);
}

void predict(const std::int32_t *inputs, std::size_t events, std::int64_t *words) {
    predict_blocks(inputs, events, words);
}

void predict(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    predict_blocks(inputs, events, words);
}

}  // namespace @NAMESPACE@

// For Python's ctypes and for C.
extern "C" {

void @NAMESPACE@_predict(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    @NAMESPACE@::predict(inputs, events, words);
}

// One event after the other.
void @NAMESPACE@_predict_each(const std::int32_t *inputs, std::size_t events, std::int64_t *words) {
    for (std::size_t i = 0; i < events; i++)
        @NAMESPACE@::predict(inputs + i * @NAMESPACE@::n_inputs, words + i * @NAMESPACE@::n_outputs);
}

// The words after every layer, in order, to find the layer where two emulations part.
void @NAMESPACE@_trace(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    for (std::size_t i = 0; i < events; i++) {
        @NAMESPACE@::Buffers<1> buffers;
        @NAMESPACE@::load(inputs + i * @NAMESPACE@::n_inputs, 1, buffers);
        @NAMESPACE@::run(buffers);
        words = @NAMESPACE@::trace(buffers, words);
    }
}

}  // extern "C"
