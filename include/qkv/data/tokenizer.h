// Tokenizer: text <-> ids. Implementations register under the name that `[tokenizer] type` gives.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/base/json_fwd.h"
#include "qkv/base/registry.h"

namespace qkv {

class PrefixTable;

using TokenCounts = std::unordered_map<std::string, long>;

/// Ids 0 ... size-1. In a table made here the specials come first: `<pad>` = 0, `<unk>` = 1, then others such
/// as `<bos>`; the rest by falling frequency, then by bytes. Tables of other toolkits have them anywhere.
class Vocab {
 public:
  static constexpr int kPad = 0, kUnk = 1;

  /// Only `<pad>` and `<unk>`.
  Vocab() : Vocab(std::vector<std::string>{}) {}
  /// Only the specials: `<pad>`, `<unk>` and `more_specials`.
  explicit Vocab(const std::vector<std::string>& more_specials);
  /// Tokens seen at least `min_freq` times, the most frequent ones if `max_size` > 0 limits the whole table.
  Vocab(const TokenCounts& counts, long min_freq = 1, int max_size = 0,
        const std::vector<std::string>& more_specials = {});
  /// A table made here: all tokens in id order, the first `n_specials` of them special, first of all those
  /// for padding and unknown tokens.
  static Vocab from_tokens(std::vector<std::string> tokens, int n_specials);
  /// Any table: tokens in id order, which of them are special, and the ids of padding and of unknown tokens,
  /// -1 where there is none. Empty tokens, equal ones and ids outside the table are data errors.
  static Vocab from_table(std::vector<std::string> tokens, const std::vector<int>& specials, int pad,
                          int unk);

  /// Id of a token of the text: unk_id() when unknown. A text never yields a special id by spelling it.
  int id(std::string_view token) const;
  /// Id of any token, specials too, or -1.
  int find(std::string_view token) const;
  bool knows(std::string_view token) const { return id(token) != unk_; }
  /// The token of an id in [0, size).
  const std::string& token(int id) const;
  int size() const { return static_cast<int>(tokens_.size()); }
  /// How many specials there are before the first other token.
  int n_specials() const { return n_specials_; }
  bool is_special(int id) const { return id >= 0 && id < size() && special_[static_cast<std::size_t>(id)]; }
  int pad_id() const { return pad_; }
  int unk_id() const { return unk_; }
  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  void index();

  std::vector<std::string> tokens_;  // by id
  std::unordered_map<std::string, int> ids_;
  std::vector<bool> special_;  // by id
  int n_specials_ = 0, pad_ = kPad, unk_ = kUnk;
};

/// The keys of `[tokenizer]`.
struct TokenizerConfig {
  std::string type = "word";
  int vocab_size = 0;
  std::int64_t min_freq = 1;
  bool lowercase = true;
  std::string split = "words";
  std::vector<std::string> specials = {};
  int max_word_chars = 100;
  std::string file = "";
  void fields(FieldCollector& f) {
    f("type", type, "tokenizer, see `qkv list tokenizers`");
    f("vocab_size", vocab_size,
      "largest vocabulary with the special tokens, 0 = no limit ('bpe', 'wordpiece': 8192)",
      rule::non_negative);
    f("min_freq", min_freq,
      "tokens that occur less often are unknown; pairs that occur less often are not merged", rule::positive);
    f("lowercase", lowercase,
      "'word': lower case; 'wordpiece': lower case without accents; others keep the case");
    f("split", split, "how text is split: by the rules for words, or at spaces if it is already tokenised",
      rule::one_of({"words", "spaces"}));
    f("specials", specials, "special tokens after those for padding and unknown ones, e.g. <bos>, <eos>");
    f("max_word_chars", max_word_chars, "longer words are unknown (type 'wordpiece')", rule::positive);
    f("file", file, "tokenizer.json to use unchanged (type 'file')", rule::path);
  }
};

/// Reads [tokenizer], whose `type` must be registered; `config` holds the defaults.
void read_tokenizer(const Section& section, TokenizerConfig& config);

/// How much of a text the vocabulary knew.
struct UnknownCount {
  long tokens = 0, unknown = 0;
  double fraction() const { return tokens ? static_cast<double>(unknown) / static_cast<double>(tokens) : 0; }
};

/// Immutable and shared between threads once trained. Texts that are not UTF-8 are data errors.
class Tokenizer {
 public:
  using Factory = std::unique_ptr<Tokenizer>(const TokenizerConfig&);

  virtual ~Tokenizer() = default;
  /// The text cut into tokens as they are looked up (normalised), before unknown ones become `<unk>`.
  virtual std::vector<std::string> split(std::string_view text) const = 0;
  /// One word as it is looked up, e.g. lower-cased.
  virtual std::string normalize(std::string_view word) const { return std::string(word); }
  /// Text of the ids, special ones but for `<unk>` left out; encodes back to the same ids.
  virtual std::string decode(const std::vector<int>& ids) const = 0;
  /// Makes the vocabulary from texts, replacing the present one.
  virtual void train(const std::vector<std::string>& texts);
  /// The same from texts that are already cut; words are normalised first.
  virtual void train_words(const std::vector<std::vector<std::string>>& sentences);

  /// Ids of a text; `counts` is added to.
  virtual std::vector<int> encode(std::string_view text, UnknownCount* counts = nullptr) const;
  /// The same, but special tokens that the text names, such as `<|endoftext|>` between documents, are those:
  /// all but what pads and what is unknown.
  std::vector<int> encode_marked(std::string_view text, UnknownCount* counts = nullptr) const;
  /// What lies between such names.
  std::vector<std::string> between_marks(std::string_view text) const;
  /// Id of the special token that ends a text, `<eos>` or `<|endoftext|>`, or -1.
  int end_id() const;
  /// Ids that no text is continued with: padding and unknown tokens. Of a foreign vocabulary (type "file")
  /// none: its model decides.
  std::vector<int> unwritten() const;
  /// Appends the ids of one word of a text that is already cut, one unless subwords(); `first` where it
  /// begins the text.
  virtual void append_word(std::string_view word, bool first, std::vector<int>& ids,
                           UnknownCount* counts = nullptr) const;
  /// True if a word may become several tokens.
  virtual bool subwords() const { return false; }
  /// Id of one word after normalize(); unk when unknown.
  int id_of(std::string_view word) const { return vocab_.id(normalize(word)); }

  const Vocab& vocab() const { return vocab_; }
  int vocab_size() const { return vocab_.size(); }
  /// Id that fills up batches; of a foreign vocabulary without one, 0.
  int pad_id() const { return vocab_.pad_id() >= 0 ? vocab_.pad_id() : 0; }
  /// Id of unknown tokens; of a vocabulary that knows every text, pad_id().
  int unk_id() const { return vocab_.unk_id() >= 0 ? vocab_.unk_id() : pad_id(); }
  /// Token of an id.
  const std::string& token(int id) const { return vocab_.token(id); }
  /// Id of a token exactly as spelt, specials too, or -1.
  int id(std::string_view token) const { return vocab_.find(token); }
  const TokenizerConfig& config() const { return config_; }

  /// A new tokenizer without vocabulary: call train().
  static std::unique_ptr<Tokenizer> make(const TokenizerConfig& config);
  /// tokenizer.json in the layout of Hugging Face.
  virtual Json to_json() const;
  /// A saved tokenizer; a file that none of those here would write is of another toolkit (type "file").
  /// `where` (a path) starts the error messages; any damage and any part that is not known here is a data
  /// error.
  static std::unique_ptr<Tokenizer> from_json(const Json& json, const std::string& where = "tokenizer");
  static std::unique_ptr<Tokenizer> load(const std::string& path);
  void save(const std::string& path) const;

 protected:
  explicit Tokenizer(TokenizerConfig config);
  /// A usage error for a config with `split`, which concerns type "word" only.
  static void refuse_split(const TokenizerConfig& config);
  /// Calls take(token) for each token of split(), for those that need not make a string of each.
  virtual void for_tokens(std::string_view text, const std::function<void(std::string_view)>& take) const;
  /// Adds one token to the counts, if there are any.
  static void count(UnknownCount* counts, int id);
  /// Members of tokenizer.json that describe to other toolkits how text is split, e.g. "normalizer",
  /// "pre_tokenizer", "decoder". They must follow from the config, and identify the tokenizer. Default: a
  /// pre-tokenizer with the name of the type, which other toolkits refuse.
  virtual Json pipeline() const;
  /// The member "model": WordLevel, unless a tokenizer has more than a vocabulary.
  virtual Json model() const;
  /// Takes the vocabulary (and more) from what model() gave.
  virtual void read_model(const Json& model, const std::string& where);
  /// Takes the member "vocab" of a model, which must begin with the special tokens there are.
  void read_vocab(const Json& model, const std::string& where);

  TokenizerConfig config_;
  Vocab vocab_;
  bool old_ = false;  ///< read from a file of an earlier version: 'word' lowers A to Z only

 private:
  PrefixTable marks() const;
  Json frame() const;  // of tokenizer.json: all but the model
  static std::unique_ptr<Tokenizer> that_writes(const Json& json);
};

QKV_DECLARE_REGISTRY(Tokenizer);

}  // namespace qkv
