// Beam search: the best of many continuations, several sequences at a time.
#pragma once
#include <string>
#include <vector>

#include "qkv/model/generate.h"

namespace qkv {

/// How scores of texts of different lengths compare: log P divided by ((5 + n) / 6)^alpha (Wu et al. 2016,
/// eq. 14), by n, or not at all; n counts the end token.
enum class LengthNorm { gnmt, average, none };
inline std::vector<std::string> names_of(LengthNorm) {
  return {"gnmt", "average", "none"};
}

struct BeamOptions {
  int beam = 4;    ///< hypotheses kept per sequence, which is done when as many have ended; 1 = greedy
  int n_best = 1;  ///< results per sequence, at most `beam`
  LengthNorm normalize = LengthNorm::gnmt;
  double alpha = 0.6;
  Index max_tokens = 100;  ///< of a hypothesis, with its end token; it may stop there without one
  int stop = -1;           ///< id that ends a hypothesis
  std::vector<int> never;  ///< ids that are not generated
};

struct Hypothesis {
  std::vector<int> ids;  ///< without the end token
  double log_prob = 0;   ///< with that of the end token
  double score = 0;      ///< log_prob, normalised
  bool ended = false;    ///< false: cut off by max_tokens or the model's room
};

/// `decoding` holds one row per sequence, each of which goes on after `prompt` [rows, n] (i32, n >= 1). The
/// n_best hypotheses of each row, best first. Ties go to the hypothesis that was better a step before, then
/// to the lower id, so the result never depends on the batch.
std::vector<std::vector<Hypothesis>> beam_search(Decoding& decoding, const Tensor& prompt,
                                                 const BeamOptions& options);

}  // namespace qkv
