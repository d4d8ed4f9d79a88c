#include <algorithm>
#include <tuple>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "safetensors.h"

namespace qkv {
namespace {

constexpr int kMaxNesting = 4;

std::string brief(const Json& value) {
  return value.is_structured() ? value.type_name() : in_quotes(dump_json(value));
}

// An unsigned integer of the header: no sign, no fraction, no exponent, at most 64 bits.
std::uint64_t to_unsigned(const Json& value, const std::string& where, const char* what) {
  // nlohmann-json would read -1 as 2^64 - 1 and 1.5 as 1
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

// product(shape) x element size, or an error when that is beyond what Shape allows.
std::uint64_t byte_count(const SafetensorsEntry& entry, const std::string& where) {
  constexpr std::uint64_t limit = std::uint64_t{1} << 62;
  std::uint64_t product = safetensors_element_size(entry.dtype);
  std::string shape;
  for (std::uint64_t extent : entry.shape) shape += (shape.empty() ? "" : ", ") + std::to_string(extent);
  for (std::uint64_t extent : entry.shape) {
    if (extent > limit || (extent > 0 && product > limit / extent))
      fail(Fault::data, "{}: shape must have at most 2^62 bytes; got {} [{}]", where, entry.dtype, shape);
    product *= extent;
  }
  if (entry.end < entry.begin || entry.end - entry.begin != product)
    fail(Fault::data, "{}: data_offsets must span {} bytes, the size of {} [{}]; got [{}, {}]", where,
         product, entry.dtype, shape, entry.begin, entry.end);
  return product;
}

SafetensorsEntry parse_entry(const std::string& name, const Json& value, const std::string& file) {
  if (name.empty() || name.size() > kMaxSafetensorsName)
    fail(Fault::data, "{}: tensor names must have 1 to {} bytes; got {}", file, kMaxSafetensorsName,
         name.size());
  const std::string where = fmt::format("{}: tensor {}", file, in_quotes(name));
  if (!value.is_object()) fail(Fault::data, "{}: must be an object; got {}", where, brief(value));
  for (const auto& item : value.items())
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets")
      fail(Fault::data, "{}: must have 'dtype', 'shape' and 'data_offsets' only; got {}", where,
           in_quotes(item.key()));

  SafetensorsEntry entry;
  entry.name = name;
  entry.dtype = member(value, "dtype", &Json::is_string, "a string", where).get<std::string>();
  if (safetensors_element_size(entry.dtype) == 0)
    fail(Fault::data, "{}: dtype must be one of F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL; got {}", where,
         in_quotes(entry.dtype));
  const Json& shape = member(value, "shape", &Json::is_array, "a list", where);
  if (shape.size() > Shape::kMaxRank)
    fail(Fault::data, "{}: rank must be at most {}; got {}", where, int{Shape::kMaxRank}, shape.size());
  for (const Json& extent : shape) entry.shape.push_back(to_unsigned(extent, where, "extents of 'shape'"));
  const Json& offsets = member(value, "data_offsets", &Json::is_array, "a list", where);
  if (offsets.size() != 2)
    fail(Fault::data, "{}: data_offsets must be [begin, end]; got {} numbers", where, offsets.size());
  entry.begin = to_unsigned(offsets[0], where, "data_offsets");
  entry.end = to_unsigned(offsets[1], where, "data_offsets");
  byte_count(entry, where);
  return entry;
}

// The tensors must tile the data: no overlap, no hole, nothing missing, nothing after them.
void check_tiling(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_size,
                  const std::string& where) {
  std::uint64_t end = 0;
  const std::string* previous = nullptr;
  for (const auto& entry : entries) {
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

}  // namespace

std::size_t safetensors_element_size(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

SafetensorsIndex parse_safetensors_header(std::string_view header, std::uint64_t data_size,
                                          const std::string& where) {
  JsonLimits limits;
  limits.bytes = kMaxSafetensorsHeader;
  limits.depth = kMaxNesting;
  const Json object = parse_json(header, where + ": header", limits);
  if (!object.is_object())
    fail(Fault::data, "{}: header must be a JSON object; got {}", where, brief(object));

  SafetensorsIndex index;
  for (const auto& item : object.items()) {
    if (item.key() != kSafetensorsMetadata) {
      index.entries.push_back(parse_entry(item.key(), item.value(), where));
      continue;
    }
    if (!item.value().is_object())
      fail(Fault::data, "{}: __metadata__ must be an object; got {}", where, brief(item.value()));
    for (const auto& pair : item.value().items()) {
      if (!pair.value().is_string())
        fail(Fault::data, "{}: values of __metadata__ must be strings; got {} for {}", where,
             brief(pair.value()), in_quotes(pair.key()));
      index.metadata[pair.key()] = pair.value().get<std::string>();
    }
  }
  std::sort(index.entries.begin(), index.entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  check_tiling(index.entries, data_size, where);
  return index;
}

}  // namespace qkv
