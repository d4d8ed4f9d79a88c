#include <algorithm>
#include <cstring>
#include <set>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/tensor/safetensors.h"

namespace qkv {
namespace {

const char* format_name(Dtype dtype) {
  return dtype == Dtype::f64 ? "F64" : dtype == Dtype::f32 ? "F32" : "I32";
}

// The order of the data: largest element first, so that all are aligned; then by name.
std::vector<const NamedTensor*> file_order(const std::vector<NamedTensor>& tensors) {
  std::vector<const NamedTensor*> order;
  std::set<std::string_view> names;
  for (const auto& item : tensors) {
    QKV_CHECK(!item.name.empty() && item.name.size() <= kMaxSafetensorsName && is_utf8(item.name) &&
                  item.name.find('\0') == std::string::npos && item.name != kSafetensorsMetadata,
              "safetensors: a name must be UTF-8 text of 1 to {} bytes, not '{}'; got {} of {} bytes",
              kMaxSafetensorsName, kSafetensorsMetadata, in_quotes(item.name), item.name.size());
    QKV_CHECK(names.insert(item.name).second, "safetensors: names must be unique; got {} twice",
              in_quotes(item.name));
    QKV_CHECK(item.tensor.defined() && !item.tensor.is_symbolic(),
              "safetensors: tensors must have elements; got '{}' {}", item.name, item.tensor.str());
    order.push_back(&item);
  }
  std::sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    std::size_t x = size_of(a->tensor.dtype()), y = size_of(b->tensor.dtype());
    return x != y ? x > y : a->name < b->name;
  });
  return order;
}

// The length and the JSON, padded with spaces so that the data starts at a multiple of 8 bytes.
std::string encode_header(const std::vector<const NamedTensor*>& order, SafetensorsMetadata metadata) {
  Json header = Json::object();
  metadata.emplace("format", "pt");  // transformers refuses metadata without a known format
  for (const auto& [key, value] : metadata) {
    QKV_CHECK(is_utf8(key) && is_utf8(value) && (key + value).find('\0') == std::string::npos,
              "safetensors: metadata must be UTF-8 text; got {}: {}", in_quotes(key), in_quotes(value));
    header[kSafetensorsMetadata][key] = value;
  }
  std::uint64_t offset = 0;
  for (const NamedTensor* item : order) {
    const Shape& shape = item->tensor.shape();
    const std::uint64_t begin = offset;
    offset += item->tensor.byte_size();
    add_member(header, item->name,
               {{"dtype", format_name(item->tensor.dtype())},
                {"shape", std::vector<Index>(shape.begin(), shape.end())},
                {"data_offsets", {begin, offset}}});
  }
  std::string text = dump_json(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  QKV_CHECK(text.size() <= kMaxSafetensorsHeader, "safetensors: header must have at most {} bytes; got {}",
            kMaxSafetensorsHeader, text.size());
  const std::uint64_t size = text.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + text;
}

// write(bytes) for each part of the file, in order.
template <class Write>
void encode(const std::vector<NamedTensor>& tensors, const SafetensorsMetadata& metadata, Write write) {
  const auto order = file_order(tensors);
  write(encode_header(order, metadata));
  for (const NamedTensor* item : order) {
    const Tensor& tensor = item->tensor;
    write(std::string_view(reinterpret_cast<const char*>(tensor.bytes()), tensor.byte_size()));
  }
}

}  // namespace

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const SafetensorsMetadata& metadata) {
  AtomicFile file(path);
  encode(tensors, metadata, [&](std::string_view bytes) { file.write(bytes); });
  file.commit();
}

std::string encode_safetensors(const std::vector<NamedTensor>& tensors, const SafetensorsMetadata& metadata) {
  std::string all;
  encode(tensors, metadata, [&](std::string_view bytes) { all += bytes; });
  return all;
}

}  // namespace qkv
