#include "json_members.h"

#include <algorithm>

#include "qkv/base/text.h"

namespace qkv {
namespace {

const Json& member(const Json& object, const char* key, bool (Json::*is)() const noexcept, const char* type,
                   const std::string& where) {
  auto found = object.find(key);
  if (found == object.end()) fail(Fault::data, "{}: must have '{}'; got none", where, key);
  if (!((*found).*is)()) fail(Fault::data, "{}: '{}' must be {}; got {}", where, key, type, brief(*found));
  return *found;
}

}  // namespace

std::string brief(const Json& value) {
  return in_quotes(dump_json(value));
}

bool is_unsigned(const Json& value) {
  return value.is_number_unsigned() || (value.is_number_integer() && value.get<std::int64_t>() >= 0);
}

const Json& member_or_null(const Json& object, const char* key) {
  static const Json null;
  auto found = object.find(key);
  return found == object.end() ? null : *found;
}

const Json& object_member(const Json& object, const char* key, const std::string& where) {
  return member(object, key, &Json::is_object, "an object", where);
}
const Json& list_member(const Json& object, const char* key, const std::string& where) {
  return member(object, key, &Json::is_array, "a list", where);
}
std::string string_member(const Json& object, const char* key, const std::string& where) {
  return member(object, key, &Json::is_string, "a string", where).get<std::string>();
}
bool bool_member(const Json& object, const char* key, const std::string& where) {
  return member(object, key, &Json::is_boolean, "true or false", where).get<bool>();
}

std::int64_t integer_member(const Json& object, const char* key, std::int64_t low, std::int64_t high,
                            const std::string& where) {
  const Json& found = member(object, key, &Json::is_number_integer, "an unsigned integer", where);
  if (!is_unsigned(found))
    fail(Fault::data, "{}: '{}' must be an unsigned integer; got {}", where, key, brief(found));
  const auto value = found.get<std::uint64_t>();
  if (value < std::uint64_t(low) || value > std::uint64_t(high))
    fail(Fault::data, "{}: '{}' must be in [{}, {}]; got {}", where, key, low, high, value);
  return std::int64_t(value);
}

std::string string_member_or(const Json& object, const char* key, const std::string& absent,
                             const std::string& where) {
  return member_or_null(object, key).is_null() ? absent : string_member(object, key, where);
}
bool bool_member_or(const Json& object, const char* key, bool absent, const std::string& where) {
  return member_or_null(object, key).is_null() ? absent : bool_member(object, key, where);
}

void check_members(const Json& object, const std::vector<std::string>& known, const std::string& where) {
  for (const auto& item : object.items())
    if (!std::count(known.begin(), known.end(), item.key()))
      fail(Fault::data, "{}: unknown member {}{}", where, in_quotes(item.key()), suggest(item.key(), known));
}

}  // namespace qkv
