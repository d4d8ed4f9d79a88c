#include "train/lessons.h"

#include <algorithm>
#include <cmath>

#include "base/at.h"
#include "base/machine.h"
#include "log/number_text.h"
#include "ops/loss_rows.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "train/checkpoint.h"
#include "train/train_step.h"

namespace qkv {
namespace {

// to = x + factor y, slot by slot; `to` may be x.
void add(const Tensor& x, double factor, const Tensor& y, Tensor& to) {
  dispatch("add", x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T *a = x.data<T>(), *b = y.data<T>();
    T* sum = to.data<T>();
    for (Index k = 0; k < x.size(); k++) sum[k] = a[k] + static_cast<T>(factor) * b[k];
  });
}

double dot(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  double sum = 0;
  for (std::size_t s = 0; s < a.size(); s++)
    dispatch("dot", a[s].dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *x = a[s].data<T>(), *y = b[s].data<T>();
      for (Index i = 0; i < a[s].size(); i++) sum += double(x[i]) * double(y[i]);
    });
  return sum;
}

void refuse(const Training& t) {
  const auto check = [](bool good, const char* key, const char* rule) {
    if (!good)
      fail(Fault::usage, "blame: {} must be {}; got a run with it (its steps are more than gradients)", key,
           rule);
  };
  check(!t.extras.adapters, "[train.lora]", "left out");
  check(!t.extras.average, "train.ema_decay", "0");
  check(!t.extras.cut, "train.ablate", "empty");
  check(!t.extras.attention_loss, "[train.attention_loss]", "left out");
  check(!learns_in_place(*t.optimizer), "optimizer.type", "one of gradients");
}

void end_at_signal() {
  if (signal_received()) fail(Fault::runtime, "blame: stopped by signal {}", signal_received());
}

}  // namespace

void step_again(Training& t) {
  if (!t.step().finite && !t.skips())
    fail(Fault::diverged, "blame: the steps must be finite; got a NaN or an infinity at step {}",
         t.state.step + 1);
  end_at_signal();
}

Lessons::Lessons(Training& t, const std::string& run, std::int64_t from, std::int64_t to)
    : t_(t),
      store_(*t.experiment.parameters),
      from_(from),
      to_(to),
      segment_(std::max<std::int64_t>(1, std::llround(std::sqrt(double(to - from))))) {
  refuse(t);
  if (from < 0 || from >= to || to > t.max_steps())
    fail(Fault::usage, "blame: the lessons must end after they begin, within {} steps; got steps {} .. {}",
         t.max_steps(), from + 1, to);
  const double kept = double(store_.bytes()) * double(3 * ((to - from) / segment_ + 2) + 3 * segment_);
  if (kept > double(available_memory()))
    fail(Fault::memory, "blame: {} steps must fit into memory, with {}; got {} (--from {} needs less)",
         to - from, byte_text(kept), byte_text(double(available_memory())), to - (to - from) / 2);
  restore(t, whole_checkpoint(run, from).second);
  while (t.state.step < to) {
    if (t.state.step >= from && (t.state.step - from) % segment_ == 0) moments_.push_back(moment());
    step_again(t);
  }
  end_ = moment();
}

Lessons::Weights Lessons::weights() const {
  Weights all;
  for (int s = 0; s < store_.size(); s++) all.push_back(store_.slot(s).value.clone());
  return all;
}

Lessons::Weights Lessons::zeros() const {
  Weights all;
  for (int s = 0; s < store_.size(); s++)
    all.push_back(Tensor::zeros(store_.slot(s).value.shape(), store_.dtype()));
  return all;
}

Lessons::Weights Lessons::taken(const Gradients& gradients) const {
  Weights all = zeros();
  for (int s = 0; s < store_.size(); s++)
    if (gradients.has_slot(s)) at(all, s).copy_from(gradients.of_slot(s));
  return all;
}

void Lessons::move_to(const Weights& base, double way, const Weights& direction) {
  for (int s = 0; s < store_.size(); s++) add(at(base, s), way, at(direction, s), store_.slot(s).value);
}

Lessons::Moment Lessons::moment() const {
  Moment result{weights(), {}, t_.state};
  for (const NamedTensor& one : t_.optimizer->state(store_)) result.optimizer.push_back(one.tensor.clone());
  return result;
}

void Lessons::go_to(const Moment& moment) {
  move_to(moment.weights, 0, moment.weights);
  std::vector<NamedTensor> state = t_.optimizer->state(store_);
  for (std::size_t i = 0; i < state.size(); i++) state[i].tensor.copy_from(moment.optimizer[i]);
  t_.state = moment.state;
}

Lessons::Step Lessons::step() {
  Step result;
  result.before = weights();
  const StepReport& report = t_.step();
  const double limit = t_.tables.train.grad_clip_norm;
  const bool clipped = limit > 0 && report.grad_norm > limit;
  result.scale = !report.finite ? 0 : report.gradient_scale() * (clipped ? limit / report.grad_norm : 1);
  result.parts = t_.optimizer->linearize(store_, {report.step, report.lr, result.scale}, result.reach);
  if (clipped && report.finite) result.clipped = taken(*report.gradients);
  return result;
}

Lessons::Weights Lessons::gradient_of(const Question& question) const {
  Tape tape;
  return taken(tape.backward(question(*t_.experiment.model)));
}

// The loss of each example of a step at the present weights, with its noise; and the gradient of their sum.
std::vector<double> Lessons::losses(std::int64_t step, Weights& gradient) {
  const std::int64_t accumulated = t_.tables.train.grad_accum_steps;
  const auto shards = static_cast<std::size_t>(t_.shards());
  for (Tensor& one : gradient) one.fill(0);
  std::vector<double> result;
  for (std::int64_t batch = (step - 1) * accumulated; batch < step * accumulated; batch++) {
    const std::vector<int> examples = t_.batches->examples(batch);
    std::vector<Gradients> gradients(shards);
    std::vector<std::vector<double>> losses(shards);
    pool().run(static_cast<int>(shards), [&](int s, int) {
      Batch own;
      const TrainBatches::Part part = t_.batches->collate(examples, batch, s, own);
      if (part.size == 0) return;
      LossRows rows;
      Tape tape(t_.batches->dropout(batch, s));
      const Loss loss = t_.experiment.task->loss(*t_.experiment.model, own);
      at(losses, s) = TrainBatches::by_example(own, part.size, rows.values);
      tape.backward(loss.sum, at(gradients, s));
    });
    for (std::size_t s = 0; s < shards; s++) {
      result.insert(result.end(), losses[s].begin(), losses[s].end());
      for (int slot = 0; slot < store_.size(); slot++)
        if (gradients[s].has_slot(slot)) at(gradient, slot).add(gradients[s].of_slot(slot));
    }
  }
  return result;
}

// From how the question depends on the weights after a step to how it depends on the gradient in it.
void Lessons::to_gradient(const Step& step, Adjoint& a, bool unrolled) const {
  pool().run(static_cast<int>(step.parts.size()), [&](int p, int) {
    const Optimizer::Linear& part = at(step.parts, p);
    const Chunk& chunk = part.chunk;
    const auto s = static_cast<std::size_t>(chunk.slot);
    dispatch("lessons", store_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const T *reach = step.reach[s].template data<T>() + chunk.begin,
              *weights = a.weights[s].template data<T>() + chunk.begin;
      T *momentum = a.momentum[s].template data<T>() + chunk.begin,
        *gradient = a.gradient[s].template data<T>() + chunk.begin;
      for (Index i = 0; i < chunk.size; i++) {
        if (unrolled) {
          momentum[i] -= reach[i] * weights[i];
          gradient[i] = T(part.share) * momentum[i];
          momentum[i] *= T(part.keep);
        } else {  // the momentum passes the whole on, by and by
          gradient[i] = -T(part.share / (1 - part.keep)) * reach[i] * weights[i];
        }
      }
    });
  });
  if (step.clipped.empty()) return;  // what is scaled to a length cannot grow along itself
  const double share = dot(step.clipped, a.gradient) / dot(step.clipped, step.clipped);
  for (std::size_t s = 0; s < a.gradient.size(); s++)
    add(a.gradient[s], -share, step.clipped[s], a.gradient[s]);
}

// Back over a step: adds to the effects of its examples, and leaves how the question depends on the weights
// before it.
void Lessons::back(std::int64_t number, const Step& step, Adjoint& a, bool unrolled,
                   std::vector<double>& effect) {
  to_gradient(step, a, unrolled);
  const double length = std::sqrt(dot(a.gradient, a.gradient));
  if (step.scale == 0 || !(length > 0)) return;
  // Derivatives along the adjoint: differences over a short way to both sides.
  const double share = store_.dtype() == Dtype::f64 ? 1e-6 : 5e-4;
  const double way = share * std::sqrt(dot(step.before, step.before)) / length;
  const double factor = step.scale / (2 * way);
  Weights forth = zeros(), back = zeros();
  move_to(step.before, way, a.gradient);
  const std::vector<double> above = losses(number, forth);
  move_to(step.before, -way, a.gradient);
  const std::vector<double> below = losses(number, back);
  const std::int64_t accumulated = t_.tables.train.grad_accum_steps;
  std::size_t i = 0;
  for (std::int64_t batch = (number - 1) * accumulated; batch < number * accumulated; batch++)
    for (const int example : t_.batches->examples(batch)) {
      at(effect, example) -= factor * (above.at(i) - below.at(i));
      i++;
    }
  if (!unrolled) return;
  for (const Optimizer::Linear& part : step.parts) {
    const auto s = static_cast<std::size_t>(part.chunk.slot);
    dispatch("lessons", store_.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const auto of = [&](const Weights& all) {
        return all[s].data<T>() + part.chunk.begin;
      };
      T* weights = a.weights[s].data<T>() + part.chunk.begin;
      const T *gradient = of(a.gradient), *g = of(forth), *h = of(back);
      for (Index k = 0; k < part.chunk.size; k++)
        weights[k] = T((1 - part.decay) * double(weights[k]) + part.l2 * double(gradient[k]) +
                       factor * (double(g[k]) - double(h[k])));
    });
  }
}

std::vector<std::vector<double>> Lessons::effects(const std::vector<Question>& questions,
                                                  Estimator estimator) {
  const bool unrolled = estimator == Estimator::unrolled;
  const auto examples = static_cast<std::size_t>(t_.experiment.task->examples(Split::train));
  std::vector<std::vector<double>> result(questions.size(), std::vector<double>(examples, 0.0));
  go_to(end_);
  std::vector<Adjoint> adjoints;
  for (const Question& question : questions) adjoints.push_back({gradient_of(question), zeros(), zeros()});
  for (auto segment = moments_.size(); segment-- > 0;) {
    go_to(moments_[segment]);
    const std::int64_t first = t_.state.step, last = std::min(to_, first + segment_);
    std::vector<Step> steps;
    while (t_.state.step < last) steps.push_back(step());
    for (std::int64_t number = last; number > first; number--) {
      for (std::size_t q = 0; q < questions.size(); q++) {
        const Step& one = steps.back();
        if (!unrolled) move_to(one.before, 0, one.before), adjoints[q].weights = gradient_of(questions[q]);
        back(number, one, adjoints[q], unrolled, result[q]);
      }
      steps.pop_back();
      end_at_signal();
    }
  }
  go_to(end_);
  return result;
}

void Lessons::learn_without(const std::vector<std::int64_t>& examples) {
  std::vector<std::int64_t> all = t_.tables.fork.without;
  all.insert(all.end(), examples.begin(), examples.end());
  go_to(moments_.front());
  t_.batches->leave_out(all);
  while (t_.state.step < to_) step_again(t_);
  t_.batches->leave_out(t_.tables.fork.without);
}

}  // namespace qkv
