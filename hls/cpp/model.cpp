// The emulator @NAMESPACE@ as CMSSW loads it: hls4mlEmulator::ModelLoader("@NAMESPACE@") opens @NAMESPACE@.so.
//
// prepare_input takes a pointer to the @INPUTS@ inputs of an event: std::int32_t *, or const std::int32_t *; read_result
// a pointer to room for its @OUTPUTS@ output words: std::int64_t *. Where it was built with ap_fixed.h, also pointers
// to the types of @NAMESPACE@_types.h. The score is @SIGN@ * word @COMPONENT@ (@NAMESPACE@_decision.h).
// A model keeps one event: one object per thread. All it throws are exceptions of the standard library, whose code is
// still there when this library is gone.
#include "@NAMESPACE@_interface.h"
#include "@NAMESPACE@_types.h"

#include <cxxabi.h>

#include <any>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <typeinfo>

#include "@NAMESPACE@.h"

#if defined(__GNUC__) && !defined(__GXX_RTTI)
#error "without RTTI every std::any of the host would be refused: remove -fno-rtti from CXXFLAGS"
#endif

namespace @NAMESPACE@ {
namespace {

#ifdef @GUARD@_AP_TYPES
constexpr char input_types[] = "std::int32_t *, const std::int32_t *, @INPUT_WORD@ *, const @INPUT_WORD@ *";
constexpr char result_types[] = "std::int64_t *, @OUTPUT_WORD@ *";
#else
constexpr char input_types[] = "std::int32_t *, const std::int32_t * (built without ap_fixed.h)";
constexpr char result_types[] = "std::int64_t * (built without ap_fixed.h)";
#endif

// The name of what an std::any holds, as the compiler writes it in messages.
std::string held(const std::any &any) {
    if (!any.has_value()) return "nothing";
    int status = 0;
    char *name = abi::__cxa_demangle(any.type().name(), nullptr, nullptr, &status);
    const std::string text = status == 0 ? name : any.type().name();
    std::free(name);
    return text;
}

[[noreturn]] void refuse(const char *function, const std::any &any, const char *expected) {
    throw std::invalid_argument(std::string("@NAMESPACE@: ") + function + " was given " + held(any) +
                                "; expected a pointer, not null, of one of the types " + expected);
}

#ifdef @GUARD@_AP_TYPES
// The integer word of an ap_fixed value, and back.
std::int32_t word_of(const input_type &value) {
    constexpr std::uint64_t sign = std::uint64_t{input_low < 0} << (input_type::width - 1);
    const std::uint64_t bits = value.range(input_type::width - 1, 0).to_uint64();
    return static_cast<std::int32_t>(static_cast<std::int64_t>((bits ^ sign) - sign));
}

void set_word(result_type &value, std::int64_t word) {
    value.range(result_type::width - 1, 0) = static_cast<unsigned long long>(word);
}
#endif

std::int32_t word_of(std::int32_t value) { return value; }

void set_word(std::int64_t &value, std::int64_t word) { value = word; }

class Model final : public hls4mlEmulator::Model {
public:
    void prepare_input(std::any input) override {
        state = State::empty;
        if (!taken<std::int32_t *>(input) && !taken<const std::int32_t *>(input) && !taken_as_ap(input))
            refuse("prepare_input", input, input_types);
        state = State::prepared;
    }

    void predict() override {
        if (state == State::empty) throw std::logic_error("@NAMESPACE@: predict without an input; call prepare_input");
        @NAMESPACE@::predict(inputs, words);
        state = State::predicted;
    }

    void read_result(std::any result) override {
        if (state != State::predicted)
            throw std::logic_error("@NAMESPACE@: read_result without the words of this input; call predict");
        if (!given<std::int64_t *>(result) && !given_as_ap(result)) refuse("read_result", result, result_types);
    }

private:
    // What the words belong to: an old result is never taken for that of a new input.
    enum class State { empty, prepared, predicted };
    State state = State::empty;
    std::int32_t inputs[n_inputs] = {};
    std::int64_t words[n_outputs] = {};

    template <class Pointer>
    bool taken(const std::any &any) {
        const Pointer *pointer = std::any_cast<Pointer>(&any);
        if (!pointer || !*pointer) return false;
        for (int i = 0; i < n_inputs; i++) inputs[i] = word_of((*pointer)[i]);
        return true;
    }

    template <class Pointer>
    bool given(const std::any &any) {
        const Pointer *pointer = std::any_cast<Pointer>(&any);
        if (!pointer || !*pointer) return false;
        for (int o = 0; o < n_outputs; o++) set_word((*pointer)[o], words[o]);
        return true;
    }

#ifdef @GUARD@_AP_TYPES
    bool taken_as_ap(const std::any &any) { return taken<input_type *>(any) || taken<const input_type *>(any); }
    bool given_as_ap(const std::any &any) { return given<result_type *>(any); }
#else
    bool taken_as_ap(const std::any &) { return false; }
    bool given_as_ap(const std::any &) { return false; }
#endif
};

}  // namespace
}  // namespace @NAMESPACE@

// The two names that the loader looks up; all others here are hidden.
extern "C" {

__attribute__((visibility("default"))) hls4mlEmulator::Model *create_model() { return new @NAMESPACE@::Model; }

__attribute__((visibility("default"))) void destroy_model(hls4mlEmulator::Model *model) { delete model; }

}  // extern "C"
