// Training: one run from its first step to its end. docs/training-step.md follows it from function to
// function.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "qkv/log/metrics.h"
#include "qkv/train/experiment.h"
#include "qkv/train/optimizer.h"

namespace qkv {

class Adapters;
class AttentionLoss;
class Captures;
class CutHeads;
class TrainBatches;
class TrainStep;
class WeightAverage;

/// Wall-clock seconds by what was done in them. Forward and backward share the time of the workers in
/// proportion.
struct TrainSeconds {
  double data = 0, forward = 0, backward = 0, reduce = 0, update = 0, evaluate = 0, capture = 0, circuits = 0,
         checkpoint = 0;
};

/// What one optimizer step found.
struct StepReport {
  std::int64_t step = 0;  ///< 1, 2, ...
  double loss_sum = 0, count = 0, loss = 0;
  double grad_norm = 0, lr = 0;
  double attention_loss = 0;  ///< mean divergence of the attention from that which was drawn
  std::int64_t tokens = 0;
  bool finite = true;  ///< loss and gradient norm; where they are not, no parameter was changed
  /// Of each parameter, in the order of ParameterStore::named: the sum of squares of its gradient, before
  /// `gradient_scale`; empty where rows learn in place.
  std::vector<double> squares;
  const Gradients* gradients = nullptr;  ///< the same gradients; null where rows learn in place
  TrainSeconds seconds;
  /// From sums over examples to the gradient of the mean loss.
  double gradient_scale() const { return count > 0 ? 1.0 / count : 0.0; }
};

/// Running statistics of loss and gradient norm by which spikes are found.
struct SpikeState {
  std::int64_t steps = 0;
  double first_loss = 0, loss_mean = 0, loss_variance = 0;
  double norm_mean = 0, norm_variance = 0;  ///< of the logarithm of the gradient norm
};

/// Everything that changes from step to step, so that a checkpoint of it resumes bit for bit.
struct TrainState {
  std::int64_t step = 0;  ///< optimizer steps done
  std::int64_t best_step = -1, stale_evals = 0, tokens = 0;
  std::int64_t skipped = 0, skipped_in_a_row = 0;  ///< steps left out because they were not finite
  double best_value = 0, seconds = 0;
  double window_loss = 0, window_count = 0;  ///< since the last training line
  SpikeState spikes;

  /// Counts a step that was made, or left out because it was not finite.
  void count(const StepReport& report);
};

/// The weights below the adapters of a run: a checkpoint or a .safetensors file, and the checksum of its
/// weights.
struct BaseWeights {
  std::string path, checksum;
};

/// Where the checkpoints of a run go, and where it pauses. Without a directory a run leaves no trace.
struct RunFiles {
  std::string run;               ///< the run directory
  std::string resolved;          ///< config.resolved.toml of each checkpoint; its paths are relative to that
  std::int64_t last_saved = -1;  ///< step of the newest checkpoint
  BaseWeights base = {};         ///< with [train.lora]: what its checkpoints stand on
  std::int64_t pause_at = 0;  ///< after this step `train` stops as if interrupted, to be resumed; 0: nowhere
};

/// What single keys add to the steps of a run; null without their key.
struct StepExtras {
  std::unique_ptr<Adapters> adapters;             ///< [train.lora]
  std::unique_ptr<AttentionLoss> attention_loss;  ///< [train.attention_loss]
  std::unique_ptr<CutHeads> cut;                  ///< train.ablate
  std::unique_ptr<WeightAverage> average;         ///< train.ema_decay
};

/// What a run consists of. Made by prepare_training; movable, and it must not outlive the experiment.
struct Training {
  explicit Training(Experiment& e);
  Training(Training&& other) noexcept;
  ~Training();

  /// Makes the next optimizer step. It is counted in `state` unless it is not finite and the run ends there.
  /// The report is good until the next step.
  const StepReport& step();
  /// Whether a step that is not finite is left out (train.on_nonfinite = "skip").
  bool skips() const { return tables.train.on_nonfinite == OnNonfinite::skip; }
  /// Optimizer steps in so many passes over the training data, rounded up.
  std::int64_t steps_in(std::int64_t epochs) const;
  /// max_steps, or the steps of max_epochs.
  std::int64_t steps_of(const TrainConfig& c) const {
    return c.max_epochs > 0 ? steps_in(c.max_epochs) : c.max_steps;
  }
  int shards() const;
  std::int64_t max_steps() const { return tables.train.max_steps; }

  Experiment& experiment;
  TrainingTables tables;  ///< those of the experiment, with train.max_steps and eval.every in steps
  StepExtras extras;
  std::unique_ptr<TrainBatches> batches;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<TrainStep> one_step;
  std::unique_ptr<Captures> captures;
  RunFiles files;
  TrainState state;
  TrainSeconds seconds;  ///< of this process
};

/// Reads the tables [optimizer] and [schedule] and the data, finishes the config, and makes what the steps
/// need. Throws what is wrong with any of them.
///
///     Training training = prepare_training(experiment);
///     while (training.state.step < training.max_steps()) training.step();
Training prepare_training(Experiment& e);

enum class StopReason { max_steps, early_stop, interrupted, diverged };
/// "max_steps", "early_stop", "interrupted" or "diverged".
const char* name_of(StopReason reason);
/// Whether the run came to the end that its config asks for.
bool is_whole(StopReason reason);

/// How a run ended.
struct TrainResult {
  StopReason reason = StopReason::max_steps;
  std::int64_t step = 0, best_step = -1;
  std::int64_t failed_step = -1;  ///< the step that was not finite, when diverged
  std::string fault;              ///< what was not finite, and where, when diverged
  double best_value = 0;
  int signal = 0;  ///< SIGHUP, SIGINT or SIGTERM when interrupted
};

/// Installs handlers for SIGHUP, SIGINT and SIGTERM that ask the running training to stop after its step; a
/// second signal ends the process at once. A signal that the parent has the process ignore stays ignored.
void install_signal_handlers();
/// The signal that came, or 0. The first call that sees it says so on the console; for any thread.
int signal_received();
/// Asks the running training to stop after its step as if this signal had come; 0 takes it back, so that
/// another training can begin.
void request_stop(int signal);

/// Takes the initial values that train.init_from names, if it does; a line that says which. For runs that
/// start, not for resumed ones. A usage error where the weights are those of another vocabulary.
std::string warm_start(Training& training);
/// Writes a checkpoint of the present state into the run directory, unless it is there already, and removes
/// those that [checkpoint] does not keep. Without a run directory: nothing.
void save_checkpoint(Training& training, bool best);
/// Writes the checkpoint of step 0, `last` and `best`, of a model that was not trained here; `config` is its
/// config.resolved.toml.
void save_untrained(const std::string& run, const Experiment& e, const std::string& config);
/// Takes weights, optimizer and state of a checkpoint, or the initial values (`warm_start`) where the path is
/// empty. A usage error where it was trained on other data.
void restore(Training& training, const std::string& checkpoint);
/// Continues from the newest whole checkpoint of the run directory and says which damaged ones it passed
/// over; false when there is no checkpoint yet. Throws a data error when all are damaged.
bool resume(Training& training);
/// Of several ranks: rank 0 tells the others weights, optimizer and state, or the weights alone.
void share_state(Training& training);
void share_weights(ParameterStore& parameters);
/// The signal that came to any rank, or 0; the same in all of them.
int agreed_signal();
/// Estimated bytes of parameters, gradients, moments of the optimizer, and activations of training and
/// evaluation.
std::size_t memory_estimate(const Training& training);
/// Trains to the end, early stop or signal. Records go to `sinks`; `on_step` is called after each step.
TrainResult train(Training& training, MetricSinks& sinks,
                  const std::function<void(std::int64_t)>& on_step = {});

}  // namespace qkv
