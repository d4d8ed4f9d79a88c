// WordTokenizer: one id per word.
#pragma once
#include "qkv/data/tokenizer.h"

namespace qkv {

/// `[tokenizer] type = "word"`. With `split = "words"` text is cut by the rules of split.h and U+2019 becomes
/// an ASCII apostrophe; with "spaces" it is cut at ASCII white space only. `lowercase` concerns A-Z.
class WordTokenizer : public Tokenizer {
 public:
  explicit WordTokenizer(const TokenizerConfig& config);
  std::vector<std::string> split(std::string_view text) const override;
  std::string normalize(std::string_view word) const override;
  /// The words with single spaces between them.
  std::string decode(const std::vector<int>& ids) const override;

 protected:
  Json pipeline() const override;
};

}  // namespace qkv
