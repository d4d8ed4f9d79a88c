#include "byte_level.h"
#include "parts.h"

namespace qkv {
namespace {

// Takes out the spaces that cutting put around punctuation, as the published code does, token by token.
void clean_up(std::string& text) {
  for (const char* mark : {".", "?", "!", ","}) text = replace_all(text, std::string(" ") + mark, mark);
  text = replace_all(text, " ' ", "'");
  for (const char* tail : {"n't", "'m", "'s", "'ve", "'re"})
    text = replace_all(text, std::string(" ") + tail, tail);
  text = replace_all(text, " do not", " don't");
}

Decoder word_piece(const Json& part, const std::string& where) {
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

Decoder bpe(const Json& part, const std::string& where) {
  const std::string suffix = string_member_or(part, "suffix", "</w>", where);
  if (suffix.empty()) fail(Fault::data, "{}: 'suffix' must not be empty", where);
  return [=](Strings tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replace_all(tokens[i], suffix, i + 1 < tokens.size() ? " " : "");
    return tokens;
  };
}

Decoder byte_level(const Json&, const std::string&) {
  return [](const Strings& tokens) {
    return Strings{repaired(from_letters(join(tokens, "")))};
  };
}

Decoder fuse(const Json&, const std::string&) {
  return [](const Strings& tokens) {
    return Strings{join(tokens, "")};
  };
}

}  // namespace

Decoder make_decoder(const Json& part, const std::string& where) {
  static const std::vector<StepKind<Decoder>> kinds{
      {"ByteLevel", {"add_prefix_space", "trim_offsets", "use_regex"}, byte_level},
      {"WordPiece", {"prefix", "cleanup"}, word_piece},
      {"BPEDecoder", {"suffix"}, bpe},
      {"Fuse", {}, fuse}};
  return make_step<Decoder>(part, where, kinds, "decoders",
                            [](const Strings& tokens) { return Strings{join(tokens, " ")}; });
}

}  // namespace qkv
