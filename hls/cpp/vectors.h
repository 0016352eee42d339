// One code in two sets of instructions: those that every processor has, and AVX2 where the processor has it.
// Part of a generated emulator.
//
// A function marked INLINE becomes part of its caller and takes its instructions. One marked AVX2 has them whatever the
// compiler's options are, and is called where avx2_is_used() says so. With @GUARD@_PORTABLE defined there are none.
#ifndef @GUARD@_VECTORS_H
#define @GUARD@_VECTORS_H

#if defined(__GNUC__)
#define @GUARD@_INLINE inline __attribute__((always_inline))
#else
#define @GUARD@_INLINE inline
#endif

// Before a loop over the events of a block. GCC would unroll it, and then vectorise over whatever is around it.
#if defined(__GNUC__) && !defined(__clang__)
#define @GUARD@_VECTOR_LOOP _Pragma("GCC unroll 1")
#else
#define @GUARD@_VECTOR_LOOP
#endif

#if defined(__GNUC__) && defined(__x86_64__) && !defined(@GUARD@_PORTABLE)
#define @GUARD@_HAS_AVX2
#define @GUARD@_AVX2 __attribute__((target("avx2")))
#else
#define @GUARD@_AVX2
#endif

namespace @NAMESPACE@ {

bool avx2_is_used();

}  // namespace @NAMESPACE@

#endif
