// What tasks share: sequences of different lengths as rows of a batch, classes, keys that limit each other.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "qkv/base/json.h"
#include "qkv/task/task.h"

namespace qkv {

constexpr Split kSplits[] = {Split::train, Split::val, Split::test};

/// Reports that the value of a key is above what another key allows.
inline void check_at_most(const Section& table, const char* key, Index value, const char* other,
                          Index limit) {
  if (value > limit) table.report(key, fmt::format("must be at most {} = {}; got {}", other, limit, value));
}

/// The ids [n, length] that `fill_rows` has written.
struct FilledRows {
  std::int32_t* ids;
  Index length;
};

/// Fills `name` [n, T] (i32) with the ids of `row(0)` .. `row(n - 1)`, each filled up with `pad`, and `keep`
/// [n, T], unless it is null: 1 where a row has an id. T is the length of the longest, at least 1.
template <class RowOf>
FilledRows fill_rows(Batch& batch, const char* name, const char* keep, Index n, int pad, RowOf row) {
  Index T = 1;
  for (Index b = 0; b < n; b++) T = std::max(T, static_cast<Index>(row(b).size()));
  std::int32_t* ids = batch.fill(name, {n, T}, Dtype::i32).data<std::int32_t>();
  std::int32_t* kept = keep ? batch.fill(keep, {n, T}, Dtype::i32).data<std::int32_t>() : nullptr;
  for (Index b = 0; b < n; b++) {
    const auto& one = row(b);
    const auto size = static_cast<Index>(one.size());
    std::fill_n(std::copy(one.begin(), one.end(), ids + b * T), T - size, pad);
    if (kept) kept = std::fill_n(std::fill_n(kept, size, 1), T - size, 0);
  }
  return {ids, T};
}

using KeyedFiles = std::vector<std::pair<std::string, std::string>>;
/// Of keys of [data] and their files, those that are given.
inline KeyedFiles given_files(KeyedFiles all) {
  all.erase(std::remove_if(all.begin(), all.end(), [](const auto& file) { return file.second.empty(); }),
            all.end());
  return all;
}

/// The places of words in a vocabulary, which has them all.
std::vector<std::int32_t> ids_of_words(const std::vector<std::string>& words,
                                       const std::vector<std::string>& vocabulary);

/// What a model computes in f32, with the digits of f32.
inline Json rounded(double value) {
  return json_number(static_cast<float>(value));
}

/// A task whose answer is one of some classes: batches have label [B], models give logits [B, n_class].
class ClassTask : public Task {
 public:
  Loss loss(const Model& model, const Batch& batch) const override;
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    score_classes(model.forward(batch), batch, labels_, metrics);
  }
  std::vector<std::string> metrics() const override { return {"loss", "accuracy", "macro_f1"}; }

 protected:
  std::vector<std::string> labels_;
};

}  // namespace qkv
