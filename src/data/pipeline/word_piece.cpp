// WordPiece: a word is cut greedily into the longest tokens of the vocabulary, "##" before all but the first
// (Devlin et al., "BERT", 2019). The vocabulary is learned by merging pairs, as in tokenizers of Hugging
// Face. WordLevel: a word is a token.
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "data/pipeline_tokenizer.h"
#include "merges.h"

namespace qkv {
namespace {

constexpr int kMostChars = 1000;  // of a token: what a long word may take grows with it
constexpr const char* kPrefix = "##";

class WordPiece : public TokenModel {
 public:
  WordPiece(const Json& model, const Vocab& vocab, const std::string& where)
      : TokenModel(model, vocab, where) {
    check_members(model,
                  {"type", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"},
                  where);
    if (vocab.unk_id() < 0) fail(Fault::data, "{}: 'unk_token' must be a token; got none", where);
    const std::string prefix = string_member_or(model, "continuing_subword_prefix", kPrefix, where);
    if (model.contains("max_input_chars_per_word"))
      max_chars_ =
          std::size_t(integer_member(model, "max_input_chars_per_word", 1, std::int64_t{1} << 31, where));
    constexpr std::size_t kMostBytes = 4 * kMostChars + 100;  // with the prefix
    std::vector<std::pair<std::string, int>> first, inner;
    for (int id = 0; id < vocab.size(); ++id) {
      const std::string& token = vocab.token(id);
      if (token.size() > kMostBytes)
        fail(Fault::data, "{}: vocab: tokens must have at most {} bytes; got {}", where, kMostBytes,
             token.size());
      if (!has(id)) continue;
      first.emplace_back(token, id);
      if (starts_with(token, prefix)) inner.emplace_back(token.substr(prefix.size()), id);
    }
    first_ = PrefixTable(std::move(first)), inner_ = PrefixTable(std::move(inner));
  }

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

 private:
  std::size_t max_chars_ = 100;
  PrefixTable first_, inner_;  // tokens that begin a word; that go on, without the prefix
};

class WordLevel : public TokenModel {
 public:
  WordLevel(const Json& model, const Vocab& vocab, const std::string& where)
      : TokenModel(model, vocab, where) {
    check_members(model, {"type", "unk_token", "vocab"}, where);
    if (vocab.unk_id() < 0) fail(Fault::data, "{}: 'unk_token' must be a token; got none", where);
  }
  void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& ids) const override {
    const int id = vocab.id(piece);
    ids.push_back(has(id) ? id : vocab.unk_id());
  }
};

/// `[tokenizer] type = "wordpiece"`: that of BERT (Devlin et al., 2019), with `[PAD]` and `[UNK]`. decode()
/// gives words and punctuation with one space between them.
class WordPieceTokenizer : public PipelineTokenizer {
 public:
  explicit WordPieceTokenizer(const TokenizerConfig& config)
      : PipelineTokenizer(config,
                          {{"normalizer",
                            {{"type", "BertNormalizer"},
                             {"clean_text", true},
                             {"handle_chinese_chars", true},
                             {"strip_accents", nullptr},
                             {"lowercase", config.lowercase}}},
                           {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                           {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", false}}}},
                          "tokenizer") {
    refuse_split(config);
    Strings tokens{"[PAD]", "[UNK]"};
    tokens.insert(tokens.end(), config.specials.begin(), config.specials.end());
    const int n_specials = int(tokens.size());
    if (config.vocab_size > 0 && config.vocab_size < n_specials)
      fail(Fault::usage, "tokenizer: vocab_size must be 0 or at least {}, the special tokens; got {}",
           n_specials, config.vocab_size);
    take(Vocab::from_tokens(std::move(tokens), n_specials), model_of_config());
  }

 protected:
  Json learn(const TokenCounts& words, Strings& tokens) const override {
    if (config_.max_word_chars > kMostChars)
      fail(Fault::usage, "tokenizer.max_word_chars must be at most {}; got {}", kMostChars,
           config_.max_word_chars);
    TokenCounts letters;
    std::vector<SpeltWord> spelt;
    for (const auto& [word, count] : words) {
      Strings parts = split_code_points(word);
      if (parts.size() > std::size_t(config_.max_word_chars)) continue;
      for (std::size_t i = 1; i < parts.size(); ++i) parts[i] = kPrefix + parts[i];
      for (const std::string& part : parts) letters[part] += count;
      spelt.push_back({std::move(parts), count});
    }
    const int n_specials = int(tokens.size());
    const Strings alphabet =
        Vocab(letters, config_.min_freq, std::max(2, 2 + wanted_size(config_) - n_specials)).tokens();
    std::unordered_map<std::string, int> ids;
    for (const std::string& special : tokens) ids.emplace(special, -1);
    for (std::size_t i = 2; i < alphabet.size(); ++i)  // after the two specials of any Vocab
      if (ids.emplace(alphabet[i], int(tokens.size())).second) tokens.push_back(alphabet[i]);
    learn_merges(spelt, config_, std::strlen(kPrefix), ids, tokens, [](int, int) {});
    return model_of_config();
  }

 private:
  Json model_of_config() const {
    return {{"type", "WordPiece"},
            {"unk_token", "[UNK]"},
            {"continuing_subword_prefix", kPrefix},
            {"max_input_chars_per_word", config_.max_word_chars}};
  }
};

QKV_REGISTER(Tokenizer, "wordpiece", WordPieceTokenizer, "parts of words, as BERT's");

}  // namespace

int wanted_size(const TokenizerConfig& config) {
  constexpr int kDefault = 8192;
  return config.vocab_size > 0 ? config.vocab_size : kDefault;
}

TokenModel::TokenModel(const Json& model, const Vocab& vocab, const std::string& where)
    : has_(std::size_t(vocab.size()), false) {
  for (const auto& item : object_member(model, "vocab", where).items()) {
    const int id = item.value().get<int>();
    has_[std::size_t(id)] = !vocab.is_special(id);
  }
}

std::string type_of_model(const Json& model, const std::string& where) {
  const std::string type = string_member(model, "type", where);
  if (type != "BPE" && type != "WordPiece" && type != "WordLevel")
    fail(Fault::data, "{}: 'type' must be 'BPE', 'WordPiece' or 'WordLevel'; got {}", where, in_quotes(type));
  return type;
}

std::unique_ptr<TokenModel> TokenModel::read(const Json& model, const Vocab& vocab,
                                             const std::string& where) {
  const std::string type = type_of_model(model, where);
  if (type == "BPE") return make_bpe(model, vocab, where);
  if (type == "WordPiece") return std::make_unique<WordPiece>(model, vocab, where);
  return std::make_unique<WordLevel>(model, vocab, where);
}

}  // namespace qkv
