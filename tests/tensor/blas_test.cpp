#include "tensor/blas.h"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace qkv;
using Names = std::vector<std::string>;

TEST_CASE(
    "kernel sets: the best for the CPU first, OpenBLAS's own last, and nothing where its own is as good") {
  CHECK(kernel_sets(CpuLevel::avx512, "Prescott") ==
        Names{"SkylakeX", "Haswell", "Sandybridge", "Nehalem", "Prescott"});
  CHECK(kernel_sets(CpuLevel::avx512, "Barcelona") ==
        Names{"SkylakeX", "Haswell", "Sandybridge", "Barcelona"});
  CHECK(kernel_sets(CpuLevel::avx512, "Zen") == Names{"SkylakeX", "Zen"});
  CHECK(kernel_sets(CpuLevel::avx512, "haswell") == Names{"SkylakeX", "haswell"});
  CHECK(kernel_sets(CpuLevel::avx2, "Core2") == Names{"Haswell", "Sandybridge", "Nehalem", "Core2"});
  CHECK(kernel_sets(CpuLevel::avx, "Nano") == Names{"Sandybridge", "Nehalem", "Nano"});
  for (const char* own : {"SkylakeX", "Cooperlake", "SapphireRapids"})
    CHECK(kernel_sets(CpuLevel::avx512, own) == Names{own});
  for (const char* own : {"Haswell", "Zen", "Excavator"})
    CHECK(kernel_sets(CpuLevel::avx2, own) == Names{own});
  for (const char* own : {"Sandybridge", "Bulldozer", "Piledriver"})
    CHECK(kernel_sets(CpuLevel::avx, own) == Names{own});
  CHECK(kernel_sets(CpuLevel::base, "Prescott") == Names{"Prescott"});
  CHECK(kernel_sets(CpuLevel::avx512, "NeoverseV1") == Names{"NeoverseV1"});  // a name of another world
}

TEST_CASE("the kernels in use are as good as the CPU, unless the user asked for others, and leave no trace") {
  const Blas state = blas();
  const char* forced = std::getenv("OPENBLAS_CORETYPE");
  if (forced && *forced) {
    CHECK(state.chosen_by == "OPENBLAS_CORETYPE");
#ifndef QKV_SANITIZED  // a sanitizer may have a thread of its own, and then nothing is changed
  } else {
    CHECK(kernel_sets(cpu_level(), state.core).size() == 1);
    CHECK(state.note == "");
#endif
  }
  CHECK(state.library.find("OpenBLAS") == 0);
  CHECK(state.threads == 1);
  CHECK(blas_ready());
  CHECK(product_problem(3, 7) == "");
  CHECK(peak_gflops() > 0.5);
}
