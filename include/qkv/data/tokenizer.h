// Tokenizer: text <-> ids. Implementations register under the name that `[tokenizer] type` gives.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/base/config.h"
#include "qkv/base/registry.h"
#include "qkv/data/vocab.h"

namespace qkv {

/// The keys of `[tokenizer]`.
struct TokenizerConfig {
  std::string type = "word";
  int vocab_size = 0;           ///< largest vocabulary, specials included; 0 = no limit
  long min_freq = 1;            ///< rarer tokens become `<unk>`
  bool lowercase = true;        ///< A-Z to a-z (word)
  std::string split = "words";  ///< "words": rules of split.h; "spaces": text that is already cut (word)
  std::vector<std::string> specials = {};  ///< after `<pad>` and `<unk>`, e.g. "<bos>", "<eos>"

  template <class F>
  void fields(F& f) {
    f("type", type, "how text becomes tokens");
    f("vocab_size", vocab_size, "largest vocabulary, specials included; 0 = no limit", non_negative);
    f("min_freq", min_freq, "tokens seen less often become <unk>", positive);
    f("lowercase", lowercase, "A-Z to a-z");
    f("split", split, "cut text into words by the rules of the word tokenizer, or at spaces only",
      one_of({"words", "spaces"}));
  }
};

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
  /// The registry name.
  virtual const char* type() const = 0;
  /// The text cut into tokens as they are looked up (normalised), before unknown ones become `<unk>`.
  virtual std::vector<std::string> split(std::string_view text) const = 0;
  /// One word as it is looked up, e.g. lower-cased.
  virtual std::string normalize(std::string_view word) const { return std::string(word); }
  /// Text of the ids; `<pad>` disappears. encode(decode(ids)) = ids for ids from encode without unknowns.
  virtual std::string decode(const std::vector<int>& ids) const = 0;
  /// Makes the vocabulary from texts, replacing the present one.
  virtual void train(const std::vector<std::string>& texts);
  /// The same from texts that are already cut; words are normalised first.
  virtual void train_words(const std::vector<std::vector<std::string>>& sentences);
  /// Text of a tokenizer.json in Hugging Face's layout.
  virtual std::string to_json() const = 0;

  /// Ids of a text. `counts` is added to when given.
  virtual std::vector<int> encode(std::string_view text, UnknownCount* counts = nullptr) const;
  /// One id per word of a text that is already cut.
  std::vector<int> encode_words(const std::vector<std::string>& words, UnknownCount* counts = nullptr) const;
  /// Id of one word after normalize(); unk when unknown.
  int id_of(std::string_view word) const { return vocab().id(normalize(word)); }

  const Vocab& vocab() const { return vocab_; }
  int vocab_size() const { return vocab_.size(); }
  int pad_id() const { return Vocab::kPad; }
  int unk_id() const { return Vocab::kUnk; }
  /// Token of an id; id of a token exactly as spelt, specials too, or -1.
  const std::string& token(int id) const { return vocab_.token(id); }
  int id(std::string_view token) const { return vocab_.find(token); }
  const TokenizerConfig& config() const { return config_; }

  /// A new tokenizer without vocabulary: call train().
  static std::unique_ptr<Tokenizer> make(const TokenizerConfig& config);
  /// A saved tokenizer. `where` (a path) starts the error messages; any damage is a data error.
  static std::unique_ptr<Tokenizer> from_json(std::string_view json, const std::string& where = "tokenizer");
  static std::unique_ptr<Tokenizer> load(const std::string& path);
  void save(const std::string& path) const;

 protected:
  explicit Tokenizer(TokenizerConfig config);

  TokenizerConfig config_;
  Vocab vocab_;
};

QKV_DECLARE_REGISTRY(Tokenizer);

}  // namespace qkv
