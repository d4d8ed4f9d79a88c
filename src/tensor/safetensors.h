// Parts of the safetensors reader.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qkv/tensor/safetensors.h"

namespace qkv {

constexpr std::uint64_t kMaxSafetensorsHeader = 100000000;  // of the specification
constexpr std::size_t kMaxSafetensorsName = 4096;
constexpr const char* kSafetensorsMetadata = "__metadata__";

/// Where a tensor lies in a file, under the name its dtype has there.
struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< bytes, counted from the start of the data
};

/// What the header says, checked against the size of the file.
struct SafetensorsIndex {
  std::vector<SafetensorsEntry> entries;  ///< in the order of the data
  SafetensorsMetadata metadata;
  std::uint64_t data_start = 0;
};

/// Element size of a dtype name of the format, 0 for one that qkv does not read.
std::size_t safetensors_element_size(const std::string& dtype);

/// Checks the header text and that its tensors tile exactly `data_size` bytes.
SafetensorsIndex parse_safetensors_header(std::string_view header, std::uint64_t data_size,
                                          const std::string& where);

}  // namespace qkv
