#include "train/train_step.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/clock.h"
#include "model/skip_gram.h"
#include "nn/adapters.h"
#include "ops/optimizer_kernels.h"
#include "qkv/base/threads.h"
#include "train/attention_loss.h"
#include "train/cut_heads.h"
#include "train/reduction.h"

namespace qkv {

TrainStep::TrainStep(const Task& task, TrainBatches& batches, std::int64_t accumulated)
    : batches_(batches),
      accumulated_(accumulated),
      task_(task),
      shards_(static_cast<std::size_t>(batches.shards())) {
  const std::vector<std::size_t> begins = communicator().parts(shards_.size());
  const auto rank = static_cast<std::size_t>(communicator().rank());
  first_ = static_cast<int>(begins[rank]), end_ = static_cast<int>(begins[rank + 1]);
}

const StepReport& TrainStep::make(std::int64_t number, double lr) {
  StepReport& r = report_;
  r.step = number, r.lr = lr, r.seconds = {};
  for (Shard& shard : shards_) shard.found = {};
  begin();
  for (std::int64_t k = 0; k < accumulated_; k++) run_shards((number - 1) * accumulated_ + k);
  {
    const Timer timer(r.seconds.reduce);
    send();
    if (!communicator().alone()) share_findings();
  }
  r.loss_sum = r.count = r.attention_loss = 0, r.tokens = 0;
  for (const Shard& shard : shards_)
    r.loss_sum += shard.found.loss, r.count += shard.found.count, r.tokens += shard.found.tokens,
        r.attention_loss += shard.found.divergence;
  r.loss = r.count > 0 ? r.loss_sum / r.count : 0.0;
  r.attention_loss = r.count > 0 ? r.attention_loss / r.count : 0.0;
  {
    const Timer timer(r.seconds.reduce);
    r.grad_norm = std::sqrt(add_up(r)) * r.gradient_scale();
  }
  r.finite = std::isfinite(r.grad_norm) && std::isfinite(r.loss);
  const Timer timer(r.seconds.update);
  if (r.finite) update(r);
  return r;
}

// Each rank has computed some of the shards, and learns what the others have found.
void TrainStep::share_findings() {
  std::vector<Shard::Found> found;
  for (Shard& shard : shards_) shard.found.signal = signal_received(), found.push_back(shard.found);
  communicator().gather(found.data(), communicator().parts(found.size(), sizeof found[0]));
  for (std::size_t s = 0; s < shards_.size(); s++) shards_[s].found = found[s];
}

int TrainStep::signal() const {
  if (communicator().alone()) return signal_received();
  int found = 0;
  for (const Shard& shard : shards_) found = std::max(found, shard.found.signal);
  return found;
}

void TrainStep::run_shards(std::int64_t batch) {
  const double start = steady_seconds();
  for (Shard& shard : shards_) shard.data_s = shard.forward_s = shard.backward_s = 0;
  const std::vector<int>& examples = batches_.examples(batch);
  pool().run(end_ - first_, [&](int i, int) {
    const int s = first_ + i;
    Shard& shard = shards_[static_cast<std::size_t>(s)];
    {
      const Timer timer(shard.data_s);
      if (batches_.collate(examples, batch, s, shard.batch).size == 0) return;
    }
    shard.found.tokens += task_.tokens(shard.batch);
    learn(batch, s, shard, report_.lr);
  });
  // The wall clock in the proportion of what the workers were at.
  double data = 0, forward = 0, backward = 0;
  for (const Shard& shard : shards_)
    data += shard.data_s, forward += shard.forward_s, backward += shard.backward_s;
  const double wall = (steady_seconds() - start) / std::max(1e-12, data + forward + backward);
  TrainSeconds& seconds = report_.seconds;
  seconds.data += data * wall, seconds.forward += forward * wall, seconds.backward += backward * wall;
}

double squares_of(const Tensor& values) {
  double squares = 0;
  dispatch("squares", values.dtype(),
           [&](auto t) { squares = sum_of_squares(values.data<decltype(t)>(), values.size()); });
  return squares;
}

namespace {

// Names each trainable parameter that got no gradient (in shard 0, after `reduce`).
void check_all_have_gradients(const Gradients& gradients, const ParameterStore& store) {
  std::string names;
  store.each_part([&](int s, const ParameterStore::Part& part) {
    if (!gradients.has_slot(s) && !part.frozen) names += (names.empty() ? "'" : ", '") + part.name + "'";
  });
  if (!names.empty())
    fail(Fault::usage,
         "train: every parameter must get a gradient at step 1; got none for {} "
         "(the model does not use it; freeze it with train.freeze)",
         names);
}

// A step along the gradient of one or more batches.
class GradientStep : public TrainStep {
 public:
  explicit GradientStep(const Training& t)
      : TrainStep(*t.experiment.task, *t.batches, t.tables.train.grad_accum_steps),
        experiment_(t.experiment),
        optimizer_(*t.optimizer),
        adapters_(t.extras.adapters.get()),
        cut_(t.extras.cut.get()),
        attention_loss_(t.extras.attention_loss.get()),
        clip_norm_(t.tables.train.grad_clip_norm),
        gradients_(static_cast<std::size_t>(t.batches->shards())),
        reduction_(*t.experiment.parameters, t.batches->shards()) {}

  double bytes(double activations, double threads) const override {
    const auto shards = static_cast<double>(gradients_.size()), own = static_cast<double>(own_shards());
    const double gradients = own + (own < shards);  // shard 0 holds the sum
    return static_cast<double>(experiment_.parameters->bytes()) * gradients +
           static_cast<double>(reduction_.bytes()) + activations * std::min(own, threads) / shards;
  }

 private:
  void begin() override {
    for (Gradients& gradients : gradients_) gradients.clear();
  }

  void learn(std::int64_t batch, int s, Shard& shard, double) override {
    const double start = steady_seconds();
    Tape tape(batches_.dropout(batch, s));
    const Loss loss = experiment_.task->loss(*experiment_.model, shard.batch);
    shard.found.loss += loss.sum.value().item();
    shard.found.count += loss.count;
    const Var sum = attention_loss_
                        ? attention_loss_->add_to(loss, s, batches_.shards(), shard.found.divergence)
                        : loss.sum;
    const double forwarded = steady_seconds();
    // The last shard of a step sends gradients while it computes others, unless they are to be changed.
    std::optional<Reduction::Sender> sender;
    if (own_shards() == 1 && !communicator().alone() && !adapters_ && !cut_ &&
        (batch + 1) % accumulated_ == 0)
      sender.emplace(tape, reduction_, gradients_);
    tape.backward(sum, gradients_[static_cast<std::size_t>(s)]);
    shard.forward_s += forwarded - start;
    shard.backward_s += steady_seconds() - forwarded;
  }

  void send() override {
    if (adapters_ || cut_)
      pool().run(static_cast<int>(gradients_.size()), [&](int s, int) {
        if (adapters_) adapters_->project(gradients_[static_cast<std::size_t>(s)]);
        if (cut_) cut_->cut(gradients_[static_cast<std::size_t>(s)]);
      });
    reduction_.send(gradients_);
  }

  double add_up(StepReport& report) override {
    const double squares = reduction_.reduce(gradients_, report.squares);
    report.gradients = &gradients_[0];
    if (report.step == 1) check_all_have_gradients(gradients_[0], *experiment_.parameters);
    return squares;
  }

  void update(const StepReport& report) override {
    const bool clip = clip_norm_ > 0 && report.grad_norm > clip_norm_;
    const double factor = clip ? clip_norm_ / report.grad_norm : 1.0;
    optimizer_.update(*experiment_.parameters, gradients_[0],
                      {report.step, report.lr, report.gradient_scale() * factor});
    if (adapters_) adapters_->compose();
    if (cut_) cut_->cut();
  }

  Experiment& experiment_;
  Optimizer& optimizer_;
  Adapters* adapters_;
  CutHeads* cut_;
  const AttentionLoss* attention_loss_;
  double clip_norm_;
  std::vector<Gradients> gradients_;  // of each shard; after reduction their sum is in the first
  Reduction reduction_;
};

// The optimizer of models whose rows learn in place. The steps of a run are the model's (see RowLearner and
// InPlaceStep); in a loop of your own this is plain gradient descent.
struct SparseSgd : Optimizer {
  SparseSgd(const Section& config, const ParameterStore& store) : Optimizer(config, store, {}) {
    const bool hogwild = config.get("hogwild", false,
                                    "all threads write at once, without locks: faster, but not reproducible");
    sharing = hogwild ? RowSharing::hogwild : RowSharing::separate;
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step, bool) override {
    SgdStep s;
    s.learning_rate = step.lr, s.scale = step.gradient_scale;
    dispatch("sparse-sgd", value.dtype(), [&](auto t) {
      using T = decltype(t);
      sgd_update<T>(value.data<T>() + chunk.begin, nullptr, gradient.data<T>() + chunk.begin, chunk.size, s);
    });
  }
  RowSharing sharing;
};

QKV_REGISTER(Optimizer, "sparse-sgd", SparseSgd,
             "one step per prediction, on the rows it uses; for skip-gram and cbow");

// A step per example on the rows it uses (see RowLearner): there is no gradient to add up or to clip.
class InPlaceStep : public TrainStep {
 public:
  InPlaceStep(const Task& task, RowLearner& model, RowSharing sharing, TrainBatches& batches)
      : TrainStep(task, batches, 1), model_(model) {
    model_.share(batches.shards(), sharing);
  }
  double bytes(double, double) const override { return 0; }

 private:
  void learn(std::int64_t, int s, Shard& shard, double lr) override {
    const Timer timer(shard.forward_s);
    const RowLearner::Learned learned = model_.learn(shard.batch, s, lr);
    shard.found.loss += learned.loss;
    shard.found.count += learned.count;
  }

  // Of the change of all rows, per unit of the rate.
  double add_up(StepReport& report) override {
    const bool keep = std::isfinite(report.loss);
    const double squares = model_.join(keep);
    return keep ? squares / (report.lr > 0 ? report.lr * report.lr : 1) : report.loss;
  }

  RowLearner& model_;
};

}  // namespace

bool learns_in_place(const Optimizer& optimizer) {
  return dynamic_cast<const SparseSgd*>(&optimizer);
}

void check_ranks(const Experiment& e, const TrainBatches& batches, const Optimizer& optimizer) {
  const int ranks = communicator().size();
  if (ranks > batches.shards())
    e.config.section("run").report(
        "shards", fmt::format("must be at least the number of processes; got {}{} and {} processes",
                              batches.shards(), e.run.shards > 0 ? "" : " (chosen from the batch)", ranks));
  if (ranks > 1 && learns_in_place(optimizer))
    e.config.section("optimizer")
        .report("type",
                fmt::format("must not be \"sparse-sgd\" in several processes; got {} processes", ranks));
}

void check_in_place(const Experiment& e, const TrainConfig& config, const Optimizer& optimizer) {
  for (const Section& group : e.config.section("optimizer").sections("groups"))
    if (group.given<std::string>("type").value_or("") == "sparse-sgd")
      group.report("type", "must not be \"sparse-sgd\", which makes one step per prediction");
  if (!learns_in_place(optimizer)) return;
  if (!dynamic_cast<RowLearner*>(e.model.get()))
    e.config.section("optimizer")
        .report("type", "must not be \"sparse-sgd\" with a model whose rows do not learn in place");
  const Section train = e.config.section("train");
  const auto refuse = [](bool bad, const Section& table, const char* key, const char* rule, const char* why) {
    if (bad) table.report(key, fmt::format("must be {} with optimizer \"sparse-sgd\"{}", rule, why));
  };
  constexpr const char* kEach = ", which makes one step per prediction";
  refuse(config.grad_clip_norm > 0, train, "grad_clip_norm", "0", kEach);
  refuse(config.ema_decay > 0, train, "ema_decay", "0", ", which changes few rows at a time");
  refuse(config.grad_accum_steps > 1, train, "grad_accum_steps", "1", kEach);
  refuse(optimizer.has_groups(), e.config.section("optimizer"), "groups", "left out", "");
  refuse(!config.freeze.empty(), train, "freeze", "empty", ", which trains all rows");
  refuse(e.tables.attention_loss.weight > 0, train.section("attention_loss"), "weight", "0",
         ", whose models have no attention");
  refuse(e.tables.lora.rank > 0, train.section("lora"), "rank", "0", ", which trains rows in place");
}

std::unique_ptr<TrainStep> make_step(const Training& t) {
  if (const auto* rows = dynamic_cast<const SparseSgd*>(t.optimizer.get()))
    return std::make_unique<InPlaceStep>(*t.experiment.task, dynamic_cast<RowLearner&>(*t.experiment.model),
                                         rows->sharing, *t.batches);
  return std::make_unique<GradientStep>(t);
}

}  // namespace qkv
