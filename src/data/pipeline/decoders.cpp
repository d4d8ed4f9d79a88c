#include "byte_level.h"
#include "data/json_members.h"
#include "data/replaced.h"
#include "parts.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

using Strings = std::vector<std::string>;

std::string fused(const Strings& tokens) {
  return join(tokens, "");
}

// Takes out the spaces that cutting put around punctuation, as the published code does, token by token.
void clean_up(std::string& text) {
  for (const char* mark : {".", "?", "!", ","}) text = replaced(text, std::string(" ") + mark, mark);
  text = replaced(text, " ' ", "'");
  for (const char* tail : {"n't", "'m", "'s", "'ve", "'re"})
    text = replaced(text, std::string(" ") + tail, tail);
  text = replaced(text, " do not", " don't");
}

Decoder word_piece(const Json& part, const std::string& where) {
  check_members(part, {"type", "prefix", "cleanup"}, where);
  const std::string prefix = string_member_or(part, "prefix", "##", where);
  const bool cleanup = bool_member_or(part, "cleanup", true, where);
  return [=](Strings tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0)
        token = !prefix.empty() && starts_with(token, prefix) ? token.substr(prefix.size()) : " " + token;
      if (cleanup) clean_up(token);
    }
    return tokens;
  };
}

}  // namespace

Decoder make_decoder(const Json& part, const std::string& where) {
  if (part.is_null())
    return [](Strings tokens) {
      return Strings{join(tokens, " ")};
    };
  if (!part.is_object()) fail(Fault::data, "{}: must be an object or null; got {}", where, brief(part));
  const std::string type = string_member(part, "type", where);
  if (type == "WordPiece") return word_piece(part, where);
  if (type == "ByteLevel") {
    check_members(part, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
    return [](Strings tokens) {
      return Strings{repaired(from_letters(fused(tokens)))};
    };
  }
  if (type == "BPEDecoder") {
    check_members(part, {"type", "suffix"}, where);
    const std::string suffix = string_member_or(part, "suffix", "</w>", where);
    if (suffix.empty()) fail(Fault::data, "{}: 'suffix' must not be empty", where);
    return [=](Strings tokens) {
      for (std::size_t i = 0; i < tokens.size(); ++i)
        tokens[i] = replaced(tokens[i], suffix, i + 1 < tokens.size() ? " " : "");
      return tokens;
    };
  }
  if (type == "Sequence") {
    check_members(part, {"type", "decoders"}, where);
    std::vector<Decoder> steps;
    for (const Json& step : list_member(part, "decoders", where)) steps.push_back(make_decoder(step, where));
    return [=](Strings tokens) {
      for (const Decoder& step : steps) tokens = step(std::move(tokens));
      return tokens;
    };
  }
  if (type == "Fuse") {
    check_members(part, {"type"}, where);
    return [](Strings tokens) {
      return Strings{fused(tokens)};
    };
  }
  fail(Fault::data, "{}: must be ByteLevel, WordPiece, BPEDecoder, Fuse or Sequence; got {}", where,
       in_quotes(type));
}

}  // namespace qkv
