// A program that loads @NAMESPACE@.so by name, as CMSSW does, and compares its words with the golden vectors, event by
// event: HOST MODEL VECTORS [SECONDS]. MODEL: the path without ".so"; a name without a slash is looked for in
// LD_LIBRARY_PATH as it was when the program started. SECONDS: also prints how many events a second it takes.
// Built with the interface's own header it uses its ModelLoader, else the loader below.
#include "@NAMESPACE@_interface.h"
#include "@NAMESPACE@_types.h"

#ifndef @GUARD@_THEIR_INTERFACE
#include <dlfcn.h>
#endif

#include <any>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "@NAMESPACE@.h"

namespace {

using @NAMESPACE@::n_inputs;
using @NAMESPACE@::n_outputs;

#ifdef @GUARD@_THEIR_INTERFACE
using Loader = hls4mlEmulator::ModelLoader;
#else
// Opens <name>.so; the library stays as long as the loader does.
class Loader {
public:
    explicit Loader(const std::string &name) : library(dlopen((name + ".so").c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (!library) throw std::runtime_error(dlerror());
    }
    Loader(const Loader &) = delete;
    Loader &operator=(const Loader &) = delete;
    ~Loader() { dlclose(library); }

    std::shared_ptr<hls4mlEmulator::Model> load_model() {
        const auto create = function<hls4mlEmulator::Model *()>("create_model");
        return {create(), function<void(hls4mlEmulator::Model *)>("destroy_model")};
    }

private:
    void *library;

    template <class Function>
    Function *function(const char *name) {
        void *const address = dlsym(library, name);
        if (!address) throw std::runtime_error(dlerror());
        return reinterpret_cast<Function *>(address);
    }
};
#endif

std::vector<std::int64_t> read(const std::string &path) {
    std::ifstream file(path);
    std::vector<std::int64_t> values{std::istream_iterator<std::int64_t>(file), {}};
    if (values.empty() || !file.eof()) throw std::runtime_error(path + " is missing, empty, or not of integers alone");
    return values;
}

// Input: the words of an event in an array of its own type, result likewise.
template <class Input, class Result>
void call(hls4mlEmulator::Model &model, Input *inputs, Result *words) {
    model.prepare_input(inputs);
    model.predict();
    model.read_result(words);
}

int report(const char *what, int differing, std::size_t events) {
    std::cout << what << ": " << differing << " of " << events << " events differ\n";
    return differing;
}

int compare_integers(hls4mlEmulator::Model &model, const std::vector<std::int32_t> &inputs,
                     const std::vector<std::int64_t> &expected) {
    int differing = 0;
    for (std::size_t e = 0; e < expected.size() / n_outputs; e++) {
        std::int64_t words[n_outputs];
        call(model, inputs.data() + e * n_inputs, words);
        bool equal = true;
        for (int o = 0; o < n_outputs; o++) equal = equal && words[o] == expected[e * n_outputs + o];
        differing += !equal;
    }
    return report("loaded by name", differing, expected.size() / n_outputs);
}

#ifdef @GUARD@_AP_TYPES
int compare_ap(hls4mlEmulator::Model &model, const std::vector<std::int32_t> &inputs,
               const std::vector<std::int64_t> &expected) {
    int differing = 0;
    for (std::size_t e = 0; e < expected.size() / n_outputs; e++) {
        @NAMESPACE@::input_type given[n_inputs];
        @NAMESPACE@::result_type words[n_outputs];
        for (int i = 0; i < n_inputs; i++)
            given[i].range(given[i].width - 1, 0) = static_cast<unsigned long long>(inputs[e * n_inputs + i]);
        call(model, given, words);
        bool equal = true;
        for (int o = 0; o < n_outputs; o++) {
            @NAMESPACE@::result_type word;
            word.range(word.width - 1, 0) = static_cast<unsigned long long>(expected[e * n_outputs + o]);
            equal = equal && words[o] == word;
        }
        differing += !equal;
    }
    return report("loaded by name, ap_fixed", differing, expected.size() / n_outputs);
}
#endif

void time_calls(hls4mlEmulator::Model &model, const std::vector<std::int32_t> &inputs, double seconds) {
    using Clock = std::chrono::steady_clock;
    std::int64_t words[n_outputs], sum = 0;
    std::size_t calls = 0;
    const auto start = Clock::now();
    std::chrono::duration<double> passed{};
    for (; passed.count() < seconds; passed = Clock::now() - start) {
        for (std::size_t i = 0; i < inputs.size(); i += n_inputs, calls++) {
            call(model, inputs.data() + i, words);
            sum += words[0];
        }
    }
    std::cout << static_cast<long>(calls / passed.count()) << " events a second, one a call (sum of words " << sum
              << ")\n";
}

int check(const std::string &name, const std::string &folder, double seconds) {
    // The loader first: what is declared first goes last, and the library has to outlive its model.
    Loader loader(name);
    const auto model = loader.load_model();
    const auto numbers = read(folder + "/inputs.txt"), expected = read(folder + "/words.txt");
    const std::vector<std::int32_t> inputs(numbers.begin(), numbers.end());
    if (inputs.size() % n_inputs || inputs.size() / n_inputs * n_outputs != expected.size())
        throw std::runtime_error(folder + ": inputs and words are not of the same events");
    int differing = compare_integers(*model, inputs, expected);
#ifdef @GUARD@_AP_TYPES
    differing += compare_ap(*model, inputs, expected);
#endif
    if (seconds > 0) time_calls(*model, inputs, seconds);
    return differing ? 1 : 0;
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        std::cerr << "usage: " << argv[0] << " MODEL VECTORS [SECONDS]\n";
        return 2;
    }
    try {
        return check(argv[1], argv[2], argc > 3 ? std::atof(argv[3]) : 0);
    } catch (const std::exception &error) {
        std::cerr << argv[1] << ": " << error.what() << "\n";
        return 2;
    }
}
