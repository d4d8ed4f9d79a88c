#include "train/train_step.h"

#include <algorithm>
#include <cmath>

#include "model/row_learner.h"
#include "qkv/base/threads.h"
#include "train/batches.h"
#include "train/reduce.h"
#include "train/sparse_sgd.h"
#include "train/stopwatch.h"

namespace qkv {
namespace {

// What one shard of a step has computed. Reused, so that a step does not allocate.
struct Shard {
  Batch batch;
  double loss = 0, count = 0;
  std::int64_t tokens = 0;
  double data_s = 0, forward_s = 0, backward_s = 0;
};

// The shards of a step, each computed by one worker at a time.
class Shards {
 public:
  Shards(const Task& task, TrainBatches& batches)
      : task_(task), batches_(batches), shards_(static_cast<std::size_t>(batches.shards())) {}

  void begin() {
    for (Shard& shard : shards_) shard.loss = shard.count = 0, shard.tokens = 0;
  }

  // Collates each shard of a batch and has `learn` add to its loss, count and seconds.
  void run(std::int64_t batch, StepSeconds& seconds, FunctionRef<void(int, Shard&)> learn) {
    const double start = seconds_now();
    for (Shard& shard : shards_) shard.data_s = shard.forward_s = shard.backward_s = 0;
    const std::vector<int>& examples = batches_.examples(batch);
    pool().run(static_cast<int>(shards_.size()), [&](int s, int) {
      Shard& shard = shards_[static_cast<std::size_t>(s)];
      {
        const Stopwatch timer(shard.data_s);
        if (batches_.collate(examples, batch, s, shard.batch).size == 0) return;
      }
      shard.tokens += task_.tokens(shard.batch);
      learn(s, shard);
    });
    // The wall clock in the proportion of what the workers were at.
    double data = 0, forward = 0, backward = 0;
    for (const Shard& shard : shards_)
      data += shard.data_s, forward += shard.forward_s, backward += shard.backward_s;
    const double wall = (seconds_now() - start) / std::max(1e-12, data + forward + backward);
    seconds.data += data * wall, seconds.forward += forward * wall, seconds.backward += backward * wall;
  }

  // Adds up loss, examples or tokens, in the order of the shards.
  void add_up(StepReport& report) const {
    report.loss_sum = report.count = 0, report.tokens = 0;
    for (const Shard& shard : shards_)
      report.loss_sum += shard.loss, report.count += shard.count, report.tokens += shard.tokens;
    report.loss = report.count > 0 ? report.loss_sum / report.count : 0.0;
    report.gradient_scale = report.count > 0 ? 1.0 / report.count : 0.0;
  }

 private:
  const Task& task_;
  TrainBatches& batches_;
  std::vector<Shard> shards_;
};

void judge(StepReport& report, double squares) {
  report.grad_norm = std::sqrt(squares) * report.gradient_scale;
  report.finite = std::isfinite(report.grad_norm) && std::isfinite(report.loss);
}

// A step along the gradient of one or more batches.
class GradientStep : public TrainStep {
 public:
  GradientStep(Experiment& e, const TrainConfig& config, TrainBatches& batches, Optimizer& optimizer)
      : experiment_(e),
        batches_(batches),
        optimizer_(optimizer),
        accumulated_(config.grad_accum_steps),
        clip_norm_(config.grad_clip_norm),
        shards_(*e.task, batches),
        gradients_(static_cast<std::size_t>(batches.shards())),
        reduction_(*e.parameters) {}

  const StepReport& make(std::int64_t number, double lr) override {
    report_.step = number, report_.lr = lr, report_.seconds = {};
    shards_.begin();
    for (Gradients& gradients : gradients_) gradients.clear();
    for (std::int64_t k = 0; k < accumulated_; k++) {
      const std::int64_t batch = (number - 1) * accumulated_ + k;
      shards_.run(batch, report_.seconds, [&](int s, Shard& shard) { forward_backward(batch, s, shard); });
    }
    shards_.add_up(report_);
    {
      const Stopwatch timer(report_.seconds.reduce);
      judge(report_, reduction_.reduce(gradients_, report_.squares));
    }
    report_.gradients = &gradients_[0];
    if (number == 1) check_all_have_gradients(gradients_[0], *experiment_.parameters);
    if (!report_.finite) return report_;
    const Stopwatch timer(report_.seconds.update);
    const bool clip = clip_norm_ > 0 && report_.grad_norm > clip_norm_;
    const double factor = clip ? clip_norm_ / report_.grad_norm : 1.0;
    optimizer_.update(*experiment_.parameters, gradients_[0], reduction_.chunks(),
                      {number, lr, report_.gradient_scale * factor});
    return report_;
  }

  double bytes(double activations, double threads) const override {
    const double parameters = static_cast<double>(experiment_.parameters->count()) *
                              static_cast<double>(size_of(experiment_.parameters->dtype()));
    const auto shards = static_cast<double>(gradients_.size());
    return parameters * shards + activations * std::min(shards, threads) / shards;
  }

 private:
  void forward_backward(std::int64_t batch, int s, Shard& shard) {
    const double start = seconds_now();
    Tape tape(batches_.dropout(batch, s));
    const Loss loss = experiment_.task->loss(*experiment_.model, shard.batch);
    shard.loss += loss.sum.value().item();
    shard.count += loss.count;
    const double forwarded = seconds_now();
    tape.backward(loss.sum, gradients_[static_cast<std::size_t>(s)]);
    shard.forward_s += forwarded - start;
    shard.backward_s += seconds_now() - forwarded;
  }

  Experiment& experiment_;
  TrainBatches& batches_;
  Optimizer& optimizer_;
  std::int64_t accumulated_;
  double clip_norm_;
  Shards shards_;
  std::vector<Gradients> gradients_;  // of each shard; after reduction their sum is in the first
  Reduction reduction_;
  StepReport report_;
};

// A step per example on the rows it uses (see RowLearner): there is no gradient to add up or to clip.
class InPlaceStep : public TrainStep {
 public:
  InPlaceStep(const Task& task, RowLearner& model, RowSharing sharing, TrainBatches& batches)
      : model_(model), shards_(task, batches) {
    model_.share(batches.shards(), sharing);
  }

  const StepReport& make(std::int64_t number, double lr) override {
    report_.step = number, report_.lr = lr, report_.seconds = {};
    shards_.begin();
    shards_.run(number - 1, report_.seconds, [&](int s, Shard& shard) {
      const Stopwatch timer(shard.forward_s);
      const RowLearner::Learned learned = model_.learn(shard.batch, s, lr);
      shard.loss += learned.loss;
      shard.count += learned.count;
    });
    shards_.add_up(report_);
    const Stopwatch timer(report_.seconds.reduce);
    const bool keep = std::isfinite(report_.loss);
    const double squares = model_.join(keep) / (lr > 0 ? lr * lr : 1);  // of the change per unit of the rate
    judge(report_, keep ? squares : report_.loss);
    return report_;
  }

  double bytes(double, double) const override { return 0; }

 private:
  RowLearner& model_;
  Shards shards_;
  StepReport report_;
};

}  // namespace

void check_in_place(const Experiment& e, const TrainConfig& config, const Optimizer& optimizer) {
  if (!dynamic_cast<const SparseSgd*>(&optimizer)) return;
  if (!dynamic_cast<RowLearner*>(e.model.get()))
    e.config.section("optimizer")
        .report("type", "must not be \"sparse-sgd\" with a model whose rows do not learn in place");
  const Section train = e.config.section("train");
  if (config.grad_clip_norm > 0)
    train.report("grad_clip_norm", "must be 0 with optimizer \"sparse-sgd\", which has a step per example");
  if (config.grad_accum_steps > 1)
    train.report("grad_accum_steps", "must be 1 with optimizer \"sparse-sgd\", which has a step per example");
  if (!config.freeze.empty())
    train.report("freeze", "must be empty with optimizer \"sparse-sgd\", whose model has all rows learn");
}

std::unique_ptr<TrainStep> make_step(Experiment& e, const TrainConfig& config, TrainBatches& batches,
                                     Optimizer& optimizer) {
  if (const auto* rows = dynamic_cast<const SparseSgd*>(&optimizer))
    return std::make_unique<InPlaceStep>(*e.task, dynamic_cast<RowLearner&>(*e.model), rows->sharing(),
                                         batches);
  return std::make_unique<GradientStep>(e, config, batches, optimizer);
}

}  // namespace qkv
