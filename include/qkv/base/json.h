// JSON: a strict reader that names the byte of each fault, and a writer for numbers as people expect them.
#pragma once
#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "qkv/base/error.h"
#include "qkv/base/json_fwd.h"

namespace qkv {

/// What is refused before it is parsed.
struct JsonLimits {
  std::size_t bytes = std::size_t{1} << 30;
  int depth = 64;
};

/// One JSON value. Duplicate keys, nesting deeper than the limit, NUL bytes, invalid UTF-8 and anything after
/// the value are errors: `where: invalid JSON at byte 12 (line 1); ...`.
Json parse_json(std::string_view text, const std::string& where, JsonLimits limits = {},
                Fault fault = Fault::data);
/// The same of a file.
Json read_json(const std::string& path, JsonLimits limits = {}, Fault fault = Fault::data);

/// Text of a value: on one line, or indented. Non-finite numbers become the strings "NaN", "Infinity",
/// "-Infinity"; invalid UTF-8 becomes U+FFFD.
std::string dump_json(const Json& value, int indent = -1);

/// A number that prints as the shortest decimal that reads back as the same float (0.1f prints 0.1);
/// non-finite values become strings.
Json json_number(float value);
Json json_number(double value);
/// The number, also from the strings that stand for non-finite ones.
double to_double(const Json& value, const std::string& where);

/// Appends a member in constant time; the caller knows that the key is new (a vocabulary has 50,000 of them).
void add_member(Json& object, std::string key, Json value);

}  // namespace qkv
