#include "data/text_stream.h"

#include <algorithm>
#include <cstring>

#include "qkv/base/text.h"

namespace qkv {

// A character has at most 4 bytes, and a token at least one.
constexpr std::size_t kTokensPerCharacter = 4;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

static bool ends_in_space(const std::string& text) {
  return !text.empty() && std::strchr(" \t\r\n", text.back());
}

TextStream::TextStream(const Tokenizer& tokenizer, const std::vector<int>& prompt, const std::string& text)
    : tokenizer_(tokenizer) {
  for (auto id = prompt.rbegin(); id != prompt.rend() && window_.size() < kTokensPerCharacter; ++id)
    if (!tokenizer.decode({*id}).empty()) window_.insert(window_.begin(), *id);
  begin_ = window_.size();
  given_ = tokenizer.decode(window_).size();
  space_shown_ = ends_in_space(text) && !ends_in_space(tokenizer.decode(window_));
}

std::string TextStream::add(int id) {
  if (tokenizer_.decode({id}).empty()) return "";  // a special token
  window_.push_back(id);
  return take(false);
}

// How a token is written may depend on those before it (spaces between words), so the text is that of the
// window. What it ends with may be a character that is not whole yet, recognised by the replacements of its
// bytes.
std::string TextStream::take(bool all) {
  const std::string text = tokenizer_.decode(window_);
  std::size_t whole = text.size();
  for (std::size_t i = 1; i < kTokensPerCharacter && !all; i++)
    if (ends_with(std::string_view(text).substr(0, whole), kReplacement)) whole -= kReplacement.size();
  std::string piece = text.substr(std::min(given_, whole), whole - std::min(given_, whole));
  given_ = std::max(given_, whole);
  if (whole == text.size()) {  // the next token begins a character
    drop(begin_, tokenizer_.decode({window_.begin() + std::ptrdiff_t(begin_), window_.end()}).size());
    begin_ = window_.size();
  } else if (window_.size() > 2 * kTokensPerCharacter) {  // bytes that never became a character
    const auto cut = window_.begin() + std::ptrdiff_t(kTokensPerCharacter);
    const std::string front = tokenizer_.decode({window_.begin(), cut}),
                      back = tokenizer_.decode({cut, window_.end()});
    if (front.size() <= given_ && front + back == text) drop(kTokensPerCharacter, given_ - front.size());
  }
  if (space_shown_ && !piece.empty()) {
    if (piece[0] == ' ') piece.erase(0, 1);
    space_shown_ = false;
  }
  return piece;
}

// Forgets the first tokens of the window; `given` bytes of the others' text are given out.
void TextStream::drop(std::size_t tokens, std::size_t given) {
  window_.erase(window_.begin(), window_.begin() + std::ptrdiff_t(tokens));
  begin_ -= std::min(begin_, tokens);
  given_ = given;
}

}  // namespace qkv
