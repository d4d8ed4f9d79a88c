#include "inspect/explanation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "qkv/base/text.h"

namespace qkv {

void Explanation::compute() {
  const std::size_t T = words.size();
  if (bias.empty()) bias.assign(T, 0.0);
  double most = -std::numeric_limits<double>::infinity();
  for (std::size_t s = 0; s < T; s++) {
    scores.push_back(std::inner_product(query.begin(), query.end(), keys[s].begin(), 0.0));
    scaled.push_back(scale * scores[s] + bias[s]);
    most = std::max(most, scaled[s]);
  }
  shift = std::abs(most) > 50 && std::isfinite(most) ? most : 0;
  for (double score : scaled) sum += exps.emplace_back(std::exp(score - shift));
  vector.assign(values[0].size(), 0.0);
  for (std::size_t s = 0; s < T; s++) {
    weights.push_back(sum > 0 ? exps[s] / sum : 0);
    for (std::size_t i = 0; i < vector.size(); i++) vector[i] += weights[s] * values[s][i];
  }
}

Explanation explanation_of(const Experiment& e, const Look& look, Index t, Index layer, Index head) {
  const AttentionLook& one = look.layers[static_cast<std::size_t>(layer)];
  Explanation x;
  x.words = look.text.words;
  x.token = static_cast<std::size_t>(t);
  x.title =
      fmt::format("How \"{}\" gets its new vector in \"{}\"\nlayer {} of {} ({}), head {} of {}, d_k = {}",
                  printable(x.words[x.token]), printable(look.text.text), layer, look.layers.size(),
                  one.layer, head, one.n_head, one.d_head);
  for (const NamedTensor& named : e.parameters->named())
    x.learned = x.learned || named.name == one.layer + ".W_Q";
  x.query = one.query(head, t);
  x.scale = one.scale;
  for (Index s = 0; s < one.T; s++) {
    x.keys.push_back(one.key(head, s));
    x.values.push_back(one.value(head, s));
  }
  x.bias = one.row(one.bias, head, t);
  x.compute();
  return x;
}

Explanation explanation_of(std::vector<std::string> words, std::vector<std::vector<double>> vectors,
                           std::size_t token, double scale) {
  Explanation x;
  x.title = fmt::format("How \"{}\" gets its new vector in \"{}\", by attention without parameters",
                        words[token], join(words, " "));
  x.words = std::move(words);
  x.token = token;
  x.scale = scale;
  x.query = vectors[token];
  x.keys = x.values = std::move(vectors);
  x.compute();
  return x;
}

}  // namespace qkv
