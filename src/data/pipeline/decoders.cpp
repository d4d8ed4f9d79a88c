#include <unordered_map>

#include "parts.h"

namespace qkv {

const Strings& byte_letters() {
  static const Strings all = [] {
    Strings result(256);
    char32_t other = 0x100;
    for (std::size_t byte = 0; byte < result.size(); ++byte) {
      const bool itself = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      append_utf8(result[byte], itself ? char32_t(byte) : other++);
    }
    return result;
  }();
  return all;
}

std::string to_letters(std::string_view bytes) {
  std::string result;
  result.reserve(bytes.size() + bytes.size() / 4);
  for (char byte : bytes) result += byte_letters()[static_cast<unsigned char>(byte)];
  return result;
}

namespace {

// Letters back to bytes; characters that are no letters stay as they are.
std::string from_letters(std::string_view text) {
  static const auto bytes = [] {
    std::unordered_map<std::string_view, char> result;
    for (std::size_t byte = 0; byte < 256; ++byte) result[byte_letters()[byte]] = char(byte);
    return result;
  }();
  std::string result;
  for (std::size_t at = 0, begin = 0; at < text.size(); begin = at) {
    next_code_point(text, at);
    const std::string_view letter = text.substr(begin, at - begin);
    if (const auto found = bytes.find(letter); found != bytes.end())
      result += found->second;
    else
      result += letter;
  }
  return result;
}

// U+FFFD for every byte that is not part of valid UTF-8; one for a cut-off character.
std::string repaired(std::string_view bytes) {
  std::string result;
  while (true) {
    const std::size_t bad = first_invalid_utf8(bytes);
    result += bytes.substr(0, bad);
    if (bad == std::string_view::npos) return result;
    append_utf8(result, 0xFFFD);
    bytes.remove_prefix(bad + 1);
    while (!bytes.empty() && (static_cast<unsigned char>(bytes[0]) & 0xC0) == 0x80) bytes.remove_prefix(1);
  }
}

// Takes out the spaces that cutting put around punctuation, as the published code does, token by token.
void clean_up(std::string& text) {
  for (const char* mark : {".", "?", "!", ","}) text = replace_all(text, std::string(" ") + mark, mark);
  text = replace_all(text, " ' ", "'");
  for (const char* tail : {"n't", "'m", "'s", "'ve", "'re"})
    text = replace_all(text, std::string(" ") + tail, tail);
  text = replace_all(text, " do not", " don't");
}

Decoder decode_word_piece(const Json& part, const std::string& where) {
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

Decoder decode_bpe(const Json& part, const std::string& where) {
  const std::string suffix = string_member_or(part, "suffix", "</w>", where);
  if (suffix.empty()) fail(Fault::data, "{}: 'suffix' must not be empty", where);
  return [=](Strings tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      tokens[i] = replace_all(tokens[i], suffix, i + 1 < tokens.size() ? " " : "");
    return tokens;
  };
}

}  // namespace

Decoder make_decoder(const Json& part, const std::string& where) {
  static const std::vector<StepKind<Decoder>> kinds{
      fixed_step<Decoder>(
          "ByteLevel",
          [](const Strings& tokens) { return Strings{repaired(from_letters(join(tokens, "")))}; },
          {"add_prefix_space", "trim_offsets", "use_regex"}),
      {"WordPiece", {"prefix", "cleanup"}, decode_word_piece},
      {"BPEDecoder", {"suffix"}, decode_bpe},
      fixed_step<Decoder>("Fuse", [](const Strings& tokens) { return Strings{join(tokens, "")}; })};
  return make_step<Decoder>(part, where, kinds, "decoders",
                            [](const Strings& tokens) { return Strings{join(tokens, " ")}; });
}

}  // namespace qkv
