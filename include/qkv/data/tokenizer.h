// Tokenizer: text <-> ids. Implementations register under the name that `[tokenizer] type` gives.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/base/config_field.h"
#include "qkv/base/json_fwd.h"
#include "qkv/base/registry.h"
#include "qkv/data/vocab.h"

namespace qkv {

/// The keys of `[tokenizer]`.
struct TokenizerConfig {
  std::string type = "word";
  int vocab_size = 0;
  std::int64_t min_freq = 1;
  bool lowercase = true;
  std::string split = "words";
  std::vector<std::string> specials = {};
  template <class F>
  void fields(F& f) {
    f("type", type, "tokenizer, see `qkv list tokenizers`");
    f("vocab_size", vocab_size, "largest vocabulary with the special tokens, 0 = no limit", non_negative);
    f("min_freq", min_freq, "tokens seen less often are unknown", positive);
    f("lowercase", lowercase, "turns A-Z into a-z (type 'word'; 'char' keeps the case)");
    f("split", split, "how text is cut: by the rules for words, or at spaces where it is cut already",
      one_of({"words", "spaces"}));
    f("specials", specials, "special tokens after <pad> and <unk>, e.g. <bos>, <eos>");
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
  /// One id per word of a text that is already cut.
  std::vector<int> encode_words(const std::vector<std::string>& words, UnknownCount* counts = nullptr) const;
  /// Id of one word after normalize(); unk when unknown.
  int id_of(std::string_view word) const { return vocab_.id(normalize(word)); }

  const Vocab& vocab() const { return vocab_; }
  int vocab_size() const { return vocab_.size(); }
  int pad_id() const { return Vocab::kPad; }
  int unk_id() const { return Vocab::kUnk; }
  /// Token of an id.
  const std::string& token(int id) const { return vocab_.token(id); }
  /// Id of a token exactly as spelt, specials too, or -1.
  int id(std::string_view token) const { return vocab_.find(token); }
  const TokenizerConfig& config() const { return config_; }

  /// A new tokenizer without vocabulary: call train().
  static std::unique_ptr<Tokenizer> make(const TokenizerConfig& config);
  /// tokenizer.json in the layout of Hugging Face, plus a member "qkv" with the config.
  Json to_json() const;
  /// A saved tokenizer. `where` (a path) starts the error messages; any damage is a data error.
  static std::unique_ptr<Tokenizer> from_json(const Json& json, const std::string& where = "tokenizer");
  static std::unique_ptr<Tokenizer> load(const std::string& path);
  void save(const std::string& path) const;

 protected:
  explicit Tokenizer(TokenizerConfig config);
  /// Members of tokenizer.json that tell other toolkits how text is cut, e.g. "normalizer", "pre_tokenizer",
  /// "decoder". They must follow from the config.
  virtual Json pipeline() const;
  /// The member "model": WordLevel, unless a tokenizer has more than a vocabulary.
  virtual Json model() const;
  /// Takes the vocabulary (and more) from what model() gave.
  virtual void read_model(const Json& model, int n_specials, const std::string& where);

  TokenizerConfig config_;
  Vocab vocab_;
};

QKV_DECLARE_REGISTRY(Tokenizer);

}  // namespace qkv
