#include "inspect/vectors.h"

#include <algorithm>

#include "inspect/look.h"
#include "inspect/measures.h"

namespace qkv {
namespace {

// Rows of f32 or f64 as a matrix.
Tensor stacked(const std::vector<Tensor>& rows) {
  Tensor all = Tensor::empty({static_cast<Index>(rows.size()), rows[0].dim(1)}, rows[0].dtype());
  for (std::size_t i = 0; i < rows.size(); i++) all.rows(static_cast<Index>(i), 1).copy_from(rows[i]);
  return all;
}

Tensor cosines_of(const Tensor& x) {
  const Index n = x.dim(0);
  Tensor result = Tensor::empty({n, n}, Dtype::f64);
  for (Index i = 0; i < n; i++)
    for (Index j = 0; j < n; j++) result.data<double>()[i * n + j] = cosine(x.rows(i, 1), x.rows(j, 1));
  return result;
}

}  // namespace

Occurrences occurrences_of(const Experiment& e, const std::string& word,
                           const std::vector<std::string>& texts) {
  Occurrences all;
  std::vector<Tensor> vectors, fixed;
  for (const std::string& text : texts) {
    const Look look = look_at(e, text);
    if (!look.vectors.defined() || !look.fixed.defined())
      fail(Fault::usage, "inspect vectors: the model must have a vector per word; got a '{}' without",
           e.config.section("model").type(Model::kDefault));
    const std::size_t before = vectors.size();
    for (Index t = 0; t < static_cast<Index>(look.text.words.size()); t++)
      if (same_word(e, look.text.words[static_cast<std::size_t>(t)], word)) {
        all.places.push_back({look.text.text, t});
        vectors.push_back(look.vectors.rows(t, 1));
        fixed.push_back(look.fixed.rows(t, 1));
      }
    if (vectors.size() == before) position_of(e, look.text, word);  // throws that there is none
  }
  all.vectors = stacked(vectors);
  all.fixed = stacked(fixed);
  all.cosines = cosines_of(all.vectors);
  all.fixed_cosines = cosines_of(all.fixed);
  const Index n = all.vectors.dim(0), d = all.vectors.dim(1);
  if (n > 1) all.plane = pca(all.vectors.to(Dtype::f64), std::min<Index>({2, n, d}));
  return all;
}

}  // namespace qkv
