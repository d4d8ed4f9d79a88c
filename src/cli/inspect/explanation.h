// Explanation: how attention makes the new vector of one word, step by step.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

/// What goes in, and with `compute` what comes out of softmax(scale q k^T + bias) v for one query, in f64.
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

  std::vector<double> scores, scaled, exps, weights;  ///< [T]; exps are 0 where a word is not seen
  std::vector<double> vector;                         ///< [D]
  double shift = 0;  ///< taken from the scaled scores before exp, which would overflow otherwise

  void compute();
  double sum_of_exps() const;
  std::string text(bool unicode) const;
  Json json() const;
};

/// "bank grows money" in parameter-free attention: vectors for which "bank" attends with 0.6, 0.2 and 0.2.
Explanation example_explanation();
/// Parameter-free attention over vectors that are stated as WORD=NUMBER,NUMBER,... Usage errors.
Explanation stated_explanation(const std::vector<std::string>& stated, const std::string& token,
                               double scale);

}  // namespace qkv
