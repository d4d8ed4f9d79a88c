// WordPiece: a word is cut greedily into the longest tokens of the vocabulary, "##" before all but the first
// (Devlin et al., "BERT", 2019). The vocabulary is learned by merging pairs, as in tokenizers of Hugging
// Face. WordLevel: a word is a token.
#include <algorithm>
#include <unordered_map>

#include "data/json_members.h"
#include "data/prefix_table.h"
#include "merges.h"
#include "qkv/base/text.h"
#include "token_model.h"

namespace qkv {
namespace {

class WordPiece : public TokenModel {
 public:
  void encode(const Vocab& vocab, std::string_view word, std::vector<int>& ids) const override {
    const std::size_t begin = ids.size();
    bool found = count_code_points(word) <= max_chars_;
    for (std::size_t at = 0; found && at < word.size();) {
      const PrefixTable::Hit hit = (at > 0 ? inner_ : first_).longest(word.substr(at));
      found = hit.size > 0;
      if (found) ids.push_back(hit.id);
      at += hit.size;
    }
    if (found) return;
    ids.resize(begin);  // one part is unknown: the word is
    ids.push_back(vocab.unk_id());
  }

  Json json(const Vocab& vocab) const override {
    return {{"type", "WordPiece"},
            {"unk_token", vocab.token(vocab.unk_id())},
            {"continuing_subword_prefix", prefix_},
            {"max_input_chars_per_word", max_chars_}};
  }

  void train(const TokenCounts& words, const TokenizerConfig& config,
             std::vector<std::string>& tokens) override {
    if (config.max_word_chars > kMostChars)
      fail(Fault::usage, "tokenizer.max_word_chars must be at most {}; got {}", kMostChars,
           config.max_word_chars);
    max_chars_ = static_cast<std::size_t>(config.max_word_chars);
    TokenCounts letters;
    std::vector<std::pair<std::vector<std::string>, long>> spelt;
    for (const auto& [word, count] : words) {
      std::vector<std::string> parts = split_code_points(word);
      if (parts.size() > max_chars_) continue;
      for (std::size_t i = 1; i < parts.size(); ++i) parts[i] = prefix_ + parts[i];
      for (const std::string& part : parts) letters[part] += count;
      spelt.emplace_back(std::move(parts), count);
    }
    const int size = wanted_size(config), n_specials = static_cast<int>(tokens.size());
    const std::vector<std::string> alphabet =
        Vocab(letters, config.min_freq, std::max(2, 2 + size - n_specials)).tokens();
    std::unordered_map<std::string, int> ids;
    for (const std::string& special : tokens) ids.emplace(special, -1);
    for (std::size_t i = 2; i < alphabet.size(); ++i)  // after the two specials of any Vocab
      if (ids.emplace(alphabet[i], static_cast<int>(tokens.size())).second) tokens.push_back(alphabet[i]);
    std::vector<CountedWord> counted;
    for (const auto& [parts, count] : spelt) {
      counted.push_back({{}, count});
      for (const std::string& part : parts) {
        const auto id = ids.find(part);
        if (id != ids.end() && id->second >= 0) {
          counted.back().symbols.push_back(id->second);
        } else {  // a rare letter: what stands around it counts by itself
          counted.push_back({{}, count});
        }
      }
    }
    learn_merges(counted, config.min_freq, [&](int left, int right) {
      if (static_cast<int>(tokens.size()) >= size) return -1;
      const std::string token = tokens[static_cast<std::size_t>(left)] +
                                tokens[static_cast<std::size_t>(right)].substr(prefix_.size());
      const auto [at, is_new] = ids.emplace(token, static_cast<int>(tokens.size()));
      if (is_new) tokens.push_back(token);
      return at->second;
    });
    note(tokens, [&](int id) { return id < n_specials; });
  }

  void read(const Json& model, const Vocab& vocab, const std::string& where) override {
    check_members(model,
                  {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"},
                  where);
    if (vocab.unk_id() < 0) fail(Fault::data, "{}: 'unk_token' must be a token; got none", where);
    prefix_ = string_member_or(model, "continuing_subword_prefix", "##", where);
    max_chars_ = 100;
    if (model.contains("max_input_chars_per_word"))
      max_chars_ = static_cast<std::size_t>(
          integer_member(model, "max_input_chars_per_word", 1, std::int64_t{1} << 31, where));
    constexpr std::size_t kMostBytes = 4 * kMostChars + 100;  // with the prefix
    for (const std::string& token : vocab.tokens())
      if (token.size() > kMostBytes)
        fail(Fault::data, "{}: vocab: tokens must have at most {} bytes; got {}", where, kMostBytes,
             token.size());
    note(vocab.tokens(), [&](int id) { return !has(vocab, id); });
  }

 private:
  // `is_special` marks the ids that no text yields.
  template <class IsSpecial>
  void note(const std::vector<std::string>& tokens, IsSpecial is_special) {
    std::vector<std::pair<std::string, int>> first, inner;
    for (int id = 0; id < static_cast<int>(tokens.size()); ++id) {
      const std::string& token = tokens[static_cast<std::size_t>(id)];
      if (is_special(id)) continue;
      first.emplace_back(token, id);
      if (starts_with(token, prefix_)) inner.emplace_back(token.substr(prefix_.size()), id);
    }
    first_ = PrefixTable(std::move(first)), inner_ = PrefixTable(std::move(inner));
  }

  static constexpr int kMostChars = 1000;  // of a token: what a long word may take grows with it
  std::string prefix_ = "##";
  std::size_t max_chars_ = 100;
  PrefixTable first_, inner_;  // tokens that begin a word; that go on, without the prefix
};

class WordLevel : public TokenModel {
 public:
  void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& ids) const override {
    const int id = vocab.id(piece);
    ids.push_back(has(vocab, id) ? id : vocab.unk_id());
  }
  Json json(const Vocab& vocab) const override {
    return {{"type", "WordLevel"}, {"unk_token", vocab.token(vocab.unk_id())}};
  }
  void read(const Json& model, const Vocab& vocab, const std::string& where) override {
    check_members(model, {"type", "unk_token", "vocab"}, where);
    if (vocab.unk_id() < 0) fail(Fault::data, "{}: 'unk_token' must be a token; got none", where);
  }
};

}  // namespace

int wanted_size(const TokenizerConfig& config) {
  constexpr int kDefault = 8192;
  return config.vocab_size > 0 ? config.vocab_size : kDefault;
}

void TokenModel::train(const TokenCounts&, const TokenizerConfig&, std::vector<std::string>&) {
  fail(Fault::runtime, "tokenizer: only 'BPE' and 'WordPiece' are learned from pieces");
}

std::unique_ptr<TokenModel> make_word_piece() {
  return std::make_unique<WordPiece>();
}

std::unique_ptr<TokenModel> TokenModel::make(const std::string& type, const std::string& where) {
  if (type == "BPE") return make_bpe();
  if (type == "WordPiece") return make_word_piece();
  if (type == "WordLevel") return std::make_unique<WordLevel>();
  fail(Fault::data, "{}: 'type' must be 'BPE', 'WordPiece' or 'WordLevel'; got {}", where, in_quotes(type));
}

}  // namespace qkv
