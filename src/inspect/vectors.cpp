#include "inspect/vectors.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "inspect/look.h"
#include "ops/copy.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/tensor/xt.h"
#include "train/base_weights.h"

namespace qkv {

// ---- measures

// All elements as one vector in f64. What `wide` keeps must outlive it.
static auto elements(const Tensor& x, Tensor& wide) {
  wide = x.to(Dtype::f64).reshape({x.size()});
  return view<double, 1>(static_cast<const Tensor&>(wide));
}

double largest_difference(const Tensor& a, const Tensor& b) {
  Tensor x, y;
  return xt::amax(xt::abs(elements(a, x) - elements(b, y)))();
}

double length_of(const Tensor& x) {
  return std::sqrt(dot(x, x));
}

double distance(const Tensor& a, const Tensor& b) {
  Tensor x, y;
  return std::sqrt(xt::sum(xt::square(elements(a, x) - elements(b, y)))());
}

double dot(const Tensor& a, const Tensor& b) {
  Tensor x, y;
  return xt::sum(elements(a, x) * elements(b, y))();
}

double cosine(const Tensor& a, const Tensor& b) {
  const double lengths = std::sqrt(dot(a, a) * dot(b, b));
  return lengths > 0 ? dot(a, b) / lengths : 0;
}

double entropy(const Tensor& p) {
  Tensor wide;
  const auto x = elements(p, wide);
  return -xt::sum(xt::where(x > 0.0, x * xt::log(xt::maximum(x, 1e-300)), 0.0))();
}

// ---- of a word in texts

static Tensor cosines_of(const Tensor& x) {
  const Index n = x.dim(0);
  Tensor result = Tensor::empty({n, n}, Dtype::f64);
  for (Index i = 0; i < n; i++)
    for (Index j = 0; j < n; j++) result.data<double>()[i * n + j] = cosine(x.rows(i, 1), x.rows(j, 1));
  return result;
}

Occurrences occurrences_of(const Experiment& e, const std::string& word,
                           const std::vector<std::string>& texts) {
  Occurrences all;
  std::vector<Tensor> vectors, fixed;
  for (const std::string& text : texts) {
    const Look look = look_at(e, text);
    if (!look.vectors.defined() || !look.fixed.defined()) lacks(e, "inspect vectors", "a vector per word");
    const std::size_t before = vectors.size();
    for (Index t = 0; t < Index(look.text.words.size()); t++)
      if (same_word(e, look.text.words[std::size_t(t)], word)) {
        all.places.push_back({look.text.text, t});
        vectors.push_back(look.vectors.rows(t, 1));
        fixed.push_back(look.fixed.rows(t, 1));
      }
    if (vectors.size() == before) position_of(e, look.text, word);  // throws that there is none
  }
  all.vectors = joined(vectors);
  all.fixed = joined(fixed);
  all.cosines = cosines_of(all.vectors);
  all.fixed_cosines = cosines_of(all.fixed);
  const Index n = all.vectors.dim(0), d = all.vectors.dim(1);
  if (n > 1) all.plane = pca(all.vectors.to(Dtype::f64), std::min<Index>({2, n, d}));
  return all;
}

// ---- a table

// The token of each id; special ones, which are never queried, are empty.
static std::vector<std::string> tokens_of(const Checkpoint& checkpoint, const std::string& path,
                                          const std::string& which, const std::vector<std::string>& sets) {
  if (!checkpoint.tokenizer) {
    const Experiment e = load_experiment(path, which, sets);
    std::vector<std::string> tokens = e.task->vocabulary();
    if (tokens.empty())
      fail(Fault::usage,
           "inspect: tokens must have texts; got task '{}' with neither tokenizer nor vocabulary (override "
           "Task::vocabulary, qkv/task/task.h)",
           e.config.section("task").type(Task::kDefault));
    return tokens;
  }
  const Vocab& vocab = checkpoint.tokenizer->vocab();
  std::vector<std::string> tokens;
  for (int id = 0; id < vocab.size(); id++) tokens.push_back(vocab.is_special(id) ? "" : vocab.token(id));
  return tokens;
}

WordVectors word_table(const std::string& path, const std::string& table, const std::string& which,
                       const std::vector<std::string>& sets) {
  if (exists(path) && !is_directory(path)) {
    WordVectors vectors = read_word2vec(path);
    if (!vectors.warning.empty()) console().warn("{}", vectors.warning);
    return vectors;
  }
  const Checkpoint checkpoint = read_checkpoint(find_checkpoint(path, which));
  const std::vector<std::string> tokens = tokens_of(checkpoint, path, which, sets);
  Tensor found;
  std::vector<std::string> names;
  for (const NamedTensor& weight : whole_weights(checkpoint)) {
    if (weight.tensor.rank() != 2 || weight.tensor.dim(0) != Index(tokens.size())) continue;
    names.push_back(weight.name);
    if (!found.defined() && (table.empty() || table == weight.name)) found = weight.tensor.to(Dtype::f32);
  }
  if (!found.defined())
    fail(Fault::usage, "inspect: --table must name a parameter with a row per token; got {}{}",
         in_quotes(table), suggest(table, names));
  WordVectors result;
  std::vector<int> rows;
  for (std::size_t id = 0; id < tokens.size(); id++) {
    if (tokens[id].empty()) continue;
    result.words.push_back(tokens[id]);
    rows.push_back(int(id));
  }
  result.vectors = select_rows("inspect", found, rows);
  return result;
}

int row_of(const WordSpace& space, const std::string& word) {
  if (const int row = space.find(word); row >= 0) return row;
  std::vector<std::string> words;
  for (int i = 0; i < space.size(); i++) words.push_back(space.word(i));
  const std::string near = nearest(word, words);
  fail(Fault::usage, "inspect: the vocabulary must have the word; got {}{}", in_quotes(word),
       near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near));
}

}  // namespace qkv
