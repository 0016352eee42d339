// The emulator @NAMESPACE@: events into blocks, blocks through the network. See @NAMESPACE@.h.
#include "@NAMESPACE@.h"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <limits>
#include <memory>

#include "@NAMESPACE@_vectors.h"
// Both in an unnamed namespace: two emulators in one process share nothing, not even where their names are equal.
#include "@NAMESPACE@_layers.h"
#include "@NAMESPACE@_network.h"

namespace @NAMESPACE@ {
namespace {

// Events that are computed together: two vector registers of 16-bit words, one of AVX2.
constexpr int block = 16;

struct Block {
    Input events[block * n_inputs];
    Buffers<block> buffers;
};

bool has_avx2() {
#ifdef @GUARD@_HAS_AVX2
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2");
#else
    return false;
#endif
}

std::atomic<bool> avx2_used{has_avx2()};

constexpr std::int64_t clipped(std::int64_t input) {
    return input < input_low ? input_low : input > input_high ? input_high : input;
}

// The inputs of an event, clipped to their word. Returns which bits are set in any of them.
template <class Integer>
@GUARD@_INLINE Integer clip(const Integer *inputs, Input *event) {
    constexpr Integer beyond = static_cast<Integer>(~static_cast<Integer>(std::numeric_limits<Input>::max()));
    Integer seen = 0;
    for (int i = 0; i < n_inputs; i++) seen |= inputs[i];
    if ((seen & beyond) == 0) {
        // All inputs fit the short type and are not negative: clipped there, many at once.
        for (int i = 0; i < n_inputs; i++) {
            const Input input = static_cast<Input>(inputs[i]);
            event[i] = input > Input{input_high} ? Input{input_high} : input;
        }
    } else {
        for (int i = 0; i < n_inputs; i++) event[i] = static_cast<Input>(clipped(inputs[i]));
    }
    return seen;
}

@GUARD@_INLINE void run_block(Block &block_of) {
    interleave<n_inputs, block>(block_of.events, block_of.buffers.input);
    run(block_of.buffers);
}

void run_plain(Block &events) { run_block(events); }
@GUARD@_AVX2 void run_avx2(Block &events) { run_block(events); }

template <class Integer>
@GUARD@_INLINE Integer predict_all(const Integer *inputs, std::size_t events, std::int64_t *words,
                                   void (&through)(Block &)) {
    // Not zeroed: make_unique would take longer over it than a small network over its events.
    const std::unique_ptr<Block> work(new Block);
    if (events < block) std::fill(std::begin(work->events), std::end(work->events), Input{});
    Integer seen = 0;
    for (std::size_t first = 0; first < events; first += block) {
        // In the last block, events of the one before may follow its own.
        const int filled = static_cast<int>(std::min<std::size_t>(block, events - first));
        for (int e = 0; e < filled; e++, inputs += n_inputs) seen |= clip(inputs, work->events + e * n_inputs);
        through(*work);
        for (int e = 0; e < filled; e++) {
            for (int o = 0; o < n_outputs; o++) *words++ = output(work->buffers)[o * block + e] * output_scale;
        }
    }
    return seen;
}

template <class Integer>
Integer predict_plain(const Integer *inputs, std::size_t events, std::int64_t *words) {
    return predict_all(inputs, events, words, run_plain);
}

template <class Integer>
@GUARD@_AVX2 Integer predict_avx2(const Integer *inputs, std::size_t events, std::int64_t *words) {
    return predict_all(inputs, events, words, run_avx2);
}

template <class Integer>
Integer predict_events(const Integer *inputs, std::size_t events, std::int64_t *words) {
    return (avx2_is_used() ? predict_avx2<Integer> : predict_plain<Integer>)(inputs, events, words);
}

@GUARD@_INLINE void predict_one(const std::int32_t *inputs, std::int64_t *words) {
    Buffers<1> buffers;
    clip(inputs, buffers.input);
    run(buffers);
    for (int o = 0; o < n_outputs; o++) *words++ = output(buffers)[o] * output_scale;
}

void predict_one_plain(const std::int32_t *inputs, std::int64_t *words) { predict_one(inputs, words); }
@GUARD@_AVX2 void predict_one_avx2(const std::int32_t *inputs, std::int64_t *words) { predict_one(inputs, words); }

}  // namespace

bool avx2_is_used() { return avx2_used.load(std::memory_order_relaxed); }

bool use_avx2(bool wanted) {
    avx2_used = wanted && has_avx2();
    return avx2_is_used();
}

void predict(const std::int32_t *inputs, std::int64_t *words) {
    (avx2_is_used() ? predict_one_avx2 : predict_one_plain)(inputs, words);
}

void predict(const std::int32_t *inputs, std::size_t events, std::int64_t *words) {
    predict_events(inputs, events, words);
}

void predict(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    predict_events(inputs, events, words);
}

}  // namespace @NAMESPACE@

// For Python's ctypes and for C. All return which bits are set in any input, or 0 where they did not look.
extern "C" {

int @NAMESPACE@_use_avx2(int wanted) { return @NAMESPACE@::use_avx2(wanted != 0); }

std::uint64_t @NAMESPACE@_predict(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    return static_cast<std::uint64_t>(@NAMESPACE@::predict_events(inputs, events, words));
}

// One event after the other.
std::uint64_t @NAMESPACE@_predict_each(const std::int32_t *inputs, std::size_t events, std::int64_t *words) {
    for (std::size_t i = 0; i < events; i++)
        @NAMESPACE@::predict(inputs + i * @NAMESPACE@::n_inputs, words + i * @NAMESPACE@::n_outputs);
    return 0;
}

// The words after every layer, in order, to find the layer where two emulations part.
std::uint64_t @NAMESPACE@_trace(const std::int64_t *inputs, std::size_t events, std::int64_t *words) {
    for (std::size_t i = 0; i < events; i++) {
        @NAMESPACE@::Buffers<1> buffers;
        @NAMESPACE@::clip(inputs + i * @NAMESPACE@::n_inputs, buffers.input);
        @NAMESPACE@::run(buffers);
        words = @NAMESPACE@::trace(buffers, words);
    }
    return 0;
}

}  // extern "C"
