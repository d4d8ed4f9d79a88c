// Trainer: the visible loop.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "qkv/data/sampler.h"
#include "qkv/log/metrics.h"
#include "qkv/train/captures.h"
#include "qkv/train/diagnosis.h"
#include "qkv/train/experiment.h"
#include "qkv/train/optimizer.h"
#include "qkv/train/schedule.h"
#include "qkv/train/spikes.h"

namespace qkv {

/// Skipped steps after which a run has diverged.
constexpr std::int64_t kMaxSkippedInARow = 100;

/// How a run ended.
struct TrainResult {
  std::string reason;  ///< max_steps, early_stop, interrupted or diverged
  std::int64_t step = 0, best_step = -1;
  std::int64_t failed_step = -1;  ///< the step that was not finite, when diverged
  std::string fault;              ///< what was not finite, and where, when diverged
  double best_value = 0;
  int signal = 0;  ///< SIGINT or SIGTERM when interrupted
};

/// What one optimizer step gave.
struct StepReport {
  double loss = 0, count = 0, grad_norm = 0, lr = 0;
  std::int64_t tokens = 0;
  bool finite = true, skipped = false;
};

/// Everything that changes from step to step, so that a checkpoint of it resumes bit for bit.
struct TrainState {
  std::int64_t step = 0;  ///< optimizer steps done
  std::int64_t best_step = -1, stale_evals = 0, tokens = 0;
  std::int64_t skipped = 0, skipped_in_a_row = 0;  ///< steps left out because they were not finite
  double best_value = 0, seconds = 0;
  double window_loss = 0, window_count = 0;  ///< since the last training line
  SpikeState spikes;
};

/// Wall-clock seconds of this process by what was done in them. Forward and backward share the time of the
/// workers in the proportion of their own.
struct TrainSeconds {
  double data = 0, forward = 0, backward = 0, reduce = 0, update = 0, evaluate = 0, capture = 0,
         checkpoint = 0;
};

class Trainer {
 public:
  /// Reads the tables [data] batch_size, [optimizer], [schedule], [train], [eval], [checkpoint], [log] and
  /// finishes the config. Without `attach` it trains without leaving a trace (bench, tests).
  explicit Trainer(Experiment& experiment);
  ~Trainer();
  /// Checkpoints go to this run directory, with this text as their config.resolved.toml; its data
  /// paths are relative to them.
  void attach(std::string run, std::string resolved);

  /// Takes the initial values that train.init_from names, if it does; a line that says which. For runs that
  /// start, not for resumed ones. A usage error where the weights are those of another vocabulary.
  std::string warm_start();
  /// Continues from the newest whole checkpoint of the run directory and says which damaged ones it passed
  /// over; false when there is no checkpoint yet. Throws a data error when all are damaged, a usage error
  /// when the data is not that of the checkpoint.
  bool resume();
  /// Trains to the end, early stop or signal. Records go to `sinks`; `on_step` is called after each step.
  TrainResult train(MetricSinks& sinks, const std::function<void(std::int64_t)>& on_step = {});
  /// Computes step `step` of a run once more, from its nearest whole checkpoint before, and looks at every
  /// value; where a step before it is the first that is not finite, that one. Writes nothing. Throws a usage
  /// error for a step that the run does not have.
  Diagnosis why(const std::string& run, std::int64_t step);
  /// One optimizer step: batches, gradients, reduce, clip, update.
  StepReport step();

  std::int64_t max_steps() const { return max_steps_; }
  /// Optimizer steps per pass over the training data, rounded up.
  std::int64_t steps_per_epoch() const;
  int shards() const { return static_cast<int>(shards_.size()); }
  const TrainState& state() const { return state_; }
  const TrainSeconds& seconds() const { return seconds_; }
  std::int64_t batch_size() const { return batch_size_; }
  const TrainConfig& config() const { return train_; }
  const EvalConfig& eval_config() const { return eval_; }
  const LogConfig& log_config() const { return log_; }
  /// Estimated bytes of parameters, gradients, optimizer and activations.
  std::size_t memory_estimate() const;

 private:
  struct Shard;
  void choose_learner();
  double join_rows(double loss);
  void forward_backward(std::int64_t micro_step);
  std::pair<const int*, Index> collate_shard(int shard, std::int64_t micro_step, Batch& batch) const;
  void run_shard(int shard, std::int64_t micro_step);
  bool evaluate_and_record(MetricSinks& sinks);
  void record_step(MetricSinks& sinks, const StepReport& report);
  void record_norms(MetricSinks& sinks);
  void record_histograms(MetricSinks& sinks) const;
  void record_samples(MetricSinks& sinks) const;
  void record_nonfinite(MetricSinks& sinks, const StepReport& report, TrainResult& result);
  void diverge(MetricSinks& sinks, const StepReport& report, TrainResult& result);
  void record_spike(MetricSinks& sinks, const StepReport& report);
  Diagnosis replay(std::int64_t step, const StepReport* failed);
  bool watch_shard(int shard, std::int64_t micro_step, Gradients& gradients, Diagnosis& diagnosis);
  std::vector<Diagnosis::Example> probe(const std::vector<int>& numbers, bool only_bad) const;
  void tell_update(Diagnosis& diagnosis) const;
  void restore(const std::string& checkpoint);
  void capture(bool last);
  void save(bool best);
  void check_same_data(const std::string& folder, const Json& state) const;
  void check_metric() const;
  bool finite_parameters() const;
  bool stale() const;
  bool due(std::int64_t every) const;

  Experiment& experiment_;
  std::string run_, resolved_;
  TrainConfig train_;
  EvalConfig eval_;
  CheckpointConfig checkpoint_;
  LogConfig log_;
  InspectConfig inspect_;
  std::int64_t batch_size_ = 1, eval_batch_size_ = 1, max_steps_ = 0, last_saved_ = -1;
  std::unique_ptr<Sampler> sampler_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  RowLearner* learner_ = nullptr;  // of the model, where its rows learn in place
  std::unique_ptr<Captures> captures_;
  std::vector<Chunk> chunks_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<Gradients> gradients_;
  std::vector<int> indices_;
  std::vector<double> scratch_;
  TrainState state_;
  TrainSeconds seconds_;
  struct {
    std::int64_t step = 0, tokens = 0;
    double seconds = 0;
  } recorded_;  // the state at the last training line, or where this process began
  double gradient_scale_ = 0;
  std::string nonfinite_eval_;  // the first metric of the last evaluation that is not finite
  std::vector<std::pair<std::string, std::string>> users_;  // op and layer of each slot, in a replay
  Record record_;
};

/// Installs handlers for SIGHUP, SIGINT and SIGTERM that ask the running trainer to stop after its step; a
/// second signal ends the process at once. A signal that the parent has the process ignore stays ignored.
void watch_signals();
/// The signal that came, or 0. The first call that sees it says so on the console; for any thread.
int signal_received();

}  // namespace qkv
