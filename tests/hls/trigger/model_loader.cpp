// A loader of trigger networks to CMS's interface, for tests:
//   LOADER MODEL... words     every model's word of the events on stdin, one line an event
//   LOADER MODEL threads      two objects, a thread each
//   LOADER MODEL loaded twice two models of one loader, the first gone before the second is called
//   LOADER MODEL CASE         one way to call it, right or wrong
// It shares nothing with what is exported: an own declaration of the interface, an own loader.
#include <dlfcn.h>

#include <any>
#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#ifdef AP_TYPES
#include <ap_fixed.h>
#include <ap_int.h>
#endif

namespace hls4mlEmulator {

struct Model {
    virtual void prepare_input(std::any) = 0;
    virtual void predict() = 0;
    virtual void read_result(std::any) = 0;
    virtual ~Model() = default;
};

}  // namespace hls4mlEmulator

using hls4mlEmulator::Model;

constexpr int n_inputs = 4;

// Opens the library at each model, as CMS's loader does, and closes it once: what was opened before stays.
struct Library {
    const std::string file;
    void *handle = nullptr;
    explicit Library(const std::string &name) : file(name + ".so") {}
    ~Library() {
        if (handle) dlclose(handle);
    }
    template <class Function>
    Function *get(const char *name) {
        void *found = dlsym(handle, name);
        if (!found) throw std::runtime_error(std::string("no ") + name);
        return reinterpret_cast<Function *>(found);
    }
    std::shared_ptr<Model> model() {
        handle = dlopen(file.c_str(), RTLD_LAZY | RTLD_LOCAL);
        if (!handle) throw std::runtime_error(dlerror());
        return {get<Model *()>("create_model")(), get<void(Model *)>("destroy_model")};
    }
};

std::int64_t word(Model &model, std::any input) {
    std::int64_t result = -12345;
    model.prepare_input(input);
    model.predict();
    model.read_result(&result);
    return result;
}

// A line of every model's words for each event of stdin, all models open at once.
int words(const std::vector<std::string> &names) {
    std::vector<std::unique_ptr<Library>> libraries;
    std::vector<std::shared_ptr<Model>> models;
    for (const auto &name : names) {
        libraries.push_back(std::make_unique<Library>(name));
        models.push_back(libraries.back()->model());
    }
    std::int32_t inputs[n_inputs];
    while (std::cin >> inputs[0] >> inputs[1] >> inputs[2] >> inputs[3]) {
        for (auto &model : models) std::cout << word(*model, inputs) << ' ';
        std::cout << '\n';
    }
    models.clear();
    return 0;
}

std::int32_t event[n_inputs] = {3, 0, 1, 2}, other[n_inputs] = {1, 1, 1, 1};
const std::int32_t constant[n_inputs] = {3, 0, 1, 2};
std::int64_t result = 0;

void ready(Model &model) {
    model.prepare_input(event);
    model.predict();
}

const std::map<std::string, std::function<void(Model &)>> cases = {
    {"array", [](Model &m) { result = word(m, event); }},
    {"const array", [](Model &m) { result = word(m, constant); }},
    {"vector.data()", [](Model &m) { std::vector<std::int32_t> v(event, event + 4); result = word(m, v.data()); }},
    {"any with it", [](Model &m) { std::any any = &event[0]; result = word(m, any); }},
    {"twice", [](Model &m) { ready(m); m.predict(); m.read_result(&result); m.read_result(&result); }},
    {"copied", [](Model &m) {
        std::int32_t once[n_inputs] = {3, 0, 1, 2};
        m.prepare_input(once);
        once[0] = 31;
        m.predict();
        m.read_result(&result);
    }},
    {"after a refusal", [](Model &m) {
        try { m.prepare_input(std::any()); } catch (const std::exception &) {}
        result = word(m, event);
    }},
    {"empty", [](Model &m) { m.prepare_input(std::any()); }},
    {"null", [](Model &m) { m.prepare_input(static_cast<std::int32_t *>(nullptr)); }},
    {"vector", [](Model &m) { m.prepare_input(std::vector<std::int32_t>(event, event + 4)); }},
    {"std::array", [](Model &m) { m.prepare_input(std::array<std::int32_t, 4>{3, 0, 1, 2}); }},
    {"pointer to array", [](Model &m) { m.prepare_input(&event); }},
    {"int", [](Model &m) { m.prepare_input(3); }},
    {"pointer to std::array", [](Model &m) { std::array<std::int32_t, 4> a{}; m.prepare_input(&a); }},
    {"long", [](Model &m) { long a[4] = {3, 0, 1, 2}; m.prepare_input(&a[0]); }},
    {"unsigned", [](Model &m) { unsigned a[4] = {3, 0, 1, 2}; m.prepare_input(&a[0]); }},
    {"result int", [](Model &m) { ready(m); int r; m.read_result(&r); }},
    {"result long long", [](Model &m) { ready(m); long long r; m.read_result(&r); }},
    {"result const", [](Model &m) { ready(m); const std::int64_t r = 0; m.read_result(&r); }},
    {"result null", [](Model &m) { ready(m); m.read_result(static_cast<std::int64_t *>(nullptr)); }},
    {"no input", [](Model &m) { m.predict(); }},
    {"no predict", [](Model &m) { ready(m); m.prepare_input(other); m.read_result(&result); }},
    {"input refused", [](Model &m) {
        ready(m);
        try { m.prepare_input(std::any()); } catch (const std::exception &) {}
        m.predict();
    }},
#ifdef AP_TYPES
    {"ap", [](Model &m) {
        INPUT a[4];
        for (int i = 0; i < 4; i++) a[i] = INPUT(event[i]) * INPUT(SCALE);
        RESULT r[1];
        m.prepare_input(&a[0]);
        m.predict();
        m.read_result(&r[0]);
        std::cout << r[0].to_double() << '\n';
    }},
    {"ap const", [](Model &m) {
        const INPUT a[4] = {INPUT(-SCALE), INPUT(1), INPUT(1), INPUT(SCALE)};
        RESULT r[1];
        m.prepare_input(&a[0]);
        m.predict();
        m.read_result(&r[0]);
        std::cout << r[0].to_double() << '\n';
    }},
    {"ap of another mode", [](Model &m) {
        ap_ufixed<5, 5, AP_TRN, AP_WRAP> a[4];
        m.prepare_input(&a[0]);
    }},
    {"ap_uint", [](Model &m) { ap_uint<5> a[4]; m.prepare_input(&a[0]); }},
    {"ap result of another mode", [](Model &m) {
        ready(m);
        ap_fixed<12, 10> r[1];
        m.read_result(&r[0]);
    }},
#endif
};

int loaded_twice(const std::string &name) {
    Library library(name);
    auto first = library.model(), second = library.model();
    first->prepare_input(other);
    second->prepare_input(event);
    first.reset();
    second->predict();
    second->read_result(&result);
    std::cout << result << '\n';
    return 0;
}

// Two models, each with events of its own in a thread of its own.
int threads(const std::string &name, int objects) {
    Library library(name);
    std::vector<std::thread> running;
    std::vector<int> wrong(objects);
    for (int k = 0; k < objects; k++)
        running.emplace_back([&, k, model = library.model()] {
            std::int32_t inputs[n_inputs] = {};
            const std::int64_t expected[2] = {word(*model, event), word(*model, other)};
            for (int i = 0; i < 20000; i++) {
                for (int j = 0; j < n_inputs; j++) inputs[j] = (i + k) % 2 ? other[j] : event[j];
                wrong[k] += word(*model, inputs) != expected[(i + k) % 2];
            }
        });
    for (auto &thread : running) thread.join();
    for (int k = 0; k < objects; k++) std::cout << wrong[k] << ' ';
    std::cout << "wrong\n";
    return 0;
}

int main(int argc, char **argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    try {
        if (arguments.back() == "words") return words({arguments.begin(), arguments.end() - 1});
        if (arguments.back() == "loaded twice") return loaded_twice(arguments[0]);
        if (arguments.back() == "threads") return threads(arguments[0], 2);
        Library library(arguments[0]);
        const auto model = library.model();
        try {
            cases.at(arguments[1])(*model);
            if (result) std::cout << result << '\n';
        } catch (const std::invalid_argument &error) {
            std::cout << "invalid_argument: " << error.what() << '\n';
        } catch (const std::logic_error &error) {
            std::cout << "logic_error: " << error.what() << '\n';
        }
    } catch (const std::exception &error) {
        std::cout << "not loaded: " << error.what() << '\n';
        return 1;
    }
}
