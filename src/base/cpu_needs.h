// What the compiler was allowed to assume about the CPU.
#pragma once

/// F(name of an instruction set, macro that is 1 where -march allows it), for each. Clang does not know the
/// names of the last ones; every CPU with AVX2 has them.
#ifdef __clang__
#define QKV_CPU_NEEDS_OF_GCC(F)
#else
#define QKV_CPU_NEEDS_OF_GCC(F) F("f16c", __F16C__) F("lzcnt", __LZCNT__) F("movbe", __MOVBE__)
#endif
#define QKV_CPU_NEEDS(F)                                                                                \
  F("sse4.2", __SSE4_2__)                                                                               \
  F("popcnt", __POPCNT__)                                                                               \
  F("avx", __AVX__)                                                                                     \
  F("avx2", __AVX2__) F("fma", __FMA__) F("bmi", __BMI__) F("bmi2", __BMI2__) F("avx512f", __AVX512F__) \
      F("avx512bw", __AVX512BW__) F("avx512dq", __AVX512DQ__) F("avx512vl", __AVX512VL__)               \
          QKV_CPU_NEEDS_OF_GCC(F)

/// Which of them the other sources need. Data and no code, so that it can be read before it is known whether
/// the code can run.
extern "C" const bool qkv_cpu_needs[] __attribute__((visibility("hidden")));
