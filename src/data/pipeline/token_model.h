// TokenModel: how one piece of text, as the pre-tokenizer cut it, becomes ids.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// Ids are those of the tokenizer's vocabulary, which every call gets.
class TokenModel {
 public:
  virtual ~TokenModel() = default;
  virtual void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& ids) const = 0;
  /// The member "model" of tokenizer.json without its "vocab".
  virtual Json json(const Vocab& vocab) const = 0;
  /// Learns from counted pieces. `tokens` holds the specials and becomes the whole vocabulary. Default: a
  /// run-time error, for models that are only read.
  virtual void train(const TokenCounts& pieces, const TokenizerConfig& config,
                     std::vector<std::string>& tokens);
  /// Takes what json() gave, and checks it against the vocabulary.
  virtual void read(const Json& model, const Vocab& vocab, const std::string& where) = 0;

  /// Ids of the vocabulary that are no tokens of the model: tokens that were added to it. Comes before
  /// read().
  void hide(std::vector<bool> added) { added_ = std::move(added); }

  /// "BPE", "WordPiece" or "WordLevel"; another type is a data error.
  static std::unique_ptr<TokenModel> make(const std::string& type, const std::string& where);

 protected:
  /// True for what a text may become: no special token and no added one.
  bool has(const Vocab& vocab, int id) const {
    const auto at = static_cast<std::size_t>(id);
    return id >= 0 && !vocab.is_special(id) && (at >= added_.size() || !added_[at]);
  }

 private:
  std::vector<bool> added_;
};

std::unique_ptr<TokenModel> make_bpe();
std::unique_ptr<TokenModel> make_word_piece();

/// Size that a vocabulary grows to: vocab_size, or 8192 where that is 0.
int wanted_size(const TokenizerConfig& config);

}  // namespace qkv
