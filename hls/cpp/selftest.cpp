// The golden vectors through the emulator @NAMESPACE@: in blocks, one event at a time, from towers, and to accept bits.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "@NAMESPACE@.h"
#include "@NAMESPACE@_decision.h"
#include "@NAMESPACE@_pooling.h"

namespace {

using @NAMESPACE@::n_inputs;
using @NAMESPACE@::n_outputs;
using @NAMESPACE@::n_working_points;

// Integers of a text file, one event a line; exits where it is missing or a line has another length.
template <class Integer>
std::vector<Integer> read(const std::string &path, std::size_t columns) {
    std::ifstream file(path);
    std::vector<Integer> values;
    for (std::string line; std::getline(file, line);) {
        std::istringstream numbers(line);
        const std::size_t before = values.size();
        for (long long value; numbers >> value;) values.push_back(static_cast<Integer>(value));
        if (values.size() - before != columns) {
            std::cerr << path << ": a line of " << values.size() - before << " numbers, expected " << columns << "\n";
            std::exit(2);
        }
    }
    if (values.empty()) {
        std::cerr << path << " is missing or empty\n";
        std::exit(2);
    }
    return values;
}

// Towers of an event a line, those above zero as index:word.
std::vector<std::int32_t> read_towers(const std::string &path) {
    constexpr std::size_t size = @NAMESPACE@::n_towers * @NAMESPACE@::n_channels;
    std::ifstream file(path);
    std::vector<std::int32_t> towers;
    for (std::string line; std::getline(file, line);) {
        towers.resize(towers.size() + size);
        std::istringstream pairs(line);
        char colon;
        std::size_t index;
        for (std::int32_t word; pairs >> index >> colon >> word;) towers[towers.size() - size + index % size] = word;
    }
    return towers;
}

template <class Integer>
int differing(const char *what, const std::vector<Integer> &seen, const std::vector<Integer> &expected,
              std::size_t columns) {
    int found = 0;
    for (std::size_t i = 0; i < seen.size(); i += columns) {
        bool equal = true;
        for (std::size_t k = i; k < i + columns; k++) equal = equal && seen[k] == expected[k];
        if (!equal && ++found == 1) std::cout << what << ": event " << i / columns << " differs first\n";
    }
    std::cout << what << ": " << found << " of " << seen.size() / columns << " events differ\n";
    return found;
}

}  // namespace

int main(int argc, char **argv) {
    const std::string folder = argc > 1 ? argv[1] : "vectors";
    const auto inputs = read<std::int32_t>(folder + "/inputs.txt", n_inputs);
    const auto expected = read<std::int64_t>(folder + "/words.txt", n_outputs);
    const auto scores = read<std::int64_t>(folder + "/scores.txt", 1);
    const auto accepts = read<int>(folder + "/accept.txt", n_working_points);
    const auto towers = read_towers(folder + "/towers.txt");
    std::string version, checksum;
    std::ifstream(folder + "/identity.txt") >> version >> checksum;
    const std::size_t events = inputs.size() / n_inputs;
    const std::size_t images = towers.size() / (@NAMESPACE@::n_towers * @NAMESPACE@::n_channels);
    if (expected.size() != events * n_outputs || scores.size() != events ||
        accepts.size() != events * n_working_points || images == 0 || images > events) {
        std::cerr << folder << ": " << events << " inputs, " << expected.size() << " words, " << accepts.size()
                  << " accept bits, " << images << " images\n";
        return 2;
    }
    std::vector<std::int64_t> words(expected.size());
    @NAMESPACE@::predict(inputs.data(), events, words.data());
    int failed = differing("blocks", words, expected, n_outputs);
    for (std::size_t e = 0; e < events; e++)
        @NAMESPACE@::predict(inputs.data() + e * n_inputs, words.data() + e * n_outputs);
    failed += differing("one by one", words, expected, n_outputs);
    std::vector<std::int32_t> pooled(images * n_inputs);
    for (std::size_t e = 0; e < images; e++)
        @NAMESPACE@::pool(towers.data() + e * towers.size() / images, pooled.data() + e * n_inputs);
    failed += differing("pooling", pooled, inputs, n_inputs);
    std::vector<std::int64_t> scored;
    for (std::size_t e = 0; e < events; e++) scored.push_back(@NAMESPACE@::score(words.data() + e * n_outputs));
    failed += differing("score", scored, scores, 1);
    for (const bool kill : {false, true}) {
        std::vector<int> single, together;
        for (std::size_t e = 0; e < events; e++) {
            const std::uint64_t bits = @NAMESPACE@::accept_bits(words.data() + e * n_outputs, kill);
            for (int k = 0; k < n_working_points; k++) {
                single.push_back(@NAMESPACE@::accept(words.data() + e * n_outputs, k, kill));
                together.push_back(bits >> k & 1);
            }
            // No bit beyond those of the working points.
            if (n_working_points < 64 && bits >> (n_working_points % 64)) together.back() = -1;
        }
        const auto expected_bits = kill ? std::vector<int>(accepts.size()) : accepts;
        failed += differing(kill ? "killed" : "accept", single, expected_bits, n_working_points);
        failed += differing(kill ? "killed, all bits" : "accept, all bits", together, expected_bits, n_working_points);
    }
    if (version != @NAMESPACE@::version || checksum != @NAMESPACE@::checksum) {
        std::cout << "the vectors are of " << version << ", checksum " << checksum << "\n";
        failed++;
    }
    std::cout << "@NAMESPACE@ " << @NAMESPACE@::version << ", checksum " << @NAMESPACE@::checksum << ": "
              << (failed ? "FAILED" : "passed") << "\n";
    return failed ? 1 : 0;
}
