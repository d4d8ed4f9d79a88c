// Members of JSON objects that come from files: present, of the right type, in range, or a data error.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// The value in quotes, cut to what fits a message.
std::string brief(const Json& value);
bool is_unsigned(const Json& value);

const Json& object_member(const Json& object, const char* key, const std::string& where);
const Json& list_member(const Json& object, const char* key, const std::string& where);
std::string string_member(const Json& object, const char* key, const std::string& where);
bool bool_member(const Json& object, const char* key, const std::string& where);
std::int64_t integer_member(const Json& object, const char* key, std::int64_t low, std::int64_t high,
                            const std::string& where);

/// Null where it is absent, or the object none.
const Json& member_or_null(const Json& object, const char* key);
/// The same as above, with what an absent or null member stands for.
std::string string_member_or(const Json& object, const char* key, const std::string& absent,
                             const std::string& where);
bool bool_member_or(const Json& object, const char* key, bool absent, const std::string& where);

/// Refuses a member that is not among `known`, so that nothing a file says is dropped in silence.
void check_members(const Json& object, const std::vector<std::string>& known, const std::string& where);

// ---- of tokenizer.json

Json vocab_member(const Vocab& vocab);
/// An element of "added_tokens".
Json special_token(int id, const std::string& content);
/// Within the limits of size and depth.
Json read_tokenizer_json(const std::string& path);

}  // namespace qkv
