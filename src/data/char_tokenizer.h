// CharTokenizer: one id per code point.
#pragma once
#include "qkv/data/tokenizer.h"

namespace qkv {

/// `[tokenizer] type = "char"`. Nothing is dropped or changed: white space and line feeds have ids too,
/// and `lowercase` is ignored.
class CharTokenizer : public Tokenizer {
 public:
  explicit CharTokenizer(const TokenizerConfig& config);
  std::vector<std::string> split(std::string_view text) const override;
  void train(const std::vector<std::string>& texts) override;
  std::vector<int> encode(std::string_view text, UnknownCount* counts = nullptr) const override;
  /// `<unk>` becomes U+FFFD.
  std::string decode(const std::vector<int>& ids) const override;

 protected:
  Json pipeline() const override;
};

}  // namespace qkv
