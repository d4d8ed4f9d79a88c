// Explanation: how attention makes the new vector of one word, step by step.
#pragma once
#include <string>
#include <vector>

#include "inspect/look.h"

namespace qkv {

/// softmax(scale q k^T + bias) v of one query, in f64.
struct Explanation {
  std::string title;
  std::vector<std::string> words;
  std::size_t token = 0;
  bool learned = false;  ///< q, k, v are W_Q x, W_K x, W_V x; else all three are x
  double scale = 1;
  std::vector<double> query;                ///< [D]
  std::vector<std::vector<double>> keys;    ///< [T][D]
  std::vector<std::vector<double>> values;  ///< [T][D]
  std::vector<double> bias;                 ///< [T]; -inf: not seen. Empty: none

  // What `compute` makes of it.
  std::vector<double> scores, scaled, exps, weights;  ///< [T]; exps are 0 where a word is not seen
  std::vector<double> vector;                         ///< [D]
  double shift = 0;  ///< taken from the scaled scores before exp, which would overflow otherwise
  double sum = 0;    ///< of exps

  void compute();
};

/// Of word t in a layer and head of a look.
Explanation explanation_of(const Experiment& e, const Look& look, Index t, Index layer, Index head);
/// Parameter-free attention over vectors of one length, as `words[token]` sees them.
Explanation explanation_of(std::vector<std::string> words, std::vector<std::vector<double>> vectors,
                           std::size_t token, double scale);

}  // namespace qkv
