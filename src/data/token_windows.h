// TokenWindows: the examples of a language model, windows of one text or of a mixture of texts.
#pragma once
#include <functional>
#include <vector>

#include "data/token_corpus.h"
#include "qkv/base/random.h"
#include "qkv/tensor/shape.h"

namespace qkv {

/// Examples of `length` tokens and the one after each. Which tokens they are follows from the arguments
/// alone.
///
/// Without weights, all windows side by side, text after text: every token of a text but its first is
/// predicted once. With weights, an epoch has as many examples as the texts have windows, and of text k the
/// share weights[k] / their sum, in steps of a thousandth, at least one; examples whose numbers follow each
/// other are a mixture, too. Each text is cut into as many equal parts as it has examples, and an example is
/// a random place of its part, or near it where parts are not longer than an example: so every epoch passes
/// over all of every text, sparsely or several times.
class TokenWindows {
 public:
  /// Each text must hold at least 2 tokens, with weights `length` + 1.
  TokenWindows(std::vector<TokenCorpus> texts, Index length, const std::vector<double>& weights = {});

  Index examples() const { return examples_; }
  struct Place {
    const TokenCorpus& corpus;
    Index begin;
  };
  /// Where an example begins; with weights, `random` chooses the place, without it is the first of its part.
  Place at(Index example, Stream* random) const;

  const std::vector<TokenCorpus>& texts() const { return texts_; }
  /// How often an epoch passes over a text.
  double passes(std::size_t text) const {
    return double(counts_[text].draws * length_) / double(texts_[text].size());
  }
  Index tokens() const;
  double unknown_share() const;
  /// Of an epoch.
  double characters_per_token() const;
  /// Takes the texts one after the other or, of more than `most` tokens, parts of them that are evenly
  /// spread; in pieces that end with the token `end`, unless that is negative.
  void for_sequences(Index most, std::int32_t end,
                     const std::function<void(const std::vector<std::int32_t>& ids)>& take) const;
  /// Whether any text has this token.
  bool hold(std::int32_t id) const;

 private:
  struct Count {
    Index windows, turns = 0, draws = 0;  // side by side, in a round, in an epoch
  };
  struct Turn {
    std::size_t text;
    Index number;  // among those of its text
  };
  Index length_, examples_ = 0;
  std::vector<TokenCorpus> texts_;
  std::vector<Count> counts_;  // of each text
  std::vector<Turn> round_;    // whose turn it is; empty without weights
};

}  // namespace qkv
