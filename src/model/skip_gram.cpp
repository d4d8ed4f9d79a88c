#include "model/skip_gram.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/at.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {

QKV_REGISTER(Model, "skip-gram", SkipGram,
             "word2vec: a word's vector predicts each word around it, with negative sampling");
QKV_REGISTER(Model, "cbow", SkipGram, "word2vec: the mean of the vectors around a word predicts it");

namespace {

constexpr int kMaxTargets = 65;

// ---- one prediction: h [d] against n output rows, the first of them true

// Scores, and from them the losses and the gradients with the sign of a step: g_k = lr (y_k - s(score_k)).
template <class T>
double step_sizes(Index d, const T* h, T* const* rows, int n, T lr, T* g) {
  T likelihood[kMaxTargets];
  for (int k = 0; k < n; k++) likelihood[k] = (k == 0 ? 1 : -1) * simd::dot<T>(d, h, rows[k]);
  simd::apply(n, likelihood, [](auto v) { return simd::logistic(v); });
  double product = 1;  // of at most 65 numbers of which few are small: one logarithm for all
  double loss = 0;
  for (int k = 0; k < n; k++) {
    g[k] = (k == 0 ? lr : -lr) * (1 - likelihood[k]);
    product *= double(likelihood[k]);
    if (product < 1e-200) loss -= std::log(product), product = 1;
  }
  return loss - std::log(product);
}

// e = sum of g_k row_k, and row_k += g_k h, in one pass over all of them.
template <class T>
void move_rows(Index d, const T* h, T* const* rows, int n, const T* g, T* e) {
  using B = simd::Batch<T>;
  simd::for_batches<T>(d, [&](auto at) {
    const B own = at.load(h);
    B sum(T(0));
    for (int k = 0; k < n; k++) {
      const B row = at.load(rows[k]), step(g[k]);
      sum = xsimd::fma(step, row, sum);
      at.store(rows[k], xsimd::fma(step, own, row));
    }
    at.store(e, sum);
  });
}

// All predictions of a batch, one after the other. `input_row` and `output_row` give rows by id.
template <class T, class InputRow, class OutputRow>
RowLearner::Learned learn_all(const Batch& batch, Index d, T lr, InputRow input_row, OutputRow output_row) {
  const Tensor &targets = batch.at("targets"), &offsets = batch.at("input_offsets");
  const std::int32_t *target = targets.data<std::int32_t>(), *offset = offsets.data<std::int32_t>(),
                     *input = batch.at("input_ids").data<std::int32_t>();
  const Index P = targets.dim(0);
  const int n = int(targets.dim(1));
  std::vector<T> h(std::size_t(d), T(0)), e(std::size_t(d), T(0));
  T g[kMaxTargets];
  T* rows[kMaxTargets];
  RowLearner::Learned learned;
  for (Index p = 0; p < P; p++, target += n) {
    const Index bag = offset[p + 1] - offset[p];
    const std::int32_t* ids = input + offset[p];
    T* own = input_row(ids[0]);
    const T* mean = own;
    if (bag > 1) {
      std::fill(h.begin(), h.end(), T(0));
      for (Index i = 0; i < bag; i++) simd::add_scaled(d, T(1) / T(bag), input_row(ids[i]), h.data());
      mean = h.data();
    }
    for (int k = 0; k < n; k++) rows[k] = output_row(target[k]);
    learned.loss += step_sizes(d, mean, rows, n, lr, g);
    move_rows(d, mean, rows, n, g, e.data());
    for (Index i = 0; i < bag; i++) simd::add<T>(d, bag > 1 ? input_row(ids[i]) : own, e.data());
  }
  learned.count = double(P);
  return learned;
}

}  // namespace

// ---- shards

// The rows of a table that one shard has met, as copies that it changes. Memory stays from step to step; it
// grows with the rows that a step meets, not with the table.
class RowCopies {
 public:
  void attach(const Tensor& table) {
    table_ = table.bytes(), bytes_ = table.byte_size() / std::size_t(table.dim(0));
    if (Index(places_.size()) != table.dim(0)) places_.assign(std::size_t(table.dim(0)), -1);
  }
  // The copy of row `id`, made on first use. It keeps its address until `clear`.
  template <class T>
  T* row(Index id) {
    std::int32_t& place = qkv::at(places_, id);
    if (place < 0) {
      place = std::int32_t(ids_.size());
      ids_.push_back(std::int32_t(id));
      if (ids_.size() > blocks_.size() * kRows)
        blocks_.push_back(std::make_unique<std::byte[]>(kRows * bytes_));
      std::memcpy(at(place), table_ + std::size_t(id) * bytes_, bytes_);
    }
    return reinterpret_cast<T*>(at(place));
  }
  // The copy, or null.
  template <class T>
  const T* find(Index id) {
    const std::int32_t place = qkv::at(places_, id);
    return place < 0 ? nullptr : reinterpret_cast<const T*>(at(place));
  }
  // Rows met, in the order in which they were.
  const std::vector<std::int32_t>& ids() const { return ids_; }
  void clear() {
    for (std::int32_t id : ids_) qkv::at(places_, id) = -1;
    ids_.clear();
  }

 private:
  static constexpr std::size_t kRows = 1024;  // of a block
  std::byte* at(std::int32_t place) {
    return blocks_[std::size_t(place) / kRows].get() + std::size_t(place) % kRows * bytes_;
  }

  const std::byte* table_ = nullptr;
  std::size_t bytes_ = 0;  // of a row
  std::vector<std::int32_t> places_, ids_;
  std::vector<std::unique_ptr<std::byte[]>> blocks_;
};

// The rows that each shard has met of both tables.
struct SkipGram::Shards {
  std::vector<RowCopies> inputs, outputs;
};

SkipGram::SkipGram(const Scope& scope, const Section& section, const DataShape& shape)
    : config(section.read<SkipGramConfig>()),
      embed((scope / "embed")
                .param("weight", {shape.vocab_size, config.d_model},
                       init::uniform(-0.5 / double(config.d_model), 0.5 / double(config.d_model)))),
      output((scope / "output").param("weight", {shape.vocab_size, config.d_model})),
      shards_(std::make_unique<Shards>()) {}

SkipGram::~SkipGram() = default;

Var SkipGram::forward(const Batch& batch) const {
  const Var h = embedding_bag(batch.at("input_ids"), batch.at("input_offsets"), embed);  // [P, d]
  const Var rows = embedding(batch.at("targets"), output);                               // [P, 1 + K, d]
  const Index P = rows.dim(0), n = rows.dim(1);
  return reshape(matmul(rows, reshape(h, {P, config.d_model, 1})), {P, n});
}

void SkipGram::share(int shards, RowSharing sharing) {
  sharing_ = sharing;
  shards_->inputs.resize(std::size_t(shards));
  shards_->outputs.resize(std::size_t(shards));
}

RowLearner::Learned SkipGram::learn(const Batch& batch, int shard, double lr) {
  Tensor in = embed.value(), out = output.value();  // handles: they share the buffers of the parameters
  QKV_CHECK(batch.at("targets").dim(1) <= kMaxTargets, "skip-gram: at most {} words may be drawn; got {}",
            kMaxTargets - 1, batch.at("targets").dim(1) - 1);
  const Index d = in.dim(1);
  Learned learned;
  dispatch("skip-gram", in.dtype(), [&](auto t) {
    using T = decltype(t);
    if (sharing_ == RowSharing::hogwild) {  // the rows as they are
      T *inputs = in.data<T>(), *outputs = out.data<T>();
      learned = learn_all(
          batch, d, T(lr), [=](Index id) { return inputs + id * d; },
          [=](Index id) { return outputs + id * d; });
      return;
    }
    RowCopies &inputs = at(shards_->inputs, shard), &outputs = at(shards_->outputs, shard);
    inputs.attach(in);
    outputs.attach(out);
    learned = learn_all(
        batch, d, T(lr), [&](Index id) { return inputs.row<T>(id); },
        [&](Index id) { return outputs.row<T>(id); });
  });
  return learned;
}

// row += sum over the shards of (copy - row). The first shard that has met a row sees to it, so that each is
// written by one task, in an order that does not depend on the threads.
double SkipGram::join(bool keep) {
  if (sharing_ == RowSharing::hogwild) return 0;
  const int n = int(shards_->inputs.size());
  std::vector<double> squares(2 * std::size_t(n), 0.0);
  auto one = [&](int task, int) {
    const int shard = task / 2;
    Tensor table = task % 2 == 0 ? embed.value() : output.value();
    std::vector<RowCopies>& copies = task % 2 == 0 ? shards_->inputs : shards_->outputs;
    dispatch("skip-gram", table.dtype(), [&](auto t) {
      using T = decltype(t);
      const Index d = table.dim(1);
      std::vector<T> change(std::size_t(d), T(0));
      for (std::int32_t id : at(copies, shard).ids()) {
        bool first = true;
        for (int s = 0; s < shard; s++) first = first && !at(copies, s).find<T>(id);
        if (!first) continue;
        T* row = table.data<T>() + id * d;
        std::fill(change.begin(), change.end(), T(0));
        for (int s = shard; s < n; s++)
          if (const T* copy = at(copies, s).find<T>(id))
            simd::apply(d, change.data(), change.data(), copy, row,
                        [](auto sum, auto now, auto before) { return sum + (now - before); });
        simd::add<T>(d, row, change.data());
        at(squares, task) += double(simd::dot<T>(d, change.data(), change.data()));
      }
    });
  };
  if (keep) pool().run(2 * n, one);
  for (std::vector<RowCopies>* tables : {&shards_->inputs, &shards_->outputs})
    for (RowCopies& copies : *tables) copies.clear();
  double total = 0;
  for (double part : squares) total += part;
  return total;
}

}  // namespace qkv
