// Continuation: how a trained model continues texts, for the verb generate and for programs.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/model/generate.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// Whether a run is asked with a beginning that it continues, and not with a text that it answers.
bool continues_texts(const Experiment& e);

class Continuation {
 public:
  /// Receives the text that is added, piece by piece, and returns false to end it.
  using Pieces = std::function<bool(const std::string& piece)>;

  /// A usage error where the model does not continue text or has no tokenizer. `options.never` and
  /// `options.stop` follow from the tokenizer. The experiment must outlive the object.
  Continuation(const Experiment& e, GenerateOptions options, bool allow_unk = false);

  /// {"prompt", "text", "tokens", "cut_tokens"}: the text is drawn token by token.
  Json draw(const std::string& prompt, const Pieces& pieces = {}) const;
  /// {"prompt", "beams", "cut_tokens"}: the likeliest texts, found by beam search of this width; the first of
  /// them is the piece.
  Json search(const std::string& prompt, int beam, const Pieces& pieces = {}) const;
  /// [{"token", "probability"}]: the likeliest tokens after a text, at most `most`.
  Json next(const std::string& prompt, std::size_t most) const;

 private:
  std::vector<int> ids_of(const std::string& prompt) const;

  const Generator* model_;
  const Tokenizer* tokenizer_;
  GenerateOptions options_;
};

}  // namespace qkv
