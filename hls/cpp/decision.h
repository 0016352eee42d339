// The decision of the emulator @NAMESPACE@: thresholds on its score word, one accept bit a working point, a kill switch.
#ifndef @GUARD@_DECISION_H
#define @GUARD@_DECISION_H

#include <cstdint>

#include "@NAMESPACE@.h"

namespace @NAMESPACE@ {

// threshold: lowest score that fires; where `armed` is false, none was found, and nothing fires.
struct WorkingPoint {
    const char *name;
    bool armed;
    std::int64_t threshold;
};

constexpr int n_working_points = @POINTS@;
constexpr WorkingPoint working_points[n_working_points] = {
    @WORKING_POINTS@
};

// Score of an event's words, higher is more anomalous.
constexpr std::int64_t score(const std::int64_t *words) { return @SIGN@ * words[@COMPONENT@]; }

// Does an event fire at a working point? A score equal to the threshold does; with the kill switch nothing does.
constexpr bool accept(const std::int64_t *words, int point, bool kill) {
    return !kill && point >= 0 && point < n_working_points && working_points[point].armed &&
           score(words) >= working_points[point].threshold;
}

// All accept bits of an event, bit k that of working point k.
constexpr std::uint64_t accept_bits(const std::int64_t *words, bool kill) {
    std::uint64_t bits = 0;
    for (int k = 0; k < n_working_points; k++) bits |= static_cast<std::uint64_t>(accept(words, k, kill)) << k;
    return bits;
}

}  // namespace @NAMESPACE@

#endif
