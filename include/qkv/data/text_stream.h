// TextStream: the text of tokens as they come.
#pragma once
#include <string>
#include <vector>

#include "qkv/data/tokenizer.h"

namespace qkv {

/// Decodes a sequence token by token, each in a time that does not depend on how many came before. The pieces
/// together are the text of the whole sequence after `prompt`; a token that ends inside a character is held
/// back until that is whole.
class TextStream {
 public:
  /// `prompt` are the ids of `text`, which is shown already. A space at its end that its tokens do not hold
  /// (those of words) is not given again.
  TextStream(const Tokenizer& tokenizer, const std::vector<int>& prompt, const std::string& text);
  /// The text that the next token adds, "" when it must wait.
  std::string add(int id);
  /// What is still held back, when no token follows.
  std::string finish();

 private:
  std::string take(bool all);
  const Tokenizer& tokenizer_;
  std::vector<int> window_;  ///< tokens given out last, then those that wait
  std::size_t given_ = 0;    ///< of the window
  bool space_shown_ = false;
};

}  // namespace qkv
