// RunCase: all that the rules of a diagnosis know of a run, gathered once: config, records, data, and what
// experiments with the model show. What was not measured is NaN.
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "log/run_log.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/train/training.h"
#include "task/common.h"
#include "task/survey.h"

namespace qkv {

constexpr double kUnknown = NAN;
/// Metrics that are shares of right answers; of several a task has, the last counts.
constexpr const char* kAccuracies[] = {"exact_match", "token_accuracy", "accuracy"};

/// An example as the model reads it. Source: what is given; of a text whose tokens all are asked for, the
/// whole text. Target: the class or the tokens that are asked for.
struct SampledExample {
  std::vector<int> source, target;
};
using Sample = std::vector<SampledExample>;

/// Loss and share of right answers of a trained model, dropout off.
struct Measured {
  double loss = kUnknown, accuracy = kUnknown;
};

struct RunCase {
  RunCase(Experiment& experiment, const RunLog& run_log) : e(experiment), log(run_log) {}

  Experiment& e;  ///< with the last weights
  const RunLog& log;
  bool trained = true;  ///< false: there is no checkpoint

  // ---- records
  std::int64_t steps = 0, spikes = 0, val_best_step = -1;
  double epochs = 0;
  double first_loss = kUnknown, last_loss = kUnknown;  ///< of training, with dropout; last: mean of a tenth
  double highest_early = kUnknown;  ///< highest loss of a record in the first fifth, after the first
  double jitter = kUnknown;         ///< median change of the loss from record to record / last_loss
  double val_best = kUnknown, val_last = kUnknown;
  double clipped = kUnknown;     ///< share of the records with a gradient above train.grad_clip_norm
  double clip_ratio = kUnknown;  ///< median of gradient norm / train.grad_clip_norm
  const Record* nonfinite = nullptr;

  // ---- data
  BySplit<Sample> samples;
  Json survey;                 ///< DataSurvey::json, an empty object where the task has none
  bool from_files = false;     ///< not generated: answers and splits may be wrong
  bool whole_text = false;     ///< every token of a text is asked for
  double prior = kUnknown;     ///< loss of who knows how frequent each answer is and nothing else
  double majority = kUnknown;  ///< of a task with classes: share of the most frequent one in validation
  BySplit<double> unknown{kUnknown, kUnknown, kUnknown};  ///< share of unknown tokens in sources
  double tokens_per_word = kUnknown;
  double drift = kUnknown, usual_drift = kUnknown;  ///< nats by which validation resp. parts of the training
                                                    ///< data differ from the rest of it
  struct {
    double accuracy = kUnknown, majority = kUnknown;  ///< of a bag of words on held-out training examples
    double contradicted = kUnknown;                   ///< share of its surest answers that the labels deny
    double examples = 0;
  } labels;
  struct {
    double agreement = kUnknown, by_chance = kUnknown;  ///< target words whose source word is there
    double usual = kUnknown;                            ///< median of the former
    double wrong = kUnknown;                            ///< share of the pairs that are like random ones
  } pairs;

  // ---- the model
  Measured train, val;
  double best_factor = kUnknown;   ///< times the first update at the full rate gives the lowest loss
  double overshoot = kUnknown;     ///< loss after that update / loss before, on the same examples
  double update_ratio = kUnknown;  ///< median over matrices of |change| / |weights| of that update
  double reach = kUnknown;         ///< the same times all rates of the schedule: how far weights can go
  struct Moved {
    std::string name;
    double share;  ///< |change since the start| / |weights|
    bool frozen, matrix;
  };
  std::vector<Moved> moved;
  std::vector<double> entropy, top;  ///< of each attention head: 1 = uniform; mean largest weight
  double dead = kUnknown;            ///< share of the units of feed-forward layers
  double future = kUnknown;          ///< change of answers by later tokens / size of the answers
  double answers_shown = kUnknown;   ///< share of targets that stand in the input at their place
  double source = kUnknown;          ///< loss with the sources of other pairs / loss
  struct Effect {
    std::string layer;
    double loss;  ///< increase without it
  };
  std::vector<Effect> effects;

  // ---- what rules ask
  bool classes() const { return e.task->shape().n_class > 0; }
  Index examples(Split split) const { return e.task->examples(split); }
  Section table(const std::string& name) const { return e.config.section(name); }
  double number(const std::string& table_name, const std::string& key, double otherwise) const {
    return table(table_name).given<double>(key).value_or(otherwise);
  }
  double rate() const { return number("optimizer", "lr", 1e-3); }
  /// The best that is known of the loss on training examples: without dropout, else of the records.
  double train_loss() const { return std::isnan(train.loss) ? last_loss : train.loss; }
  /// What a loss is compared with: the prior, else the first loss.
  double start() const { return std::isnan(prior) ? first_loss : prior; }
  /// Share of that which training has removed: 1 = all, 0 = nothing.
  double learned() const { return 1 - train_loss() / start(); }
  /// Share of what was learned that validation examples do not show.
  double gap() const { return (val_last - train_loss()) / (start() - train_loss()); }
  /// So good that there is nothing to explain.
  bool solved() const { return val.accuracy >= 0.95 || val_last <= 0.02 * start(); }
};

/// Reads the records of the log.
void read_records(RunCase& c);
/// Looks at the data; `most` examples of a split.
void look_at_data(RunCase& c, Index most);
/// Experiments with the trained model, whose weights are the same afterwards.
void try_model(RunCase& c);
/// Experiments with the first step of the training, and what the weights have become since. `t` is at its
/// start, and of no use afterwards.
void try_first_step(RunCase& c, Training& t);

// ---- parts of these (samples.cpp, statistics.cpp)

/// At most `most` examples of a split, evenly spread.
Sample sample_of(Task& task, Split split, Index most);
void compare_sources(RunCase& c);
void check_labels(RunCase& c);
void check_pairs(RunCase& c);
/// Mean loss of these examples, dropout off.
double loss_of(const Task& task, const Model& model, Split split, const std::vector<int>& examples);
/// `some` of the examples of a split, evenly spread.
std::vector<int> spread_examples(Task& task, Split split, Index some);

double median(std::vector<double> values);

}  // namespace qkv
