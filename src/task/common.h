// What tasks share: sequences of different lengths as rows of a batch, classes, keys that limit each other.
#pragma once
#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/at.h"
#include "qkv/base/json.h"
#include "qkv/task/task.h"

namespace qkv {

/// A value for each split.
template <class T>
struct BySplit : std::array<T, 3> {
  using std::array<T, 3>::operator[];
  T& operator[](Split split) { return (*this)[std::size_t(split)]; }
  const T& operator[](Split split) const { return (*this)[std::size_t(split)]; }
};

/// Reports that the value of a key is above what another key allows.
inline void check_at_most(const Section& table, const char* key, Index value, const char* other,
                          Index limit) {
  if (value > limit) table.report(key, fmt::format("must be at most {} = {}; got {}", other, limit, value));
}

/// Ids in a row that somebody else holds.
struct IdSpan {
  IdSpan(const std::int32_t* first, Index size) : first(first), size(size) {}
  explicit IdSpan(const std::vector<std::int32_t>& ids) : first(ids.data()), size(Index(ids.size())) {}
  const std::int32_t* first;
  Index size;
};

/// Fills `name` [n, T] (i32) with the IdSpans `row(0)` .. `row(n - 1)`, each filled up with `pad`, and `keep`
/// [n, T], unless it is null: 1 where a row has an id. T is the length of the longest, at least 1.
template <class RowOf>
Tensor fill_rows(Batch& batch, const char* name, const char* keep, Index n, int pad, RowOf row) {
  Index T = 1;
  for (Index b = 0; b < n; b++) T = std::max(T, row(b).size);
  Tensor all = batch.fill(name, {n, T}, Dtype::i32);
  std::int32_t* ids = all.data<std::int32_t>();
  std::int32_t* kept = keep ? batch.fill(keep, {n, T}, Dtype::i32).data<std::int32_t>() : nullptr;
  for (Index b = 0; b < n; b++) {
    const IdSpan one = row(b);
    ids = std::fill_n(std::copy_n(one.first, one.size, ids), T - one.size, pad);
    if (kept) kept = std::fill_n(std::fill_n(kept, one.size, 1), T - one.size, 0);
  }
  return all;
}

using KeyedFiles = std::vector<std::pair<std::string, std::string>>;
/// Of keys of [data] and their files, those that are given.
inline KeyedFiles given_files(KeyedFiles all) {
  drop_if(all, [](const auto& file) { return file.second.empty(); });
  return all;
}

/// Adds the special tokens that a task needs and that [tokenizer] does not give.
inline void add_specials(TokenizerConfig& tokenizer, const std::vector<std::string>& needed) {
  for (const std::string& name : needed)
    if (!std::count(tokenizer.specials.begin(), tokenizer.specials.end(), name))
      tokenizer.specials.push_back(name);
}

/// Has `read` take what a checkpoint kept of a task with a tokenizer. A data error where it does not hold
/// `members`.
template <class F>
void restore_state(const TaskInput& input, const char* task, const char* members, F read) {
  if (!input.tokenizer) fail(Fault::data, "{}: a trained model must come with its tokenizer; got none", task);
  try {
    read(*input.state);
  } catch (const Json::exception&) {
    fail(Fault::data, "{}: the task's state must hold {}; got {}", task, members,
         dump_json(*input.state).substr(0, 100));
  }
}

/// Writes values to the batch as `name` (i32).
template <class Values>
void put(Batch& batch, const char* name, const Shape& shape, const Values& values) {
  std::copy(std::begin(values), std::end(values), batch.fill(name, shape, Dtype::i32).data<std::int32_t>());
}

/// Fills ids [n, T], and `keep` unless it is null, with the words of texts.
template <class IdOf>
void fill_words(Batch& batch, const ProbeText* texts, Index n, const char* keep, IdOf id_of) {
  std::vector<std::vector<int>> rows;
  rows.resize(std::size_t(n));
  for (Index i = 0; i < n; i++)
    for (const std::string& word : texts[i].words) at(rows, i).push_back(id_of(word));
  fill_rows(batch, "ids", keep, n, 0, [&](Index i) { return IdSpan(at(rows, i)); });
}

/// A batch of ids (i32) that have shapes only.
inline Batch symbolic_ids(std::initializer_list<std::pair<const char*, Shape>> shapes) {
  Batch batch;
  for (const auto& [name, shape] : shapes) batch.set(name, Tensor::symbolic(shape, Dtype::i32));
  return batch;
}

constexpr int kNoTarget = -100;
/// The targets that count.
inline Index count_targets(const Tensor& targets) {
  const std::int32_t* first = targets.data<std::int32_t>();
  return targets.size() - std::count(first, first + targets.size(), kNoTarget);
}

/// Of a row of targets, how many predictions are right and how many are not.
struct RowScore {
  double right = 0, wrong = 0;
};
/// The scores of the rows of logits [.., T, V] against targets [.., T], of which those >= 0 count that
/// `counts` accepts.
std::vector<RowScore> score_rows(
    const Var& logits, const Tensor& targets,
    const std::function<bool(std::int32_t target)>& counts = [](std::int32_t target) { return target >= 0; });

/// Cross entropy of logits [.., V] against targets [..], kNoTarget where there is none.
Loss token_loss(const Var& logits, const Tensor& targets, const LossConfig& config = {});
/// Adds its mean to the metrics.
Loss add_loss(const Var& logits, const Tensor& targets, Metrics& metrics);
/// The same, and the perplexity.
Loss add_perplexity(const Var& logits, const Tensor& targets, Metrics& metrics);

/// The place of a word in a vocabulary, which has it.
int place_of(const std::string& word, const std::vector<std::string>& vocabulary);

/// What a model computes in f32, with the digits of f32.
inline Json rounded(double value) {
  return json_number(float(value));
}

/// A task whose answer is one of some classes: batches have label [B], models give logits [B, n_class].
class ClassTask : public Task {
 public:
  Loss loss(const Model& model, const Batch& batch) const override {
    return token_loss(model.forward(batch), batch.at("label"));
  }
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    score_classes(model.forward(batch), batch, labels_, metrics);
  }
  std::vector<std::string> metrics() const override { return {"loss", "accuracy", "macro_f1"}; }
  /// Chance, the majority class and a bag of words.
  std::vector<ReferenceLevel> levels() override;

 protected:
  /// Adds the answer for one example, given its logits [1, n_class]: the likeliest class as `name`,
  /// "probability", and "probabilities" and "logits" of all classes by falling probability.
  void add_answer(Json& prediction, const char* name, const Tensor& logits) const;

  std::vector<std::string> labels_;
};

}  // namespace qkv
