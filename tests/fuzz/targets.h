// What is fed with hostile input: every parser of files that a user may have from elsewhere.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace qkv::test {

/// A parser by its name, e.g. "safetensors". It must read any bytes or throw an Error of the user's faults,
/// with a message of one line; what it has read must survive being written and read again.
struct FuzzTarget {
  const char* name;
  void (*run)(std::string_view bytes);
};
const std::vector<FuzzTarget>& fuzz_targets();

/// Runs one; an Error that is the input's fault is what parsers are for, all else is passed on.
void run_fuzz_target(const std::string& name, std::string_view bytes);

}  // namespace qkv::test
