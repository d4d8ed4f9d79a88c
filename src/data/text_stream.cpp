#include "qkv/data/text_stream.h"

#include <algorithm>
#include <cstring>

#include "qkv/base/text.h"

namespace qkv {

// A character has at most 4 bytes, and a token at least one.
constexpr std::size_t kTokensPerCharacter = 4;

static bool ends_in_space(const std::string& text) {
  return !text.empty() && std::strchr(" \t\r\n", text.back());
}

TextStream::TextStream(const Tokenizer& tokenizer, const std::vector<int>& prompt, const std::string& text)
    : tokenizer_(tokenizer) {
  for (auto id = prompt.rbegin(); id != prompt.rend() && window_.size() < kTokensPerCharacter; ++id)
    if (!tokenizer.decode({*id}).empty()) window_.insert(window_.begin(), *id);
  given_ = window_.size();
  space_shown_ = ends_in_space(text) && !ends_in_space(tokenizer.decode(window_));
}

std::string TextStream::add(int id) {
  if (tokenizer_.decode({id}).empty()) return "";  // a special token
  window_.push_back(id);
  return take(window_.size() - given_ >= kTokensPerCharacter);
}

std::string TextStream::finish() {
  return given_ < window_.size() ? take(true) : "";
}

// How a token is written may depend on those before it (spaces between words), so both texts are decoded from
// the tokens given out last.
std::string TextStream::take(bool all) {
  const auto waiting = window_.begin() + static_cast<std::ptrdiff_t>(given_);
  const std::string before = tokenizer_.decode({window_.begin(), waiting}), text = tokenizer_.decode(window_);
  if (!all && ends_with(text, "\xEF\xBF\xBD")) return "";
  window_.erase(window_.begin(), waiting);
  given_ = window_.size();
  std::string piece = text.substr(std::min(before.size(), text.size()));
  if (space_shown_ && !piece.empty()) {
    if (piece[0] == ' ') piece.erase(0, 1);
    space_shown_ = false;
  }
  return piece;
}

}  // namespace qkv
