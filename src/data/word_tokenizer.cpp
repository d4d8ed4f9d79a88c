// WordTokenizer: one id per word.
#include "data/split.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/tokenizer.h"
#include "unicode.h"

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

QKV_REGISTER(Tokenizer, "word", WordTokenizer, "one id per word and punctuation mark");

WordTokenizer::WordTokenizer(const TokenizerConfig& config) : Tokenizer(config) {}

// In the order that pipeline() says, since lower case can move where words end (that of U+212A is an ASCII
// k).
std::vector<std::string> WordTokenizer::split(std::string_view text) const {
  check_utf8(text, "tokenizer");
  const std::string normal = normalize(text);
  const auto cut = config_.split == "spaces" ? word_views(normal) : split_text(normal);
  return {cut.begin(), cut.end()};
}

std::string WordTokenizer::normalize(std::string_view word) const {
  const std::string result = config_.split == "spaces" ? std::string(word) : replace_all(word, "\u2019", "'");
  return !config_.lowercase ? result : old_ ? lower_ascii(result) : unicode::lower(result);
}

std::string WordTokenizer::decode(const std::vector<int>& ids) const {
  std::string text;
  for (int id : ids) {
    const std::string& word = token(id);
    if (vocab_.is_special(id) && id != unk_id()) continue;
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

Json WordTokenizer::pipeline() const {
  const bool words = config_.split != "spaces";
  Json steps = Json::array();
  if (words) steps.push_back({{"type", "Replace"}, {"pattern", {{"String", "\u2019"}}}, {"content", "'"}});
  if (config_.lowercase) steps.push_back({{"type", "Lowercase"}});
  Json normalizer;
  if (steps.size() == 1) normalizer = steps[0];
  if (steps.size() == 2) normalizer = {{"type", "Sequence"}, {"normalizers", steps}};
  // The pattern matches tokens in one case (invert) and what is between them in the other.
  Json cut = {{"type", "Split"},
              {"pattern", {{"Regex", words ? split_regex() : "[\\t-\\r ]+"}}},
              {"behavior", "Removed"},
              {"invert", words}};
  return {{"normalizer", normalizer}, {"pre_tokenizer", cut}};
}

}  // namespace qkv
