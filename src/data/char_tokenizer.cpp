#include <unordered_map>

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// `[tokenizer] type = "char"`: one id per code point. Nothing is dropped or changed: white space and line
/// feeds have ids too. Texts have millions of characters, so that neither train() nor encode() makes a string
/// of each.
class CharTokenizer : public Tokenizer {
 public:
  explicit CharTokenizer(const TokenizerConfig& config) : Tokenizer(config) {
    if (config.split != "words")
      fail(Fault::usage, "tokenizer: 'split' concerns type 'word' only; got {} with 'char'",
           in_quotes(config.split));
  }

  std::vector<std::string> split(std::string_view text) const override { return split_code_points(text); }

  void train(const std::vector<std::string>& texts) override {
    std::unordered_map<char32_t, long> found;
    for (const std::string& text : texts) {
      check_utf8(text, "tokenizer");
      for (std::size_t i = 0; i < text.size();) ++found[next_code_point(text, i)];
    }
    TokenCounts counts;
    for (auto [code_point, count] : found) {
      std::string character;
      append_utf8(character, code_point);
      counts.emplace(std::move(character), count);
    }
    vocab_ = Vocab(counts, config_.min_freq, config_.vocab_size, config_.specials);
  }

  std::vector<int> encode(std::string_view text, UnknownCount* counts = nullptr) const override {
    check_utf8(text, "tokenizer");
    std::vector<int> ids;
    ids.reserve(text.size());
    for (std::size_t i = 0, begin = 0; i < text.size(); begin = i) {
      next_code_point(text, i);
      ids.push_back(vocab_.id(text.substr(begin, i - begin)));
      count(counts, ids.back());
    }
    return ids;
  }

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
  Json pipeline() const override {
    Json cut = {
        {"type", "Split"}, {"pattern", {{"Regex", "[\\s\\S]"}}}, {"behavior", "Isolated"}, {"invert", false}};
    return {{"pre_tokenizer", cut}, {"decoder", {{"type", "Fuse"}}}};
  }
};

QKV_REGISTER(Tokenizer, "char", CharTokenizer, "one id per Unicode character");

}  // namespace qkv
