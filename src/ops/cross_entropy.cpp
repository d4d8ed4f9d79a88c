#include "qkv/ops/loss.h"

#include <algorithm>
#include <cmath>

#include "ops/loss_rows.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/rows.h"

namespace qkv {
namespace {

// The checked arguments of one call.
struct Targets {
  Index rows, V, ignore;
  double smoothing, z_loss;
  Tensor targets, weights;
  double weight = 0.0;        // sum of w_t over the targets that count
  double class_weight = 0.0;  // sum of w_c over all classes

  Targets(const char* op, const Var& logits, const Tensor& t, const CrossEntropyOptions& o)
      : ignore(o.ignore_index),
        smoothing(o.label_smoothing),
        z_loss(o.z_loss),
        targets(t),
        weights(o.class_weights) {
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
      weight = double(rows);
      return;
    }
    const bool weighted = weights.defined();
    class_weight = double(V);
    if (weighted && smoothing > 0) {
      class_weight = 0.0;
      for (Index c = 0; c < V; c++) class_weight += weights.at(c);
    }
    const std::int32_t* ids = t.data<std::int32_t>();
    for (Index r = 0; r < rows; r++) {
      if (ids[r] == ignore) continue;
      const std::int32_t id = ids[r] <= muted(0) ? muted(ids[r]) : ids[r];
      QKV_CHECK(id >= 0 && id < V,
                "{}: target must be in [0, {}) or the ignored {}; got {} at position {} (logits {})", op, V,
                ignore, ids[r], r, logits.shape());
      weight += weighted ? weights.at(id) : 1.0;
    }
  }
  // Class of row r, or -1 when it is ignored or muted.
  Index target(Index r) const {
    const Index id = targets.data<std::int32_t>()[r];
    return id == ignore || id <= muted(0) ? -1 : id;
  }
  template <class T>
  T weight_of(Index c) const {
    return weights.defined() ? weights.data<T>()[c] : T(1);
  }
};

// loss = (1 - e) w_t (m + log s - x_t) + e / V sum_c w_c (m + log s - x_c) + z w_t log^2 Z, with log Z = log
// sum exp x = m + log s
template <class T>
double forward_row(const Targets& p, const T* x, Index target, const simd::LogSumExp<T>& of) {
  const double log_sum = std::log(double(of.sum));
  double loss =
      (1 - p.smoothing) * double(p.weight_of<T>(target)) * (double(of.top) - double(x[target]) + log_sum);
  if (p.smoothing > 0) {
    const simd::Batch<T> top(of.top);
    const T below = p.weights.defined() ? simd::sum_of<T>(p.V, x, p.weights.data<T>(),
                                                          [&](auto v, auto w) { return w * (top - v); })
                                        : simd::sum_of<T>(p.V, x, [&](auto v) { return top - v; });
    loss += p.smoothing / double(p.V) * (double(below) + p.class_weight * log_sum);
  }
  if (p.z_loss > 0) {
    const double log_Z = double(of.top) + log_sum;
    loss += p.z_loss * double(p.weight_of<T>(target)) * log_Z * log_Z;
  }
  return loss;
}

// dx_j = dy (p_j ((1 - e) w_t + e / V sum_c w_c + 2 z w_t log Z) - [j = t] (1 - e) w_t - e / V w_j); `dx` may
// be `x`.
template <class T>
void backward_row(const Targets& p, const T* x, Index target, const simd::LogSumExp<T>& of, double dy,
                  double beta, T* dx) {
  const double hard = dy * (1 - p.smoothing) * double(p.weight_of<T>(target));
  const double soft = dy * p.smoothing / double(p.V);
  double shared = hard + soft * p.class_weight;
  if (p.z_loss > 0)
    shared +=
        2 * dy * p.z_loss * double(p.weight_of<T>(target)) * (double(of.top) + std::log(double(of.sum)));
  const simd::Batch<T> top(of.top), each(static_cast<T>(soft)), factor(T(shared / double(of.sum)));
  if (soft == 0)
    simd::apply_beta(beta, p.V, dx, x, [&](auto v) { return simd::exp(v - top) * factor; });
  else if (!p.weights.defined())
    simd::apply_beta(beta, p.V, dx, x, [&](auto v) { return simd::exp(v - top) * factor - each; });
  else
    simd::apply_beta(beta, p.V, dx, x, p.weights.data<T>(),
                     [&](auto v, auto w) { return simd::exp(v - top) * factor - each * w; });
  dx[target] -= T(hard);
}

// The definition from separate ops: sum_c q_c (-log p_c) + z w_t log^2 Z, q the weighted, smoothed targets.
Var each_composed(const Var& logits, const Tensor& targets, const CrossEntropyOptions& o) {
  const Targets of("cross_entropy", logits, targets, o);
  Tensor q = Tensor::zeros(logits.shape(), Dtype::f64), w = Tensor::zeros(targets.shape(), Dtype::f64);
  for (Index i = 0; i < q.size(); i++) {
    const Index target = of.target(i / of.V), c = i % of.V;
    const double share = of.smoothing / double(of.V) + (c == target ? 1 - of.smoothing : 0);
    if (target < 0) continue;
    q.data<double>()[i] = share * (of.weights.defined() ? of.weights.at(c) : 1);
    w.data<double>()[i / of.V] = of.weights.defined() ? of.weights.at(target) : 1;
  }
  const Var log_Z = logsumexp(logits, -1);
  return Var(w.to(logits.dtype())) * square(log_Z) * of.z_loss -
         sum(Var(q.to(logits.dtype())) * log_softmax(logits), -1);
}

Var sum_composed(const Var& logits, const Tensor& targets, const CrossEntropyOptions& o) {
  return sum(each_composed(logits, targets, o));
}
Var sum_fused(const Var& logits, const Tensor& targets, const CrossEntropyOptions& o) {
  return cross_entropy(logits, targets, o).sum;
}

using Loss = Var (*)(const Var&, const Tensor&, const CrossEntropyOptions&);
void check_options(GradSuite& g, Loss loss, Loss composed, bool smooth) {
  auto check = [&](const char* label, const Shape& shape, const Tensor& t, const CrossEntropyOptions& o) {
    GradSuite::Function definition;
    if (composed)
      definition = [=](const Vars& in) {
        return composed(in[0], t, o);
      };
    g.check(
        label, {g.normal(shape)}, [=](const Vars& in) { return loss(in[0], t, o); }, definition);
  };
  const Tensor weights = g.uniform({4}, 0.5, 2.0);
  check("rows", {3, 4}, g.ints({3}, {1, 0, 3}), {});
  check("one row", {5}, g.ints({}, {2}), {});
  check("batch, ignored", {2, 3, 9}, g.ints({2, 3}, {8, -100, 0, 4, -100, 1}), {});
  check("ignored class", {3, 4}, g.ints({3}, {2, 1, 2}), {2, {}, 0});
  check("all ignored", {2, 3}, g.ints({2}, {-100, -100}), {});
  check("weights", {4, 4}, g.ints({4}, {0, 3, -100, 1}), {-100, weights, 0});
  check("muted, weights", {3, 4}, g.ints({3}, {0, muted(2), 1}), {-100, weights, 0});
  check("one class", {2, 1}, g.ints({2}, {0, 0}), {});
  if (!smooth) return;
  check("smoothing", {3, 9}, g.ints({3}, {8, -100, 4}), {-100, {}, 0.1});
  check("smoothing, weights", {3, 4}, g.ints({3}, {3, 1, 1}), {1, weights, 0.25});
  check("Z-loss", {3, 9}, g.ints({3}, {8, -100, 4}), {-100, {}, 0, 0.5});
  check("Z-loss, smoothing, weights", {3, 4}, g.ints({3}, {3, 1, 0}), {1, weights, 0.25, 0.3});
}

const Op kCrossEntropy("cross_entropy",
                       [](GradSuite& g) { check_options(g, sum_fused, sum_composed, true); });
const Op kCrossEntropyMean("cross_entropy_mean",
                           [](GradSuite& g) { check_options(g, cross_entropy_mean, nullptr, true); });
const Op kCrossEntropyEach("cross_entropy_each",
                           [](GradSuite& g) { check_options(g, cross_entropy_each, each_composed, true); });
const Op kNllLossEach("nll_loss_each", [](GradSuite& g) { check_options(g, nll_loss_each, nullptr, false); });

enum class Reduce { sum, mean, each };

Var cross_entropy_of(const Op& op, const Targets& plan, const Var& logits, Reduce reduce) {
  const Dtype dtype = logits.dtype();
  const Shape shape = reduce == Reduce::each ? plan.targets.shape() : Shape{};
  if (logits.is_symbolic() || plan.targets.is_symbolic()) return Tensor::symbolic(shape, dtype);
  // The mean of nothing is 0.
  const double scale = reduce != Reduce::mean ? 1.0 : plan.weight != 0.0 ? 1.0 / plan.weight : 0.0;
  LossRows* const rows = LossRows::current();
  return dispatch(op.name, dtype, [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::empty(shape, dtype), stats = Tensor::empty({plan.rows, 2}, dtype);
    double total = 0.0;
    for (Index r = 0; r < plan.rows; r++) {
      const Index target = plan.target(r);
      const T* x = logits.value().data<T>() + r * plan.V;
      simd::LogSumExp<T> row{};
      if (target >= 0) row = simd::log_sum_exp(plan.V, x);
      const double loss = target < 0 ? 0.0 : forward_row(plan, x, target, row);
      stats.data<T>()[2 * r] = row.top, stats.data<T>()[2 * r + 1] = row.sum;
      total += loss;
      if (rows && reduce == Reduce::sum) rows->values.push_back(loss);
      if (reduce == Reduce::each) y.data<T>()[r] = T(loss);
    }
    if (reduce != Reduce::each) y.data<T>()[0] = T(scale * total);
    return record(op, {logits}, y, [=, x = logits.value()](const Tensor& dy, Sink& dx) mutable {
      const bool in_place = x.unique();  // nothing else reads the logits any more
      const Sink::Buffer d = in_place ? Sink::Buffer{x, 0.0} : dx.buffer(0);
      Tensor gradient = d.gradient;
      const T* upstream = dy.data<T>();
      for (Index r = 0; r < plan.rows; r++) {
        const Index target = plan.target(r);
        T* row = gradient.data<T>() + r * plan.V;
        if (target < 0) {
          if (d.beta == 0.0) std::fill_n(row, plan.V, T(0));
          continue;
        }
        const simd::LogSumExp<T> of{stats.data<T>()[2 * r], stats.data<T>()[2 * r + 1]};
        backward_row(plan, x.data<T>() + r * plan.V, target, of,
                     scale * double(upstream[reduce == Reduce::each ? r : 0]), d.beta, row);
      }
      if (in_place) dx.add(0, std::move(x));
    });
  });
}

}  // namespace

CrossEntropy cross_entropy(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  const Targets plan("cross_entropy", logits, targets, options);
  return {cross_entropy_of(kCrossEntropy, plan, logits, Reduce::sum), plan.weight};
}

Var cross_entropy_mean(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  return cross_entropy_of(kCrossEntropyMean, Targets("cross_entropy", logits, targets, options), logits,
                          Reduce::mean);
}

Var cross_entropy_each(const Var& logits, const Tensor& targets, const CrossEntropyOptions& options) {
  return cross_entropy_of(kCrossEntropyEach, Targets("cross_entropy", logits, targets, options), logits,
                          Reduce::each);
}

Var nll_loss_each(const Var& log_probs, const Tensor& targets, const CrossEntropyOptions& options) {
  QKV_CHECK(options.label_smoothing == 0 && options.z_loss == 0,
            "nll_loss: label_smoothing and z_loss must be 0; got {} and {}", options.label_smoothing,
            options.z_loss);
  const Targets plan("nll_loss", log_probs, targets, options);
  if (log_probs.is_symbolic() || targets.is_symbolic())
    return Tensor::symbolic(targets.shape(), log_probs.dtype());
  return dispatch("nll_loss", log_probs.dtype(), [&](auto t) {
    using T = decltype(t);
    Tensor y = Tensor::empty(targets.shape(), log_probs.dtype());
    for (Index r = 0; r < plan.rows; r++) {
      const Index c = plan.target(r);
      y.data<T>()[r] = c < 0 ? T(0) : -plan.weight_of<T>(c) * log_probs.value().data<T>()[r * plan.V + c];
    }
    return record(kNllLossEach, {log_probs}, y, [=](const Tensor& dy, Sink& dx) {
      T* d = dx.zeroed(0).data<T>();
      for (Index r = 0; r < plan.rows; r++) {
        const Index c = plan.target(r);
        if (c >= 0) d[r * plan.V + c] -= plan.weight_of<T>(c) * dy.data<T>()[r];
      }
    });
  });
}

}  // namespace qkv
