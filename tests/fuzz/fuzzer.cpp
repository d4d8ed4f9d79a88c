// The entry of libFuzzer for one target, QKV_FUZZ_TARGET.
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  qkv::test::run_fuzz_target(QKV_FUZZ_TARGET, {reinterpret_cast<const char*>(data), size});
  return 0;
}
