// The emulator @NAMESPACE@: events into blocks, blocks through the network. See @NAMESPACE@.h.
#include "@NAMESPACE@.h"

#include <limits>
#include <memory>

// Both in an unnamed namespace: two emulators in one process share nothing, not even where their names are equal.
#include "@NAMESPACE@_layers.h"
#include "@NAMESPACE@_network.h"

namespace @NAMESPACE@ {
namespace {

// Events that are computed together: a few vector registers of the smallest instruction set.
constexpr int block = 16;

constexpr std::int64_t clipped(std::int64_t input) {
    return input < input_low ? input_low : input > input_high ? input_high : input;
}

// B events into the network's input, clipped to its word.
template <int B, class Integer>
void load(const Integer *inputs, Buffers<B> &buffers) {
    constexpr Integer beyond = static_cast<Integer>(~static_cast<Integer>(std::numeric_limits<Input>::max()));
    Integer outside = 0;
    for (int k = 0; k < B * n_inputs; k++) outside |= inputs[k] & beyond;
    for (int i = 0; i < n_inputs; i++) {
        Input *input = buffers.input + i * B;
        if (outside == 0) {
            // All inputs fit the short type: clipped there, many at once.
            for (int e = 0; e < B; e++) input[e] = static_cast<Input>(inputs[e * n_inputs + i]);
            for (int e = 0; e < B; e++) input[e] = input[e] > Input{input_high} ? Input{input_high} : input[e];
        } else {
            for (int e = 0; e < B; e++) input[e] = static_cast<Input>(clipped(inputs[e * n_inputs + i]));
        }
    }
}

template <int B>
void store(const Buffers<B> &buffers, std::int64_t *words) {
    for (int e = 0; e < B; e++) {
        for (int o = 0; o < n_outputs; o++) *words++ = output(buffers)[o * B + e] * output_scale;
    }
}

template <int B, class Integer>
void predict_block(const Integer *inputs, Buffers<B> &buffers, std::int64_t *words) {
    load(inputs, buffers);
    run(buffers);
    store(buffers, words);
}

template <class Integer>
void predict_all(const Integer *inputs, std::size_t events, std::int64_t *words) {
    const auto blocks = std::make_unique<Buffers<block>>();
    std::size_t e = 0;
    for (; e + block <= events; e += block) predict_block(inputs + e * n_inputs, *blocks, words + e * n_outputs);
    const auto rest = std::make_unique<Buffers<1>>();
    for (; e < events; e++) predict_block(inputs + e * n_inputs, *rest, words + e * n_outputs);
}

}  // namespace

void predict(const std::int32_t *inputs, std::int64_t *words) {
    Buffers<1> buffers;
    predict_block(inputs, buffers, words);
}

void predict(const std::int32_t *inputs, std::size_t events, std::int64_t *words) {
    predict_all(inputs, events, words);
}

void predict(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    predict_all(inputs, events, words);
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
        @NAMESPACE@::load(inputs + i * @NAMESPACE@::n_inputs, buffers);
        @NAMESPACE@::run(buffers);
        words = @NAMESPACE@::trace(buffers, words);
    }
}

}  // extern "C"
