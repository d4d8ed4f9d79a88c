#include "model/skip_gram.h"

#include <algorithm>
#include <cmath>
#include <variant>

#include "qkv/base/threads.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/simd.h"
#include "row_copies.h"

namespace qkv {

QKV_REGISTER(Model, "skip-gram", SkipGram,
             "word2vec: a word's vector predicts each word around it, with negative sampling");
QKV_REGISTER(Model, "cbow", SkipGram, "word2vec: the mean of the vectors around a word predicts it");

namespace {

constexpr int kMostTargets = 65;

SkipGramConfig read_skip_gram(const Section& section) {
  SkipGramConfig c;
  section.read(c);
  return c;
}

// ---- one prediction: h [d] against n output rows, the first of them true

// Scores, and from them the losses and the gradients with the sign of a step: g_k = lr (y_k - s(score_k)).
template <class T>
double step_sizes(Index d, const T* h, T* const* rows, int n, T lr, T* g) {
  using B = simd::Batch<T>;
  constexpr int width = static_cast<int>(B::size);
  alignas(64) T likelihood[(kMostTargets + width - 1) / width * width];
  for (int k = 0; k < n; k++) {
    const T score = simd::sum<T>(
        d, [](auto a, auto b) { return a * b; }, h, static_cast<const T*>(rows[k]));
    likelihood[k] = k == 0 ? score : -score;
  }
  for (int k = n; k % width != 0; k++) likelihood[k] = 0;
  for (int k = 0; k < n; k += width)
    B(simd::logistic(B(xsimd::load_aligned(likelihood + k)))).store_aligned(likelihood + k);
  double product = 1;  // of at most 65 numbers of which few are small: one logarithm for all
  double loss = 0;
  for (int k = 0; k < n; k++) {
    g[k] = k == 0 ? lr * (1 - likelihood[k]) : -lr * (1 - likelihood[k]);
    product *= static_cast<double>(likelihood[k]);
    if (product < 1e-200) loss -= std::log(product), product = 1;
  }
  return loss - std::log(product);
}

// e = sum of g_k row_k, and row_k += g_k h, in one pass over all of them.
template <class T>
void move_rows(Index d, const T* h, T* const* rows, int n, const T* g, T* e) {
  using B = simd::Batch<T>;
  constexpr Index width = static_cast<Index>(B::size);
  Index i = 0;
  for (; i + width <= d; i += width) {
    const B own = xsimd::load_unaligned(h + i);
    B sum(T(0));
    for (int k = 0; k < n; k++) {
      const B row = xsimd::load_unaligned(rows[k] + i), step(g[k]);
      sum = xsimd::fma(step, row, sum);
      B(xsimd::fma(step, own, row)).store_unaligned(rows[k] + i);
    }
    sum.store_unaligned(e + i);
  }
  for (; i < d; i++) {
    e[i] = 0;
    for (int k = 0; k < n; k++) {
      e[i] += g[k] * rows[k][i];
      rows[k][i] += g[k] * h[i];
    }
  }
}

// The rows of a table as they are: what hogwild writes to.
template <class T>
struct SharedRows {
  T* table;
  Index width;
  T* row(Index id) const { return table + id * width; }
};

// All predictions of a batch, one after the other. `inputs` and `outputs` give rows by id.
template <class T, class Rows>
RowLearner::Learned learn_all(const Batch& batch, Index d, T lr, Rows& inputs, Rows& outputs) {
  const Tensor &targets = batch.at("targets"), &offsets = batch.at("input_offsets");
  const std::int32_t *target = targets.data<std::int32_t>(), *offset = offsets.data<std::int32_t>(),
                     *input = batch.at("input_ids").data<std::int32_t>();
  const Index P = targets.dim(0);
  const int n = static_cast<int>(targets.dim(1));
  std::vector<T> h(static_cast<std::size_t>(d)), e(static_cast<std::size_t>(d));
  T g[kMostTargets];
  T* rows[kMostTargets];
  RowLearner::Learned learned;
  for (Index p = 0; p < P; p++, target += n) {
    const Index bag = offset[p + 1] - offset[p];
    const std::int32_t* ids = input + offset[p];
    T* own = inputs.row(ids[0]);
    const T* mean = own;
    if (bag > 1) {
      std::fill(h.begin(), h.end(), T(0));
      for (Index i = 0; i < bag; i++)
        simd::add_scaled(d, T(1) / static_cast<T>(bag), inputs.row(ids[i]), h.data());
      mean = h.data();
    }
    for (int k = 0; k < n; k++) rows[k] = outputs.row(target[k]);
    learned.loss += step_sizes(d, mean, rows, n, lr, g);
    move_rows(d, mean, rows, n, g, e.data());
    for (Index i = 0; i < bag; i++) simd::add_scaled(d, T(1), e.data(), bag > 1 ? inputs.row(ids[i]) : own);
  }
  learned.count = static_cast<double>(P);
  return learned;
}

}  // namespace

// ---- shards

// The rows that each shard has met of both tables, in the type of the parameters.
struct SkipGram::Shards {
  template <class T>
  struct Copies {
    std::vector<RowCopies<T>> inputs, outputs;  // by shard
  };
  std::variant<Copies<float>, Copies<double>> copies;

  template <class T>
  Copies<T>& of() {
    return std::get<Copies<T>>(copies);
  }
  int size() const {
    return std::visit([](auto& both) { return static_cast<int>(both.inputs.size()); }, copies);
  }
  // f(inputs), f(outputs)
  template <class F>
  void each(F f) {
    std::visit([&](auto& both) { f(both.inputs), f(both.outputs); }, copies);
  }
};

SkipGram::SkipGram(const Scope& scope, const Section& section, const DataShape& shape)
    : config(read_skip_gram(section)),
      embed((scope / "embed")
                .param("weight", {shape.vocab_size, config.d_model},
                       init::uniform(-0.5 / static_cast<double>(config.d_model),
                                     0.5 / static_cast<double>(config.d_model)))),
      output((scope / "output").param("weight", {shape.vocab_size, config.d_model})),
      shards_(std::make_unique<Shards>()) {
  if (scope.store().dtype() == Dtype::f64) shards_->copies.emplace<Shards::Copies<double>>();
}

SkipGram::~SkipGram() = default;

Var SkipGram::forward(const Batch& batch) const {
  const Var h = embedding_bag(batch.at("input_ids"), batch.at("input_offsets"), embed);  // [P, d]
  const Var rows = embedding(batch.at("targets"), output);                               // [P, 1 + K, d]
  const Index P = rows.dim(0), n = rows.dim(1);
  return reshape(matmul(rows, reshape(h, {P, config.d_model, 1})), {P, n});
}

void SkipGram::share(int shards, RowSharing sharing) {
  sharing_ = sharing;
  shards_->each([&](auto& tables) { tables.resize(static_cast<std::size_t>(shards)); });
}

RowLearner::Learned SkipGram::learn(const Batch& batch, int shard, double lr) {
  Tensor in = embed.value(), out = output.value();  // handles: they share the buffers of the parameters
  QKV_CHECK(batch.at("targets").dim(1) <= kMostTargets, "skip-gram: at most {} words may be drawn; got {}",
            kMostTargets - 1, batch.at("targets").dim(1) - 1);
  const Index V = in.dim(0), d = in.dim(1);
  Learned learned;
  dispatch("skip-gram", in.dtype(), [&](auto t) {
    using T = decltype(t);
    if (sharing_ == RowSharing::hogwild) {
      SharedRows<T> inputs{in.data<T>(), d}, outputs{out.data<T>(), d};
      learned = learn_all(batch, d, static_cast<T>(lr), inputs, outputs);
      return;
    }
    auto& inputs = shards_->of<T>().inputs[static_cast<std::size_t>(shard)];
    auto& outputs = shards_->of<T>().outputs[static_cast<std::size_t>(shard)];
    inputs.attach(in.data<T>(), V, d);
    outputs.attach(out.data<T>(), V, d);
    learned = learn_all(batch, d, static_cast<T>(lr), inputs, outputs);
  });
  return learned;
}

// row += sum over the shards of (copy - row). The first shard that has met a row sees to it, so that each is
// written by one task, in an order that does not depend on the threads.
double SkipGram::join() {
  if (sharing_ == RowSharing::hogwild) return 0;
  const int n = shards_->size();
  std::vector<double> squares(2 * static_cast<std::size_t>(n), 0.0);
  auto one = [&](int task, int) {
    const int shard = task / 2;
    Tensor table = task % 2 == 0 ? embed.value() : output.value();
    dispatch("skip-gram", table.dtype(), [&](auto t) {
      using T = decltype(t);
      std::vector<RowCopies<T>>& copies = task % 2 == 0 ? shards_->of<T>().inputs : shards_->of<T>().outputs;
      const Index d = table.dim(1);
      std::vector<T> change(static_cast<std::size_t>(d));
      for (std::int32_t id : copies[static_cast<std::size_t>(shard)].ids()) {
        bool first = true;
        for (int s = 0; s < shard; s++) first = first && !copies[static_cast<std::size_t>(s)].find(id);
        if (!first) continue;
        T* row = table.data<T>() + id * d;
        std::fill(change.begin(), change.end(), T(0));
        for (int s = shard; s < n; s++)
          if (const T* copy = copies[static_cast<std::size_t>(s)].find(id))
            simd::apply<T>(
                d, change.data(), [](auto sum, auto now, auto before) { return sum + (now - before); },
                static_cast<const T*>(change.data()), copy, static_cast<const T*>(row));
        simd::add_scaled(d, T(1), change.data(), row);
        squares[static_cast<std::size_t>(task)] += static_cast<double>(simd::sum<T>(
            d, [](auto x) { return x * x; }, static_cast<const T*>(change.data())));
      }
    });
  };
  pool().run(2 * n, one);
  shards_->each([](auto& tables) {
    for (auto& copies : tables) copies.clear();
  });
  double total = 0;
  for (double part : squares) total += part;
  return total;
}

}  // namespace qkv
