// PipelineTokenizer: text is normalised, cut into pieces, and a model makes ids of the pieces; as in the
// tokenizer.json of Hugging Face.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "data/pipeline/parts.h"
#include "data/prefix_table.h"
#include "qkv/base/json.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// How one piece of text, as the pre-tokenizer cut it, becomes ids: those of the tokenizer's vocabulary,
/// which every call gets.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& ids) const = 0;

  /// Of the member "model" of tokenizer.json. The vocabulary may hold more tokens, that were added to it.
  /// What does not fit it or is not known here is a data error.
  static std::unique_ptr<TokenModel> read(const Json& model, const Vocab& vocab, const std::string& where);

 protected:
  TokenModel(const Json& model, const Vocab& vocab, const std::string& where);
  /// True for what a text may become: no special token and no added one.
  bool has(int id) const { return id >= 0 && has_[static_cast<std::size_t>(id)]; }

 private:
  std::vector<bool> has_;
};

/// "BPE", "WordPiece" or "WordLevel"; another type is a data error.
std::string type_of_model(const Json& model, const std::string& where);
std::unique_ptr<TokenModel> make_bpe(const Json& model, const Vocab& vocab, const std::string& where);

/// Size that a vocabulary grows to: vocab_size, or 8192 where that is 0.
int wanted_size(const TokenizerConfig& config);

/// What the tokenizers "bpe", "wordpiece" and "file" share. One unknown token counts per unknown piece.
class PipelineTokenizer : public Tokenizer {
 public:
  /// The tokens as they stand in the vocabulary; unknown ones are the unknown token.
  std::vector<std::string> split(std::string_view text) const override;
  std::vector<int> encode(std::string_view text, UnknownCount* counts = nullptr) const override;
  /// Tokens of the word with the space before it, but for the first one.
  void append_word(std::string_view word, bool first, std::vector<int>& ids,
                   UnknownCount* counts = nullptr) const override;
  bool subwords() const override { return true; }
  std::string normalize(std::string_view word) const override;
  std::string decode(const std::vector<int>& ids) const override;
  void train(const std::vector<std::string>& texts) override;
  void train_words(const std::vector<std::vector<std::string>>& sentences) override;

 protected:
  /// `parts` holds normalizer, pre_tokenizer and decoder.
  PipelineTokenizer(const TokenizerConfig& config, Json parts, const std::string& where);
  Json pipeline() const override { return parts_; }
  Json model() const override { return json_; }
  void read_model(const Json& model, const std::string& where) override;
  /// Learns from counted pieces, as train() does. `tokens` holds the specials and becomes the whole
  /// vocabulary; gives the member "model" of tokenizer.json without its "vocab".
  virtual Json learn(const TokenCounts&, Strings&) const { return {}; }
  /// Takes the vocabulary, and the model that goes with it.
  void take(Vocab vocab, Json model);
  /// Takes the model for the present vocabulary.
  void set_model(const Json& model, const std::string& where);
  /// True if decode() gives the unknown token; other special ones are left out.
  bool shows_unk_ = true;
  /// Tokens that stand for themselves wherever the text as it is given, or the normalised text, holds them;
  /// with an id below 0, text that none of the others is found in.
  PrefixTable raw_literals_, literals_;
  std::unordered_map<int, std::string> normal_;  ///< literals as they are decoded

 private:
  template <class Take>
  void for_parts(std::string_view text, Take take) const;
  std::vector<int> encode_part(const std::string& part) const;

  const Json parts_;
  const bool by_words_;  ///< the pre-tokenizer is that of GPT-2, for which words do not depend on each other
  std::unique_ptr<TokenModel> model_;
  std::uint64_t model_number_ = 0;  ///< another one for each model of the process
  Json json_;                       ///< of the model
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
};

/// `[tokenizer] type = "file"` of what a file holds.
std::unique_ptr<Tokenizer> make_file_tokenizer(const Json& json, const std::string& where);

}  // namespace qkv
