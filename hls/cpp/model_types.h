// The arrays of the library @NAMESPACE@.so as ap_fixed, where the include path has ap_fixed.h.
// Rounding and overflow mode are part of a C++ type: an array of any other type is refused, whatever its width.
#ifndef @GUARD@_TYPES_H
#define @GUARD@_TYPES_H

#if __has_include(<ap_fixed.h>)
#include <ap_fixed.h>
#define @GUARD@_AP_TYPES

namespace @NAMESPACE@ {

using input_type = @INPUT_WORD@;
using result_type = @OUTPUT_WORD@;

}  // namespace @NAMESPACE@
#endif

#endif
