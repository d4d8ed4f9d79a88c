// PipelineTokenizer: text is normalised, cut into pieces, and a model makes ids of the pieces; as in the
// tokenizer.json of Hugging Face.
#pragma once
#include <unordered_map>

#include "data/pipeline/parts.h"
#include "data/pipeline/token_model.h"
#include "data/prefix_table.h"
#include "qkv/base/json.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

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
  /// `parts` holds normalizer, pre_tokenizer and decoder; `model_type` is "BPE", "WordPiece" or "WordLevel".
  PipelineTokenizer(const TokenizerConfig& config, Json parts, const std::string& model_type,
                    const std::string& where);
  Json pipeline() const override { return parts_; }
  Json model() const override;
  void read_model(const Json& model, int n_specials, const std::string& where) override;
  /// True if decode() gives the unknown token; other special ones are left out.
  virtual bool shows_unk() const { return true; }

  const std::string type_;  ///< of the model
  std::unique_ptr<TokenModel> model_;
  /// Tokens that stand for themselves wherever the text as it is given, or the normalised text, holds them;
  /// with an id below 0, text that none of the others is found in.
  PrefixTable raw_literals_, literals_;
  std::unordered_map<int, std::string> normal_;  ///< literals as they are decoded

 private:
  template <class Take>
  void for_pieces(std::string_view text, Take take) const;

  const Json parts_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
};

/// `[tokenizer] type = "bpe"`: byte-level byte-pair encoding of GPT-2 (Radford et al., 2019). Every text has
/// ids and decodes to itself.
class BpeTokenizer : public PipelineTokenizer {
 public:
  explicit BpeTokenizer(const TokenizerConfig& config);
};

/// `[tokenizer] type = "wordpiece"`: that of BERT (Devlin et al., 2019), with `[PAD]` and `[UNK]`. decode()
/// gives words and punctuation with one space between them.
class WordPieceTokenizer : public PipelineTokenizer {
 public:
  explicit WordPieceTokenizer(const TokenizerConfig& config);
};

/// `[tokenizer] type = "file"`: a tokenizer.json of another toolkit. It is taken as it is, training leaves it
/// alone, and saving writes what was read. `specials` that its vocabulary lacks are added at the end.
/// Special tokens are never made by spelling them, and "post_processor" is kept but not applied: tasks add
/// what they need around a text. "truncation", and "padding" that adds to a single text, are refused.
class FileTokenizer : public PipelineTokenizer {
 public:
  /// Reads config.file.
  explicit FileTokenizer(const TokenizerConfig& config);
  FileTokenizer(const TokenizerConfig& config, Json json, const std::string& where);
  void train(const std::vector<std::string>&) override {}
  void train_words(const std::vector<std::vector<std::string>>&) override {}
  Json to_json() const override { return json_; }

 protected:
  bool shows_unk() const override { return false; }

 private:
  struct Table;
  Json json_;
};

}  // namespace qkv
