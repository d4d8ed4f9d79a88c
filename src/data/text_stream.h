// TextStream: the text of tokens as they come.
#pragma once
#include <string>
#include <vector>

#include "qkv/data/tokenizer.h"

namespace qkv {

/// Decodes a sequence token by token, each in a time that does not depend on how many came before. The pieces
/// together are the text of the whole sequence after `prompt`; what may be the beginning of a character is
/// held back until that is whole, and bytes that cannot become one are given out as U+FFFD.
class TextStream {
 public:
  /// `prompt` are the ids of `text`, which is shown already. A space at its end that its tokens do not hold
  /// (those of words) is not given again.
  TextStream(const Tokenizer& tokenizer, const std::vector<int>& prompt, const std::string& text);
  /// The text that the next token adds, "" when it must wait.
  std::string add(int id);
  /// What is still held back, when no token follows.
  std::string finish() { return take(true); }

 private:
  std::string take(bool all);
  void drop(std::size_t tokens, std::size_t given);
  const Tokenizer& tokenizer_;
  std::vector<int> window_;  ///< the tokens before the last whole character, then those since
  std::size_t begin_ = 0;    ///< where the latter begin
  std::size_t given_ = 0;    ///< bytes of the window's text
  bool space_shown_ = false;
};

}  // namespace qkv
