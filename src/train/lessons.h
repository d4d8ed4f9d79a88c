// Lessons: which training examples made an answer. The last steps of a run are made again and gone back
// through, and any of them can be made without some examples.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "qkv/train/training.h"

namespace qkv {

/// A number that a model gives, to be differentiated: one element.
using Question = std::function<Var(const Model&)>;

/// How the effect of an example is estimated.
enum class Estimator {
  /// The change that its gradient made, along the gradient of the question at that step: TracIn (Pruthi et
  /// al. 2020), at every step, in the metric of the optimizer.
  tracin,
  /// The same, but with what later steps made of the change: the chain rule through all of them. What Adam
  /// divides by counts as fixed.
  unrolled,
};

/// Makes the next step of a training that is made again. Throws where its numbers are not finite, unless the
/// config skips such steps, and where a signal has come.
void step_again(Training& t);

/// The lessons of the steps from + 1 .. to of a run.
class Lessons {
 public:
  /// Makes the steps 1 .. `to` again, from the newest checkpoint of `run` that is old enough, and keeps what
  /// it takes to go back to `from`. Usage errors where the run learns by more than gradients of its examples.
  Lessons(Training& t, const std::string& run, std::int64_t from, std::int64_t to);

  /// By question and training example: by how much the answer would be larger after step `to` if the example
  /// had had no weight since step `from`, to first order. The weights are afterwards those of `to`.
  std::vector<std::vector<double>> effects(const std::vector<Question>& questions, Estimator estimator);

  /// Goes back to `from` and on to `to`, with no weight for these examples. The weights are afterwards those
  /// of that future.
  void learn_without(const std::vector<std::int64_t>& examples);

  std::int64_t from() const { return from_; }
  std::int64_t to() const { return to_; }

 private:
  using Weights = std::vector<Tensor>;  // by slot
  // All that changes from step to step.
  struct Moment {
    Weights weights;
    std::vector<Tensor> optimizer;
    TrainState state;
  };
  // A step of the training: what it began with, and what it did.
  struct Step {
    Weights before, reach, clipped;  // clipped: the gradient that was scaled down, or nothing
    std::vector<Optimizer::Linear> parts;
    double scale;
  };
  // How a question depends on weights and momentum after a step, and on the gradient in it.
  struct Adjoint {
    Weights weights, momentum, gradient;
  };

  Weights weights() const;
  Weights zeros() const;
  Weights taken(const Gradients& gradients) const;
  void move_to(const Weights& base, double way, const Weights& direction);
  Moment moment() const;
  void go_to(const Moment& moment);
  Step step();
  Weights gradient_of(const Question& question) const;
  std::vector<double> losses(std::int64_t step, Weights& gradient);
  void to_gradient(const Step& step, Adjoint& a, bool unrolled) const;
  void back(std::int64_t number, const Step& step, Adjoint& a, bool unrolled, std::vector<double>& effect);

  Training& t_;
  ParameterStore& store_;
  std::int64_t from_, to_, segment_;
  std::vector<Moment> moments_;  // of each segment_th step from `from` on
  Moment end_;
};

}  // namespace qkv
