// What an hls4ml oneAPI project uses of SYCL, on plain queues, so that a C++17 compiler alone runs its emulation.
// Tasks run one after the other, each on all that its pipes hold; pipes never block. No part of the synthesised design.
#pragma once

#include <cstdint>
#include <cstdio>
#include <deque>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <vector>

#define SYCL_EXTERNAL

namespace sycl {

using exception = std::runtime_error;
using exception_list = std::vector<std::exception_ptr>;

namespace property::queue {
struct enable_profiling {};
} // namespace property::queue

namespace ext::oneapi::experimental {
struct properties_tag {};
template <class... Values> struct properties {
    constexpr properties(Values...) {}
};
} // namespace ext::oneapi::experimental

namespace ext::intel {
inline constexpr int fpga_emulator_selector_v = 0;

namespace experimental {
template <int Cycles> inline constexpr int ready_latency = Cycles;
template <int... Options> inline constexpr int streaming_interface = 0;
template <int... Options> inline constexpr int pipelined = 0;

template <class Name, class Word, int32_t Capacity = 0, class Properties = void, typename... More> class pipe {
  public:
    static void write(const Word &word) { words().push_back(word); }
    static Word read() {
        if (words().empty())
            throw std::logic_error("a task reads a pipe that holds nothing");
        Word word = words().front();
        words().pop_front();
        return word;
    }
    template <class Queue> static void write(Queue &, const Word &word) { write(word); }
    template <class Queue> static Word read(Queue &) { return read(); }

  private:
    static std::deque<Word> &words() {
        static std::deque<Word> held;
        return held;
    }
};

template <auto &Function> struct task_sequence {
    template <class... Arguments> void async(const Arguments &...arguments) { Function(arguments...); }
};
} // namespace experimental
} // namespace ext::intel

class queue {
  public:
    template <class... Options> explicit queue(const Options &...) {}
    template <class Name, class Kernel> void single_task(const Kernel &kernel) { kernel(); }
    void wait() {}
};

} // namespace sycl
