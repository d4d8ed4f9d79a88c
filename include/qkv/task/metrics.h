// Metrics: sums that merge, so that an evaluation may be split over workers and folds.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/task/text_metrics.h"

namespace qkv {

/// Counts of (gold, predicted) classes and what follows from them.
class Confusion {
 public:
  Confusion() = default;
  explicit Confusion(std::vector<std::string> labels);
  /// Counts one example. Throws `confusion: class must be in [0, n); got ..`.
  void add(int gold, int predicted);
  /// Adds the counts of the same labels; an empty matrix takes over the other one.
  void merge(const Confusion& other);

  int classes() const { return int(labels_.size()); }
  const std::vector<std::string>& labels() const { return labels_; }
  long count(int gold, int predicted) const { return counts_[std::size_t(gold * classes() + predicted)]; }
  long gold(int label) const;
  long predicted(int label) const;
  long total() const;
  double accuracy() const;
  /// 0 where a class was never predicted (precision) or never occurred (recall).
  double precision(int label) const;
  double recall(int label) const;
  double f1(int label) const;
  /// Mean F1 of the classes that occur as gold or prediction.
  double macro_f1() const;
  /// {"precision", "recall", "f1", "count"} of a class.
  Json json(int label) const;
  /// [[count(0, 0), count(0, 1), ..], ..]
  Json matrix() const;

 private:
  std::vector<std::string> labels_;
  std::vector<long> counts_;
};

/// Weighted means by name, and a confusion matrix for tasks with classes.
class Metrics {
 public:
  /// Adds `sum` over `weight` units to the mean called `name`; its value is `f` of that mean where there is
  /// one, e.g. perplexity = exp(mean loss).
  void add(const std::string& name, double sum, double weight, double (*f)(double) = nullptr);
  void merge(const Metrics& other);
  /// Means in the order of first use, then accuracy and macro_f1 where there is a confusion matrix, then the
  /// scores of generated texts.
  std::vector<std::pair<std::string, double>> values() const;
  /// One of `values()`. Throws a usage error that lists the names.
  double value(const std::string& name) const;
  /// Names of the values that are not finite: then the others say nothing, either.
  std::vector<std::string> nonfinite() const;
  /// What is not finite is null.
  Json json() const;

  Confusion confusion;
  TextScores texts;

  /// Whether one example was answered rightly, for scores over groups of examples.
  struct Outcome {
    int example;
    bool right;
  };
  std::vector<Outcome> outcomes;
  /// Share of the groups of `size` examples in a row (minimal pairs, ...) that are right throughout. Throws a
  /// data error unless the examples 0, 1, ... fill whole groups.
  double group_accuracy(int size) const;

 private:
  struct Mean {
    std::string name;
    double sum, weight;
    double (*f)(double);
  };
  std::vector<Mean> means_;
};

}  // namespace qkv
