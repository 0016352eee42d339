// hls4mlEmulator::Model, the class through which CMSSW's hls4mlEmulator::ModelLoader sees every trigger network.
// Its own header is used where the include path has it (cms-hls4ml/hls4mlEmulatorExtras, include/hls4ml/emulator.h);
// else the declaration below, which is codae-l1's: the same names, the same virtual functions in the same order, so
// that a loader built with the one can call a library built with the other.
#ifndef @GUARD@_INTERFACE_H
#define @GUARD@_INTERFACE_H

#if __cplusplus < 201703L
#error "std::any needs C++17: add -std=c++17 to CXXFLAGS"
#endif

#include <any>

#if __has_include(<hls4ml/emulator.h>)
#include <hls4ml/emulator.h>
#define @GUARD@_THEIR_INTERFACE
#elif __has_include(<emulator.h>)
#include <emulator.h>
#define @GUARD@_THEIR_INTERFACE
#endif

#ifndef @GUARD@_THEIR_INTERFACE
namespace hls4mlEmulator {

// The order of the functions is the order in which callers find them.
class Model {
public:
    virtual void prepare_input(std::any input) = 0;
    virtual void predict() = 0;
    virtual void read_result(std::any result) = 0;
    virtual ~Model() = default;
};

}  // namespace hls4mlEmulator
#elif !defined(HLS4ML_EMULATOR_H_)
#error "emulator.h on the include path is not that of hls4mlEmulatorExtras: correct INCLUDES"
#endif

#endif
