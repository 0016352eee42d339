// The network of the emulator @NAMESPACE@: its trained words, and its layers in order. Generated; do not edit.
#ifndef @GUARD@_NETWORK_H
#define @GUARD@_NETWORK_H

#include "@NAMESPACE@_layers.h"

namespace @NAMESPACE@ {
namespace {

@NETWORK@

}  // namespace
}  // namespace @NAMESPACE@

#endif
