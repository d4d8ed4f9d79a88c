// Futures of a training: it goes on from one of its steps with other settings, in memory; what they answer.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/train/experiment.h"

namespace qkv {

/// log(p / (1 - p)), p = exp(-loss): of the right answer of an example of a split. Of one with several
/// targets, of their mean loss.
std::vector<double> log_odds(const Experiment& e, Split split, const std::vector<int>& examples);
/// Texts whose answers can be compared. A usage error in a task without classes.
std::vector<ProbeText> asked_texts(const Experiment& e, const std::vector<std::string>& texts);
/// Of each text its class `label`; where that is -1, it becomes the likeliest one.
std::vector<double> log_odds(const Experiment& e, std::vector<ProbeText>& texts);

/// What is asked of each future.
struct Questions {
  std::vector<int> examples;     ///< of the validation split
  std::vector<ProbeText> texts;  ///< with the class that is asked for
};
struct Answers {
  std::vector<double> examples, asked;  ///< their log-odds
  std::vector<double> heads;            ///< how much the validation loss grows without each of `heads_of`
};
Answers answers_of(const Experiment& e, const Questions& questions);

/// Where futures part: the config of a run, and its checkpoint of that step; "" is the start.
struct ForkPoint {
  std::string config, checkpoint;
};
struct Future {
  Answers answers;                                      ///< after the last step
  std::vector<std::pair<std::int64_t, double>> course;  ///< step and eval.metric of the evaluations
  int signal = 0;                                       ///< that ended it, or 0
};
Future future_of(const ForkPoint& from, std::vector<std::string> sets, const Questions& questions);

/// The first step whose loss, gradient or update is another with these settings; none up to the end.
std::optional<std::int64_t> first_difference(const ForkPoint& from, std::vector<std::string> sets);

/// {"examples": [{"example", "place", "label", "text", "original", "fork", "low", "high"}], "asked": the
/// same, "heads": [{"head", "original", ..}]}: `low` and `high` are those of the seeds and the original.
/// Examples and heads have the largest changes in front.
Json compared(const Experiment& e, const Questions& questions, const Answers& original, const Answers& fork,
              const std::vector<Future>& seeds);

/// The examples of a split as the task lists its data (`place`: "train.tsv:12"); none where it does not.
struct ListedExample {
  std::string text, label, place;
};
std::vector<ListedExample> listed_examples(Task& task, Split split);

}  // namespace qkv
