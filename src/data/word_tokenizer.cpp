// The tokenizers that have a vocabulary and no more: "word" and "char".
#include "data/split.h"
#include "data/unicode.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// `[tokenizer] type = "word"`. With `split = "words"` text is cut by the rules of split.h and U+2019 becomes
/// an ASCII apostrophe; with "spaces" it is cut at ASCII white space only.
class WordTokenizer : public Tokenizer {
 public:
  explicit WordTokenizer(const TokenizerConfig& config) : Tokenizer(config) {}

  // In the order that pipeline() says, since lower case can move where words end (that of U+212A is an ASCII
  // k).
  std::vector<std::string> split(std::string_view text) const override {
    check_utf8(text, "tokenizer");
    const std::string normal = normalize(text);
    const auto cut = config_.split == "spaces" ? word_views(normal) : split_text(normal);
    return {cut.begin(), cut.end()};
  }

  std::string normalize(std::string_view word) const override {
    const std::string text = config_.split == "spaces" ? std::string(word) : replace_all(word, "\u2019", "'");
    return !config_.lowercase ? text : old_ ? lower_ascii(text) : unicode::lower(text);
  }

  /// The words with single spaces between them.
  std::string decode(const std::vector<int>& ids) const override {
    std::vector<std::string> words;
    for (int id : ids)
      if (!vocab_.is_special(id) || id == unk_id()) words.push_back(token(id));
    return join(words, " ");
  }

 protected:
  Json pipeline() const override {
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
};

QKV_REGISTER(Tokenizer, "word", WordTokenizer, "one id per word and punctuation mark");

/// `[tokenizer] type = "char"`: one id per code point. Nothing is dropped or changed: white space and line
/// feeds have ids too.
class CharTokenizer : public Tokenizer {
 public:
  explicit CharTokenizer(const TokenizerConfig& config) : Tokenizer(config) { refuse_split(config); }
  std::vector<std::string> split(std::string_view text) const override { return split_code_points(text); }

  /// `<unk>` becomes U+FFFD.
  std::string decode(const std::vector<int>& ids) const override {
    std::string text;
    for (int id : ids)
      if (id == unk_id())
        append_utf8(text, 0xFFFD);
      else if (!vocab_.is_special(id))
        text += token(id);
    return text;
  }

 protected:
  // Texts have millions of characters.
  void for_tokens(std::string_view text, const std::function<void(std::string_view)>& take) const override {
    for (std::size_t i = 0, begin = 0; i < text.size(); begin = i) {
      next_code_point(text, i);
      take(text.substr(begin, i - begin));
    }
  }
  Json pipeline() const override {
    Json cut = {
        {"type", "Split"}, {"pattern", {{"Regex", "[\\s\\S]"}}}, {"behavior", "Isolated"}, {"invert", false}};
    return {{"pre_tokenizer", cut}, {"decoder", {{"type", "Fuse"}}}};
  }
};

QKV_REGISTER(Tokenizer, "char", CharTokenizer, "one id per Unicode character");

}  // namespace qkv
