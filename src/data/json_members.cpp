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
  if (value < static_cast<std::uint64_t>(low) || value > static_cast<std::uint64_t>(high))
    fail(Fault::data, "{}: '{}' must be in [{}, {}]; got {}", where, key, low, high, value);
  return static_cast<std::int64_t>(value);
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
    if (std::find(known.begin(), known.end(), item.key()) == known.end())
      fail(Fault::data, "{}: unknown member {}{}", where, in_quotes(item.key()), suggest(item.key(), known));
}

// ---- of tokenizer.json

std::vector<std::string> read_vocab_member(const Json& model, int n_specials, const std::string& where) {
  const Json& table = object_member(model, "vocab", where);
  std::vector<std::string> tokens(table.size());
  for (const auto& item : table.items()) {
    const Json& id = item.value();
    if (!is_unsigned(id) || id.get<std::uint64_t>() >= tokens.size())
      fail(Fault::data, "{}: ids must be 0 to {} without gaps; got {} for {}", where, tokens.size() - 1,
           brief(id), in_quotes(item.key()));
    std::string& token = tokens[id.get<std::size_t>()];
    if (!token.empty())
      fail(Fault::data, "{}: ids must be unique; got {} for {} and {}", where, id.get<std::size_t>(),
           in_quotes(token), in_quotes(item.key()));
    token = item.key();
  }
  if (tokens.size() < static_cast<std::size_t>(n_specials))
    fail(Fault::data, "{}: vocab must have at least the {} special tokens; got {} tokens", where, n_specials,
         tokens.size());
  return tokens;
}

Json vocab_member(const Vocab& vocab) {
  Json table = Json::object();
  for (int id = 0; id < vocab.size(); ++id) add_member(table, vocab.token(id), id);
  return table;
}

Json special_token(int id, const std::string& content) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

Json read_tokenizer_json(const std::string& path) {
  JsonLimits limits;
  limits.bytes = std::size_t{64} << 20;
  limits.depth = 16;
  return read_json(path, limits);
}

}  // namespace qkv
