#include "train/train_step.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/clock.h"
#include "model/skip_gram.h"
#include "nn/adapters.h"
#include "ops/optimizer_kernels.h"
#include "qkv/base/threads.h"

namespace qkv {

TrainStep::TrainStep(const Task& task, TrainBatches& batches, std::int64_t accumulated)
    : batches_(batches),
      task_(task),
      accumulated_(accumulated),
      shards_(static_cast<std::size_t>(batches.shards())) {}

const StepReport& TrainStep::make(std::int64_t number, double lr) {
  StepReport& r = report_;
  r.step = number, r.lr = lr, r.seconds = {};
  for (Shard& shard : shards_) shard.loss = shard.count = 0, shard.tokens = 0;
  begin();
  for (std::int64_t k = 0; k < accumulated_; k++) run_shards((number - 1) * accumulated_ + k);

  r.loss_sum = r.count = 0, r.tokens = 0;
  for (const Shard& shard : shards_)
    r.loss_sum += shard.loss, r.count += shard.count, r.tokens += shard.tokens;
  r.loss = r.count > 0 ? r.loss_sum / r.count : 0.0;
  r.gradient_scale = r.count > 0 ? 1.0 / r.count : 0.0;
  {
    const Timer timer(r.seconds.reduce);
    r.grad_norm = std::sqrt(add_up(r)) * r.gradient_scale;
  }
  r.finite = std::isfinite(r.grad_norm) && std::isfinite(r.loss);
  const Timer timer(r.seconds.update);
  if (r.finite) update(r);
  return r;
}

void TrainStep::run_shards(std::int64_t batch) {
  const double start = steady_seconds();
  for (Shard& shard : shards_) shard.data_s = shard.forward_s = shard.backward_s = 0;
  const std::vector<int>& examples = batches_.examples(batch);
  pool().run(static_cast<int>(shards_.size()), [&](int s, int) {
    Shard& shard = shards_[static_cast<std::size_t>(s)];
    {
      const Timer timer(shard.data_s);
      if (batches_.collate(examples, batch, s, shard.batch).size == 0) return;
    }
    shard.tokens += task_.tokens(shard.batch);
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

// The gradients of the shards become one, along a fixed tree, so that threads never change a bit.
class Reduction {
 public:
  explicit Reduction(const ParameterStore& store)
      : store_(store), chunks_(chunks_of(store)), chunk_squares_(chunks_.size()) {}

  // Adds the gradients of all shards into shard 0: ((0 + 1) + (2 + 3)) + ... The gradients that a shard lacks
  // count as zero. Returns the sum of squares of the result without frozen parts, and in `squares` that of
  // each named parameter.
  double reduce(std::vector<Gradients>& shards, std::vector<double>& squares);
  const std::vector<Chunk>& chunks() const { return chunks_; }

 private:
  template <class T>
  double reduce_chunk(std::vector<Gradients>& shards, const Chunk& chunk) const;

  const ParameterStore& store_;
  std::vector<Chunk> chunks_;
  std::vector<double> chunk_squares_;  // memory that `reduce` works in
};

// The sum of squares of the chunk's sum; 0 where it is frozen or has no gradient.
template <class T>
double Reduction::reduce_chunk(std::vector<Gradients>& shards, const Chunk& chunk) const {
  constexpr int kMaxShards = 256;
  const int n = static_cast<int>(shards.size());
  T* data[kMaxShards] = {};  // null: this shard has no gradient of the slot
  for (int i = 0; i < n; i++)
    if (const Gradients& shard = shards[static_cast<std::size_t>(i)]; shard.has_slot(chunk.slot))
      data[i] = shard.of_slot(chunk.slot).data<T>() + chunk.begin;
  for (int stride = 1; stride < n; stride *= 2)
    for (int i = 0; i + stride < n; i += 2 * stride) {
      if (!data[i])
        data[i] = data[i + stride];
      else if (data[i + stride])
        add(data[i], data[i + stride], chunk.size);
    }
  if (!data[0]) return 0;
  const Tensor& value = store_.slot(chunk.slot).value;
  T* result = shards[0].buffer(chunk.slot, value.shape(), value.dtype()).data<T>() + chunk.begin;
  if (data[0] != result) std::memcpy(result, data[0], static_cast<std::size_t>(chunk.size) * sizeof(T));
  return chunk.frozen ? 0 : sum_of_squares(result, chunk.size);
}

double Reduction::reduce(std::vector<Gradients>& shards, std::vector<double>& squares) {
  const auto in_any_shard = [&](int slot) {
    return std::any_of(shards.begin(), shards.end(), [&](const Gradients& g) { return g.has_slot(slot); });
  };
  for (int s = 0; s < store_.size(); s++)  // shard 0 needs a buffer wherever another shard has one
    if (in_any_shard(s)) shards[0].buffer(s, store_.slot(s).value.shape(), store_.dtype());
  pool().run(static_cast<int>(chunks_.size()), [&](int c, int) {
    dispatch("reduce", store_.dtype(), [&](auto t) {
      const auto i = static_cast<std::size_t>(c);
      chunk_squares_[i] = reduce_chunk<decltype(t)>(shards, chunks_[i]);
    });
  });
  for (int s = 0; s < store_.size(); s++)
    if (in_any_shard(s)) shards[0].mark(s);
  double total = 0;
  squares.assign(chunks_.empty() ? 0 : static_cast<std::size_t>(chunks_.back().named) + 1, 0.0);
  for (std::size_t c = 0; c < chunks_.size(); c++) {
    total += chunk_squares_[c];
    squares[static_cast<std::size_t>(chunks_[c].named)] += chunk_squares_[c];
  }
  return total;
}

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
  GradientStep(Experiment& e, const TrainConfig& config, TrainBatches& batches, Optimizer& optimizer,
               Adapters* adapters)
      : TrainStep(*e.task, batches, config.grad_accum_steps),
        experiment_(e),
        optimizer_(optimizer),
        adapters_(adapters),
        clip_norm_(config.grad_clip_norm),
        gradients_(static_cast<std::size_t>(batches.shards())),
        reduction_(*e.parameters) {}

  double bytes(double activations, double threads) const override {
    const auto shards = static_cast<double>(gradients_.size());
    return static_cast<double>(experiment_.parameters->bytes()) * shards +
           activations * std::min(shards, threads) / shards;
  }

 private:
  void begin() override {
    for (Gradients& gradients : gradients_) gradients.clear();
  }

  void learn(std::int64_t batch, int s, Shard& shard, double) override {
    const double start = steady_seconds();
    Tape tape(batches_.dropout(batch, s));
    const Loss loss = experiment_.task->loss(*experiment_.model, shard.batch);
    shard.loss += loss.sum.value().item();
    shard.count += loss.count;
    const double forwarded = steady_seconds();
    tape.backward(loss.sum, gradients_[static_cast<std::size_t>(s)]);
    shard.forward_s += forwarded - start;
    shard.backward_s += steady_seconds() - forwarded;
  }

  double add_up(StepReport& report) override {
    if (adapters_)
      pool().run(static_cast<int>(gradients_.size()),
                 [&](int s, int) { adapters_->project(gradients_[static_cast<std::size_t>(s)]); });
    const double squares = reduction_.reduce(gradients_, report.squares);
    report.gradients = &gradients_[0];
    if (report.step == 1) check_all_have_gradients(gradients_[0], *experiment_.parameters);
    return squares;
  }

  void update(const StepReport& report) override {
    const bool clip = clip_norm_ > 0 && report.grad_norm > clip_norm_;
    const double factor = clip ? clip_norm_ / report.grad_norm : 1.0;
    optimizer_.update(*experiment_.parameters, gradients_[0], reduction_.chunks(),
                      {report.step, report.lr, report.gradient_scale * factor});
    if (adapters_) adapters_->compose();
  }

  Experiment& experiment_;
  Optimizer& optimizer_;
  Adapters* adapters_;
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
    shard.loss += learned.loss;
    shard.count += learned.count;
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

void check_in_place(const Experiment& e, const TrainConfig& config, const Optimizer& optimizer) {
  if (!learns_in_place(optimizer)) return;
  if (!dynamic_cast<RowLearner*>(e.model.get()))
    e.config.section("optimizer")
        .report("type", "must not be \"sparse-sgd\" with a model whose rows do not learn in place");
  const Section train = e.config.section("train");
  if (config.grad_clip_norm > 0)
    train.report("grad_clip_norm",
                 "must be 0 with optimizer \"sparse-sgd\", which makes one step per prediction");
  if (config.grad_accum_steps > 1)
    train.report("grad_accum_steps",
                 "must be 1 with optimizer \"sparse-sgd\", which makes one step per prediction");
  if (!config.freeze.empty())
    train.report("freeze", "must be empty with optimizer \"sparse-sgd\", which trains all rows");
  if (e.tables.lora.rank > 0)
    train.section("lora").report("rank",
                                 "must be 0 with optimizer \"sparse-sgd\", which trains rows in place");
}

std::unique_ptr<TrainStep> make_step(Experiment& e, const TrainConfig& config, TrainBatches& batches,
                                     Optimizer& optimizer, Adapters* adapters) {
  if (const auto* rows = dynamic_cast<const SparseSgd*>(&optimizer))
    return std::make_unique<InPlaceStep>(*e.task, dynamic_cast<RowLearner&>(*e.model), rows->sharing,
                                         batches);
  return std::make_unique<GradientStep>(e, config, batches, optimizer, adapters);
}

}  // namespace qkv
