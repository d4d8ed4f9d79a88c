#include "qkv/ops/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "qkv/autograd/gradcheck.h"
#include "qkv/tensor/simd.h"

namespace qkv {
namespace {

using Loss = Var (*)(const Var&, const Tensor&, const CrossEntropyOptions&);

void gradcheck_options(GradSuite& g, Loss loss, bool smooth) {
  auto targets = [](const Shape& shape, std::vector<std::int32_t> ids) {
    return Tensor::from(shape, ids);
  };
  auto check = [&](const char* label, const Shape& shape, const Tensor& t, const CrossEntropyOptions& o) {
    g.check(label, {g.normal(shape)}, [=](const std::vector<Var>& in) { return loss(in[0], t, o); });
  };
  const Tensor weights = g.uniform({4}, 0.5, 2.0);
  check("rows", {3, 4}, targets({3}, {1, 0, 3}), {});
  check("one row", {5}, targets({}, {2}), {});
  check("batch, ignored", {2, 3, 9}, targets({2, 3}, {8, -100, 0, 4, -100, 1}), {});
  check("ignored class", {3, 4}, targets({3}, {2, 1, 2}), {2, {}, 0});
  check("all ignored", {2, 3}, targets({2}, {-100, -100}), {});
  check("weights", {4, 4}, targets({4}, {0, 3, -100, 1}), {-100, weights, 0});
  check("one class", {2, 1}, targets({2}, {0, 0}), {});
  if (!smooth) return;
  check("smoothing", {3, 9}, targets({3}, {8, -100, 4}), {-100, {}, 0.1});
  check("smoothing, weights", {3, 4}, targets({3}, {3, 1, 1}), {1, weights, 0.25});
}
const Op kCrossEntropy("cross_entropy", [](GradSuite& g) {
  gradcheck_options(
      g,
      [](const Var& x, const Tensor& t, const CrossEntropyOptions& o) { return cross_entropy(x, t, o).sum; },
      true);
});
const Op kCrossEntropyMean("cross_entropy_mean",
                           [](GradSuite& g) { gradcheck_options(g, cross_entropy_mean, true); });
const Op kCrossEntropyEach("cross_entropy_each",
                           [](GradSuite& g) { gradcheck_options(g, cross_entropy_each, true); });
const Op kNllLossEach("nll_loss_each", [](GradSuite& g) { gradcheck_options(g, nll_loss_each, false); });

// The checked arguments of one call.
struct Plan {
  Index rows, V, ignore;
  double smoothing;
  Tensor targets, weights;
  double weight = 0.0;        // sum of w_t over the targets that count
  double class_weight = 0.0;  // sum of w_c over all classes

  Plan(const char* op, const Var& logits, const Tensor& t, const CrossEntropyOptions& o)
      : ignore(o.ignore_index), smoothing(o.label_smoothing), targets(t), weights(o.class_weights) {
    const int rank = logits.rank();
    QKV_CHECK(logits.dtype() != Dtype::i32, "{}: dtype must be f32 or f64; got i32", op);
    QKV_CHECK(rank >= 1 && t.defined() && t.shape() == Shape(logits.shape().begin(), rank - 1) &&
                  t.dtype() == Dtype::i32,
              "{}: targets must be i32 of the shape of the logits without the last axis; got targets {} {}, "
              "logits {}",
              op, t.dtype(), t.shape(), logits.shape());
    QKV_CHECK(smoothing >= 0 && smoothing <= 1, "{}: label_smoothing must be in [0, 1]; got {}", op,
              smoothing);
    rows = t.size(), V = logits.dim(-1);
    QKV_CHECK(!weights.defined() || (weights.shape() == Shape{V} && weights.dtype() == logits.dtype()),
              "{}: class_weights must be {} {}; got {} {}", op, logits.dtype(), Shape{V}, weights.dtype(),
              weights.shape());
    if (logits.is_symbolic() || t.is_symbolic()) {
      weight = static_cast<double>(rows);
      return;
    }
    const bool weighted = weights.defined();
    class_weight = static_cast<double>(V);
    if (weighted && smoothing > 0) {
      class_weight = 0.0;
      for (Index c = 0; c < V; c++) class_weight += weights.at(c);
    }
    const std::int32_t* ids = t.data<std::int32_t>();
    for (Index r = 0; r < rows; r++) {
      if (ids[r] == ignore) continue;
      QKV_CHECK(ids[r] >= 0 && ids[r] < V,
                "{}: target must be in [0, {}) or the ignored {}; got {} at position {} (logits {})", op, V,
                ignore, ids[r], r, logits.shape());
      weight += weighted ? weights.at(ids[r]) : 1.0;
    }
  }
  // Class of row r, or -1 when it is ignored.
  Index target(Index r) const {
    const Index id = targets.data<std::int32_t>()[r];
    return id == ignore ? -1 : id;
  }
  template <class T>
  T weight_of(Index c) const {
    return weights.defined() ? weights.data<T>()[c] : T(1);
  }
};

// What backward needs of a row: its maximum m and s = sum(exp(x - m)), so that p = exp(x - m) / s keeps its
// precision for large logits (a single log-sum-exp would not).
template <class T>
struct RowStats {
  T top, sum;
};

// loss = (1 - e) w_t (m + log s - x_t) + e / V sum_c w_c (m + log s - x_c)
template <class T>
double forward_row(const Plan& p, const T* x, Index target, RowStats<T>& stats) {
  const simd::Batch<T> top(stats.top = simd::max(p.V, x));
  stats.sum = simd::sum<T>(
      p.V, [&](auto v) { return simd::exp(v - top); }, x);
  const double log_sum = std::log(static_cast<double>(stats.sum));
  double loss = (1 - p.smoothing) * static_cast<double>(p.weight_of<T>(target)) *
                (static_cast<double>(stats.top) - static_cast<double>(x[target]) + log_sum);
  if (p.smoothing > 0) {
    const T below = p.weights.defined()
                        ? simd::sum<T>(
                              p.V, [&](auto v, auto w) { return w * (top - v); }, x, p.weights.data<T>())
                        : simd::sum<T>(
                              p.V, [&](auto v) { return top - v; }, x);
    loss += p.smoothing / static_cast<double>(p.V) * (static_cast<double>(below) + p.class_weight * log_sum);
  }
  return loss;
}

// dx_j = dy (p_j ((1 - e) w_t + e / V sum_c w_c) - [j = t] (1 - e) w_t - e / V w_j); `dx` may be `x`.
template <class T>
void backward_row(const Plan& p, const T* x, Index target, const RowStats<T>& stats, double dy, double beta,
                  T* dx) {
  const double hard = dy * (1 - p.smoothing) * static_cast<double>(p.weight_of<T>(target));
  const double soft = dy * p.smoothing / static_cast<double>(p.V);
  const simd::Batch<T> top(stats.top), each(static_cast<T>(soft)),
      factor(static_cast<T>((hard + soft * p.class_weight) / static_cast<double>(stats.sum)));
  if (soft == 0)
    simd::apply_beta<T>(
        beta, p.V, dx, [&](auto v) { return simd::exp(v - top) * factor; }, x);
  else if (!p.weights.defined())
    simd::apply_beta<T>(
        beta, p.V, dx, [&](auto v) { return simd::exp(v - top) * factor - each; }, x);
  else
    simd::apply_beta<T>(
        beta, p.V, dx, [&](auto v, auto w) { return simd::exp(v - top) * factor - each * w; }, x,
        p.weights.data<T>());
  dx[target] -= static_cast<T>(hard);
}

enum class Reduce { sum, mean, each };

Var run(const Op& op, const Plan& plan, const Var& logits, Reduce reduce) {
  const Dtype dtype = logits.dtype();
  const Shape shape = reduce == Reduce::each ? plan.targets.shape() : Shape{};
  if (logits.is_symbolic() || plan.targets.is_symbolic()) return Tensor::symbolic(shape, dtype);
  Tensor y = Tensor::empty(shape, dtype), stats = Tensor::empty({plan.rows, 2}, dtype);
  // The mean of nothing is 0.
  const double scale = reduce != Reduce::mean ? 1.0 : plan.weight != 0.0 ? 1.0 / plan.weight : 0.0;
  dispatch(op.name, dtype, [&](auto t) {
    using T = decltype(t);
    double total = 0.0;
    for (Index r = 0; r < plan.rows; r++) {
      const Index target = plan.target(r);
      RowStats<T> row{};
      const double loss =
          target < 0 ? 0.0 : forward_row(plan, logits.value().data<T>() + r * plan.V, target, row);
      stats.data<T>()[2 * r] = row.top, stats.data<T>()[2 * r + 1] = row.sum;
      total += loss;
      if (reduce == Reduce::each) y.data<T>()[r] = static_cast<T>(loss);
    }
    if (reduce != Reduce::each) y.data<T>()[0] = static_cast<T>(scale * total);
  });
  return record(op, {logits}, y, [=, x = logits.value()](const Tensor& dy, Sink& dx) mutable {
    const bool in_place = x.unique();  // nobody else reads the logits any more
    const Sink::Buffer d = in_place ? Sink::Buffer{x, 0.0} : dx.buffer(0);
    Tensor gradient = d.gradient;
    dispatch("cross_entropy", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      const T* upstream = dy.data<T>();
      for (Index r = 0; r < plan.rows; r++) {
        const Index target = plan.target(r);
        T* row = gradient.data<T>() + r * plan.V;
        if (target < 0) {
          if (d.beta == 0.0) std::fill_n(row, plan.V, T(0));
          continue;
        }
        const RowStats<T> row_stats{stats.data<T>()[2 * r], stats.data<T>()[2 * r + 1]};
        backward_row(plan, x.template data<T>() + r * plan.V, target, row_stats,
                     scale * static_cast<double>(upstream[reduce == Reduce::each ? r : 0]), d.beta, row);
      }
    });
    if (in_place) dx.add(0, std::move(x));
  });
}

}  // namespace

CrossEntropy cross_entropy(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  const Plan plan("cross_entropy", logits, targets, options);
  return {run(kCrossEntropy, plan, logits, Reduce::sum), plan.weight};
}

Var cross_entropy_mean(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  return run(kCrossEntropyMean, Plan("cross_entropy", logits, targets, options), logits, Reduce::mean);
}

Var cross_entropy_each(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  return run(kCrossEntropyEach, Plan("cross_entropy", logits, targets, options), logits, Reduce::each);
}

Var nll_loss_each(const Var& log_probs, const Tensor& targets, const CrossEntropyOptions& options) {
  QKV_CHECK(options.label_smoothing == 0, "nll_loss: label_smoothing must be 0; got {}",
            options.label_smoothing);
  const Plan plan("nll_loss", log_probs, targets, options);
  if (log_probs.is_symbolic() || targets.is_symbolic())
    return Tensor::symbolic(targets.shape(), log_probs.dtype());
  Tensor y = Tensor::empty(targets.shape(), log_probs.dtype());
  dispatch("nll_loss", y.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index r = 0; r < plan.rows; r++) {
      const Index c = plan.target(r);
      y.data<T>()[r] = c < 0 ? T(0) : -plan.weight_of<T>(c) * log_probs.value().data<T>()[r * plan.V + c];
    }
  });
  return record(kNllLossEach, {log_probs}, y, [=](const Tensor& dy, Sink& dx) {
    dispatch("nll_loss", dy.dtype(), [&](auto t) {
      using T = decltype(t);
      T* d = dx.zeroed(0).data<T>();
      for (Index r = 0; r < plan.rows; r++) {
        const Index c = plan.target(r);
        if (c >= 0) d[r * plan.V + c] -= plan.weight_of<T>(c) * dy.data<T>()[r];
      }
    });
  });
}

}  // namespace qkv
