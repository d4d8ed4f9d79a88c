// The seeds of the fuzzers and every input that they have found to be trouble, without a fuzzer.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "count.h"
#include "fuzz/targets.h"
#include "paths.h"

namespace fs = std::filesystem;

namespace qkv::test {

TEST_CASE("every seed and every input that was found is read or refused, whole and cut short") {
  for (const FuzzTarget& target : fuzz_targets()) {
    CAPTURE(std::string(target.name));
    int inputs = 0;
    for (const char* folder : {"seeds", "found"}) {
      std::error_code missing;
      for (auto& entry :
           fs::directory_iterator(source_dir() + "/tests/fuzz/" + folder + "/" + target.name, missing)) {
        CAPTURE(entry.path().string());
        std::ifstream file(entry.path(), std::ios::binary);  // packed ones, too
        const std::string bytes{std::istreambuf_iterator<char>(file), {}};
        CHECK_NOTHROW(run_fuzz_target(target.name, bytes));
        for (std::size_t cut = 1; cut < bytes.size(); cut += 1 + bytes.size() / 50)
          CHECK_NOTHROW(run_fuzz_target(target.name, bytes.substr(0, cut)));
        for (std::size_t at = 0; at < bytes.size(); at += 1 + bytes.size() / 50) {
          std::string damaged = bytes;
          damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
          CHECK_NOTHROW(run_fuzz_target(target.name, damaged));
        }
        inputs++;
      }
    }
    CHECK(inputs > 0);
    counted("parsers with a fuzzer", "read or refuse whatever they are given");
    counted("seeds and found inputs of fuzzers", "whole, cut short and damaged", inputs);
  }
  check_counted("parsers with a fuzzer", 7);
}

}  // namespace qkv::test
