// What the compiler was allowed to assume about the CPU.
#pragma once

/// Names of instruction sets, each followed by a space: "sse4.2 avx2 ". Data and no code, so that it can
/// be read before it is known whether the code can run.
extern "C" const char qkv_cpu_needs[] __attribute__((visibility("hidden")));
