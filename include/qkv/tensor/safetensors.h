// safetensors: tensors by name in one file, the format of the Hugging Face ecosystem; a strict reader.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/tensor/tensor.h"

namespace qkv {

/// A tensor of a file.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};
/// The tensor of that name, or an undefined one.
inline Tensor tensor_named(const std::string& name, const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& one : tensors)
    if (one.name == name) return one.tensor;
  return {};
}

/// Limits of the format: bytes of a header and of a name; and the name that is taken.
constexpr std::uint64_t kMaxSafetensorsHeader = 100000000;
constexpr std::size_t kMaxSafetensorsName = 4096;
constexpr const char* kSafetensorsMetadata = "__metadata__";

/// Free text of a file, from key to value. Written files have "format": "pt" unless it is given.
using SafetensorsMetadata = std::map<std::string, std::string>;

/// Writes the file atomically, tensor by tensor: nothing is held twice.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const SafetensorsMetadata& metadata = {});
/// The bytes of such a file.
std::string encode_safetensors(const std::vector<NamedTensor>& tensors,
                               const SafetensorsMetadata& metadata = {});

/// What the header says of a tensor: its type as the file has it ("BF16"), and its shape.
struct SafetensorsEntry {
  std::string name, dtype;
  std::vector<std::uint64_t> shape;
};
/// Which tensors are read; the others may also be BOOL or integers of any width.
using SafetensorsFilter = std::function<bool(const SafetensorsEntry& entry)>;

/// All tensors in the order of the data, or those that are `wanted`. F32, F64 and I32 keep their dtype; F16
/// and BF16 become f32. Everything else is a data error `path: rule; got ..`.
std::vector<NamedTensor> read_safetensors(const std::string& path, SafetensorsMetadata* metadata = nullptr,
                                          const SafetensorsFilter& wanted = {});
/// The same from memory; `where` starts the error messages.
std::vector<NamedTensor> decode_safetensors(std::string_view bytes, const std::string& where = "safetensors",
                                            SafetensorsMetadata* metadata = nullptr);

}  // namespace qkv
