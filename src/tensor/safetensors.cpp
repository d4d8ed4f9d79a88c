#include "qkv/tensor/safetensors.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <tuple>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "safetensors files are little-endian, and so are we");

namespace qkv {
namespace {

constexpr int kMaxNesting = 4;

// A dtype of the format, and the one that takes its values; the others can only be skipped.
struct Format {
  const char* name;
  std::size_t size;
  Dtype dtype;
  bool skipped = false;
};
constexpr Format kFormats[] = {
    {"F64", 8, Dtype::f64},       {"F32", 4, Dtype::f32},       {"F16", 2, Dtype::f32},
    {"BF16", 2, Dtype::f32},      {"I32", 4, Dtype::i32},       {"BOOL", 1, Dtype::i32, true},
    {"U8", 1, Dtype::i32, true},  {"I8", 1, Dtype::i32, true},  {"U16", 2, Dtype::i32, true},
    {"I16", 2, Dtype::i32, true}, {"U32", 4, Dtype::i32, true}, {"I64", 8, Dtype::i32, true},
    {"U64", 8, Dtype::i32, true}};

// ---- the header of a file

// Where a tensor lies in a file.
struct Entry : SafetensorsEntry {
  const Format* format = nullptr;
  std::uint64_t begin = 0, end = 0;  // bytes, counted from the start of the data
};

std::string brief(const Json& value) {
  return value.is_structured() ? value.type_name() : in_quotes(dump_json(value));
}

// Without sign, fraction, exponent, of at most 64 bits. (nlohmann-json would read -1 as 2^64 - 1, 1.5 as 1.)
std::uint64_t to_unsigned(const Json& value, const std::string& where, const char* what) {
  if (!value.is_number_unsigned())
    fail(Fault::data, "{}: {} must be unsigned integers; got {}", where, what, brief(value));
  return value.get<std::uint64_t>();
}

const Json& member(const Json& object, const char* key, bool (Json::*is_type)() const noexcept,
                   const char* type, const std::string& where) {
  auto found = object.find(key);
  if (found == object.end()) fail(Fault::data, "{}: must have '{}'; got none", where, key);
  if (!((*found).*is_type)())
    fail(Fault::data, "{}: '{}' must be {}; got {}", where, key, type, brief(*found));
  return *found;
}

// The bytes must be product(shape) x element size, and no more than Shape allows.
void check_span(const Entry& entry, const std::string& where) {
  constexpr std::uint64_t limit = std::uint64_t{1} << 62;
  std::uint64_t product = entry.format->size;
  const std::string type = fmt::format("{} [{}]", entry.format->name, fmt::join(entry.shape, ", "));
  for (std::uint64_t extent : entry.shape) {
    if (extent > limit || (extent > 0 && product > limit / extent))
      fail(Fault::data, "{}: shape must have at most 2^62 bytes; got {}", where, type);
    product *= extent;
  }
  if (entry.end < entry.begin || entry.end - entry.begin != product)
    fail(Fault::data, "{}: data_offsets must span {} bytes, the size of {}; got [{}, {}]", where, product,
         type, entry.begin, entry.end);
}

Entry parse_entry(const std::string& name, const Json& value, const std::string& file, bool filtered) {
  if (name.empty() || name.size() > kMaxSafetensorsName)
    fail(Fault::data, "{}: tensor names must have 1 to {} bytes; got {}", file, kMaxSafetensorsName,
         name.size());
  const std::string where = fmt::format("{}: tensor {}", file, in_quotes(name));
  if (!value.is_object()) fail(Fault::data, "{}: must be an object; got {}", where, brief(value));
  for (const auto& item : value.items())
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets")
      fail(Fault::data, "{}: must have 'dtype', 'shape' and 'data_offsets' only; got {}", where,
           in_quotes(item.key()));
  Entry entry;
  entry.name = name;
  entry.dtype = member(value, "dtype", &Json::is_string, "a string", where).get<std::string>();
  for (const Format& format : kFormats)
    if (entry.dtype == format.name && (filtered || !format.skipped)) entry.format = &format;
  if (!entry.format)
    fail(Fault::data, "{}: dtype must be one of F64 F32 F16 BF16 I32; got {}", where, in_quotes(entry.dtype));
  const Json& shape = member(value, "shape", &Json::is_array, "a list", where);
  if (shape.size() > Shape::kMaxRank)
    fail(Fault::data, "{}: rank must be at most {}; got {}", where, int{Shape::kMaxRank}, shape.size());
  for (const Json& extent : shape) entry.shape.push_back(to_unsigned(extent, where, "extents of 'shape'"));
  const Json& offsets = member(value, "data_offsets", &Json::is_array, "a list", where);
  if (offsets.size() != 2)
    fail(Fault::data, "{}: data_offsets must be [begin, end]; got {} numbers", where, offsets.size());
  entry.begin = to_unsigned(offsets[0], where, "data_offsets");
  entry.end = to_unsigned(offsets[1], where, "data_offsets");
  check_span(entry, where);
  return entry;
}

// The tensors must tile the data: no overlap, no hole, nothing missing, nothing after them.
void check_tiling(const std::vector<Entry>& entries, std::uint64_t data_size, const std::string& where) {
  std::uint64_t end = 0;
  const std::string* previous = nullptr;
  for (const Entry& entry : entries) {
    if (entry.begin < end)
      fail(Fault::data, "{}: tensors must not overlap; got {} from byte {} and {} up to byte {}", where,
           in_quotes(entry.name), entry.begin, in_quotes(*previous), end);
    if (entry.begin > end)
      fail(Fault::data, "{}: tensors must leave no hole; got bytes {} to {} unused before {}", where, end,
           entry.begin, in_quotes(entry.name));
    end = entry.end;
    previous = &entry.name;
  }
  if (end > data_size)
    fail(Fault::data, "{}: must hold {} bytes of data; got {} (truncated?)", where, end, data_size);
  if (end < data_size)
    fail(Fault::data, "{}: must end with the last tensor; got {} bytes after it", where, data_size - end);
}

// The tensors in the order of the data, which has `data_size` bytes.
std::vector<Entry> parse_header(std::string_view header, std::uint64_t data_size, const std::string& where,
                                SafetensorsMetadata* metadata, bool filtered) {
  const Json object = parse_json(header, where + ": header", {kMaxSafetensorsHeader, kMaxNesting});
  if (!object.is_object())
    fail(Fault::data, "{}: header must be a JSON object; got {}", where, brief(object));
  std::vector<Entry> entries;
  SafetensorsMetadata texts;
  for (const auto& item : object.items()) {
    if (item.key() != kSafetensorsMetadata) {
      entries.push_back(parse_entry(item.key(), item.value(), where, filtered));
      continue;
    }
    if (!item.value().is_object())
      fail(Fault::data, "{}: __metadata__ must be an object; got {}", where, brief(item.value()));
    for (const auto& pair : item.value().items()) {
      if (!pair.value().is_string())
        fail(Fault::data, "{}: values of __metadata__ must be strings; got {} for {}", where,
             brief(pair.value()), in_quotes(pair.key()));
      texts[pair.key()] = pair.value().get<std::string>();
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_tiling(entries, data_size, where);
  if (metadata) *metadata = std::move(texts);
  return entries;
}

// ---- the data of a file

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

// read(offset, to, size) gives bytes of a file of `file_size`. Nothing is allocated before sizes are sound.
using Read = std::function<void(std::uint64_t offset, void* to, std::size_t size)>;
std::vector<NamedTensor> read_all(std::uint64_t file_size, const Read& read, const std::string& where,
                                  SafetensorsMetadata* metadata, const SafetensorsFilter& wanted) {
  std::uint64_t size = 0;
  if (file_size < sizeof size) fail(Fault::data, "{}: must have at least 8 bytes; got {}", where, file_size);
  read(0, &size, sizeof size);
  if (size > kMaxSafetensorsHeader)
    fail(Fault::data, "{}: header must have at most {} bytes; got {} (not a safetensors file?)", where,
         kMaxSafetensorsHeader, size);
  const std::uint64_t data_start = sizeof size + size;
  if (data_start > file_size)
    fail(Fault::data, "{}: header of {} bytes must lie in the file; got a file of {} bytes (truncated?)",
         where, size, file_size);
  std::string header(size, '\0');
  read(sizeof size, header.data(), header.size());
  std::vector<NamedTensor> tensors;
  for (const Entry& entry : parse_header(header, file_size - data_start, where, metadata, bool(wanted))) {
    if (wanted && !wanted(entry)) continue;
    if (entry.format->skipped)
      fail(Fault::data, "{}: tensor {}: dtype must be one of F64 F32 F16 BF16 I32; got {}", where,
           in_quotes(entry.name), in_quotes(entry.dtype));
    Shape shape;
    for (std::uint64_t extent : entry.shape) shape.push_back(Index(extent));
    Tensor tensor = Tensor::empty(shape, entry.format->dtype);
    if (entry.format->size == size_of(tensor.dtype())) {
      read(data_start + entry.begin, tensor.bytes(), tensor.byte_size());
    } else {
      std::vector<std::uint16_t> raw(std::size_t(tensor.size()));
      read(data_start + entry.begin, raw.data(), raw.size() * sizeof raw[0]);
      std::transform(raw.begin(), raw.end(), tensor.data<float>(),
                     entry.format->name[0] == 'B' ? bfloat_to_float : half_to_float);
    }
    tensors.push_back({entry.name, std::move(tensor)});
  }
  return tensors;
}

}  // namespace

std::vector<NamedTensor> read_safetensors(const std::string& path, SafetensorsMetadata* metadata,
                                          const SafetensorsFilter& wanted) {
  check_plain_file(path);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) fail(Fault::data, "{}: cannot be read; got {}", path, std::strerror(errno));
  auto read = [&](std::uint64_t offset, void* to, std::size_t size) {
    file.seekg(std::streamoff(offset));
    file.read(static_cast<char*>(to), std::streamsize(size));
    if (!file) fail(Fault::data, "{}: {} bytes at {} cannot be read; got an I/O error", path, size, offset);
  };
  return read_all(std::uint64_t(file.tellg()), read, path, metadata, wanted);
}

std::vector<NamedTensor> decode_safetensors(std::string_view bytes, const std::string& where,
                                            SafetensorsMetadata* metadata) {
  auto read = [&](std::uint64_t offset, void* to, std::size_t size) {
    if (size > 0) std::memcpy(to, bytes.data() + offset, size);
  };
  return read_all(bytes.size(), read, where, metadata, {});
}

}  // namespace qkv
