#include "safetensors.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "safetensors files are little-endian, and so are we");

namespace qkv {
namespace {

// ---- writing

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
    Json shape = Json::array();
    for (Index extent : item->tensor.shape()) shape.push_back(extent);
    const std::uint64_t end = offset + item->tensor.byte_size();
    Json entry = {
        {"dtype", format_name(item->tensor.dtype())}, {"shape", shape}, {"data_offsets", {offset, end}}};
    add_member(header, item->name, std::move(entry));
    offset = end;
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

// ---- reading

class MemorySource {
 public:
  explicit MemorySource(std::string_view bytes) : bytes_(bytes) {}
  std::uint64_t size() const { return bytes_.size(); }
  void read(std::uint64_t offset, void* to, std::size_t size) {
    if (size > 0) std::memcpy(to, bytes_.data() + offset, size);
  }

 private:
  std::string_view bytes_;
};

class FileSource {
 public:
  explicit FileSource(const std::string& path) : path_(path) {
    check_plain_file(path);
    file_.open(path, std::ios::binary);
    if (!file_) fail(Fault::data, "{}: cannot be read; got {}", path, std::strerror(errno));
    file_.seekg(0, std::ios::end);
    const auto end = file_.tellg();
    if (!file_ || end < 0) fail(Fault::data, "{}: must be a regular file; got one without size", path);
    size_ = std::uint64_t(end);
  }
  std::uint64_t size() const { return size_; }
  void read(std::uint64_t offset, void* to, std::size_t size) {
    file_.seekg(std::streamoff(offset));
    file_.read(static_cast<char*>(to), std::streamsize(size));
    if (!file_) fail(Fault::data, "{}: {} bytes at {} cannot be read; got an I/O error", path_, size, offset);
  }

 private:
  const std::string& path_;
  std::ifstream file_;
  std::uint64_t size_ = 0;
};

// Reads and checks the header; no allocation before its size is known to be sound.
template <class Source>
SafetensorsIndex read_index(Source& source, const std::string& where) {
  std::uint64_t size = 0;
  if (source.size() < sizeof size)
    fail(Fault::data, "{}: must have at least 8 bytes; got {}", where, source.size());
  source.read(0, &size, sizeof size);
  if (size > kMaxSafetensorsHeader)
    fail(Fault::data, "{}: header must have at most {} bytes; got {} (not a safetensors file?)", where,
         kMaxSafetensorsHeader, size);
  const std::uint64_t data_start = sizeof size + size;
  if (data_start > source.size())
    fail(Fault::data, "{}: header of {} bytes must lie in the file; got a file of {} bytes (truncated?)",
         where, size, source.size());
  std::string header(size, '\0');
  source.read(sizeof size, header.data(), header.size());
  SafetensorsIndex index = parse_safetensors_header(header, source.size() - data_start, where);
  index.data_start = data_start;
  return index;
}

// IEEE 754 binary16: sign, 5 bits of exponent with bias 15, 10 bits of fraction.
float half_to_float(std::uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  float value = 0;
  if (exponent == 31)
    value = fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  else if (exponent == 0)
    value = std::ldexp(float(fraction), -24);
  else
    value = std::ldexp(float(fraction + 1024), exponent - 25);
  return half >> 15 ? -value : value;
}

// bfloat16 is the upper half of a float.
float bfloat_to_float(std::uint16_t upper) {
  const std::uint32_t bits = std::uint32_t{upper} << 16;
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class From, class To, class F>
void convert(const std::string& raw, Tensor& tensor, F f) {
  To* out = tensor.data<To>();
  for (Index i = 0; i < tensor.size(); i++) {
    From value;
    std::memcpy(&value, raw.data() + std::size_t(i) * sizeof value, sizeof value);
    out[i] = f(value);
  }
}

void convert(const SafetensorsEntry& entry, const std::string& raw, Tensor& tensor,
             const std::string& where) {
  auto to_int = [&](std::int64_t value) {
    using Limits = std::numeric_limits<std::int32_t>;
    if (value < Limits::min() || value > Limits::max())
      fail(Fault::data, "{}: tensor {}: values must fit into i32; got {}", where, in_quotes(entry.name),
           value);
    return std::int32_t(value);
  };
  auto to_bool = [&](std::uint8_t value) {
    if (value > 1)
      fail(Fault::data, "{}: tensor {}: values of BOOL must be 0 or 1; got {}", where, in_quotes(entry.name),
           value);
    return std::int32_t{value};
  };
  if (entry.dtype == "F16") convert<std::uint16_t, float>(raw, tensor, half_to_float);
  if (entry.dtype == "BF16") convert<std::uint16_t, float>(raw, tensor, bfloat_to_float);
  if (entry.dtype == "I64") convert<std::int64_t, std::int32_t>(raw, tensor, to_int);
  if (entry.dtype == "I16") convert<std::int16_t, std::int32_t>(raw, tensor, to_int);
  if (entry.dtype == "I8") convert<std::int8_t, std::int32_t>(raw, tensor, to_int);
  if (entry.dtype == "U8") convert<std::uint8_t, std::int32_t>(raw, tensor, to_int);
  if (entry.dtype == "BOOL") convert<std::uint8_t, std::int32_t>(raw, tensor, to_bool);
}

template <class Source>
std::vector<NamedTensor> read_all(Source source, const std::string& where, SafetensorsMetadata* metadata) {
  SafetensorsIndex index = read_index(source, where);
  std::vector<NamedTensor> tensors;
  for (const SafetensorsEntry& entry : index.entries) {
    Shape shape;
    for (std::uint64_t extent : entry.shape) shape.push_back(Index(extent));
    const bool floats = entry.dtype == "F32" || entry.dtype == "F16" || entry.dtype == "BF16";
    const Dtype dtype = entry.dtype == "F64" ? Dtype::f64 : floats ? Dtype::f32 : Dtype::i32;
    Tensor tensor = Tensor::empty(shape, dtype);
    const std::uint64_t at = index.data_start + entry.begin;
    if (entry.dtype == format_name(dtype)) {
      source.read(at, tensor.bytes(), tensor.byte_size());
    } else {
      std::string raw(entry.end - entry.begin, '\0');
      source.read(at, raw.data(), raw.size());
      convert(entry, raw, tensor, where);
    }
    tensors.push_back({entry.name, std::move(tensor)});
  }
  if (metadata) *metadata = std::move(index.metadata);
  return tensors;
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

std::vector<NamedTensor> read_safetensors(const std::string& path, SafetensorsMetadata* metadata) {
  return read_all(FileSource(path), path, metadata);
}

std::vector<NamedTensor> decode_safetensors(std::string_view bytes, const std::string& where,
                                            SafetensorsMetadata* metadata) {
  return read_all(MemorySource(bytes), where, metadata);
}

}  // namespace qkv
