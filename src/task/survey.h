// DataSurvey: what the data of a task is like, for `check`: classes, lengths, repeated and suspicious
// examples.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "task/common.h"

namespace qkv {

/// One example as the data files have it.
struct SurveyedExample {
  std::string text, label;  ///< label: "" in a task without classes
  std::string place;        ///< "train.tsv:12"
  Index length = 0;         ///< in words, or tokens; 0: of no interest
  bool cut = false;         ///< the model sees a part of it only
};

class DataSurvey {
 public:
  /// Of each split, as many examples are looked at.
  static constexpr Index kMost = 200000;

  /// What examples are called: "sentences", "pairs", "lines".
  void unit(std::string name) { unit_ = std::move(name); }
  /// Calls f for each example that is added.
  void listen(std::function<void(Split, const SurveyedExample&)> f) { listener_ = std::move(f); }
  void add(Split split, const SurveyedExample& example);

  bool empty() const { return seen_.empty(); }
  /// {split: {"examples", "looked_at", "labels": {label: count}, "n_labels", "longest": {..}, "cut",
  /// "repeated": {split: count}, "two_labels"}}
  Json json() const;
  /// A line for each split.
  std::vector<std::string> lines() const;
  /// What may not be meant: examples that occur twice or in two splits or with two labels; labels that occur
  /// once, that are one letter from another, or the same but for case or Unicode normal form.
  std::vector<std::string> warnings() const;

 private:
  // How often something was found, and where first.
  struct Found {
    Index n = 0;
    std::string first;
    void add(const std::string& place) {
      if (n++ == 0) first = place;
    }
  };
  struct Part {
    Index examples = 0;
    SurveyedExample longest;
    Found cut, two_labels;
    BySplit<Found> repeated;  // of each split before, or of this one
  };
  struct Seen {
    Split split;
    std::string label, place;
  };

  void label_warnings(std::vector<std::string>& out) const;

  std::string unit_ = "examples";
  std::function<void(Split, const SurveyedExample&)> listener_;
  BySplit<Part> parts_;
  std::map<std::string, BySplit<Index>> labels_;
  std::unordered_map<std::string, Seen> seen_;  // by text
};

/// A task whose data can be looked at.
struct Surveyed {
  virtual ~Surveyed() = default;
  /// Adds the examples of all splits, training first, at most DataSurvey::kMost of each.
  virtual void survey(DataSurvey& survey) = 0;
};

}  // namespace qkv
