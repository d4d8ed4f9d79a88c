// verify: checks that files are complete and unchanged.
#pragma once
#include <string>
#include <vector>

namespace qkv {

struct VerifyReport {
  std::vector<std::string> checked;   ///< files that were looked at
  std::vector<std::string> problems;  ///< one line each, naming the file and, of weights, the tensor
};

/// Looks through a run directory, a checkpoint folder or a .safetensors file: checksums, the structure of
/// every file, and that all weights are finite. Problems are collected, not thrown; a path that is none of
/// these is a data error.
VerifyReport verify(const std::string& path);

}  // namespace qkv
