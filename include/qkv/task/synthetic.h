// Synthetic tasks: sequences generated on the fly from (seed, split, index); no files, no memory.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/task/task.h"

namespace qkv {

/// One synthetic sequence, written token by token.
struct SyntheticRow {
  static constexpr std::int32_t kNoTarget = -100;

  void clear() { ids.clear(), targets.clear(), values.clear(), answer = 0; }
  /// A token, and what the model must say at it.
  void add(Index id, Index target = kNoTarget) {
    ids.push_back(std::int32_t(id));
    targets.push_back(std::int32_t(target));
  }

  std::vector<std::int32_t> ids, targets;
  std::vector<float> values;  ///< one per token where tokens carry numbers, else empty
  float answer = 0;           ///< of a regression
};

/// What all synthetic tasks share: batches, loss and scores. Batches: ids [B, T] and targets [B, T] (i32,
/// -100 for tokens without a target), and keep [B, T] where rows differ in length. So they are language-model
/// batches, for every model with logits [B, T, V]. Metrics: loss (nats per target), accuracy (share of the
/// answer tokens that are right), exact_match (share of the rows that are right throughout).
class SyntheticTask : public Task {
 public:
  DataShape shape() const override { return {Index(symbols_.size()), 0, 0}; }
  Index length(Split split, int example) const override;
  bool uniform_length() const override { return uniform_; }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override;
  Index tokens(const Batch& batch) const override;
  Loss loss(const Model& model, const Batch& batch) const override;
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override;
  std::vector<std::string> metrics() const override { return {"loss", "accuracy", "exact_match"}; }
  /// Chance: of the answers that occur at a place of a row, all alike.
  std::vector<ReferenceLevel> levels() override;
  /// {"text", "answer"}: the question `text` is continued by the likeliest tokens.
  Json predict(const Model& model, const std::string& text) const override;
  std::string readable(const Json& prediction) const override;
  std::vector<ProbeText> probe_texts(const std::vector<std::string>& texts) const override;
  /// Sequences of at most 64 tokens; none of tasks whose tokens carry numbers.
  std::vector<ProbeText> probe_examples(Split split, Index count) override;
  Batch probe_batch(const ProbeText* texts, Index n) const override;
  std::vector<std::string> vocabulary() const override { return symbols_; }

  /// Example `index` of `split`.
  virtual void write(Split split, Index index, SyntheticRow& row) const = 0;

 protected:
  explicit SyntheticTask(const TaskInput& input);
  /// Reports at `key` a longest sequence that model.max_seq_len does not hold.
  void check_length(const TaskInput& input, const std::string& key, Index longest) const;

  /// True if a target is one of the answers that accuracy counts.
  virtual bool is_answer(std::int32_t target) const { return target >= 0; }
  /// What `score` adds, given the logits [B, T, V].
  virtual void score_logits(const Var& logits, const Batch& batch, Metrics& metrics) const;
  /// The tokens of a question, and how many follow it. Default: an error that the task takes no questions.
  struct Question {
    std::vector<std::int32_t> ids;
    int answers = 1;
    bool backwards = false;  ///< the answer comes last token first
  };
  virtual Question question(const std::string& text) const;

  Section table_;  ///< [data]
  std::uint64_t seed_;
  std::vector<std::string> symbols_;  ///< the text of each token
  bool uniform_ = true;
};

/// The keys of [data] for sequences that are drawn.
struct DrawnData {
  Index examples = 1 << 20, eval_examples = 256;
  void fields(FieldCollector& f) {
    f("examples", examples, "training sequences per epoch", rule::between(1, 1 << 30));
    f("eval_examples", eval_examples, "sequences of the validation split and of the test split",
      rule::between(0, 1 << 30));
  }
};

/// Sequences drawn from Stream(seed, split, index, attempt). A hash of what was drawn says to which split it
/// belongs: 8 in 10 to train, 1 to val, 1 to test; one of another split is drawn anew. So no sequence occurs
/// in two splits, however many are drawn.
class DrawnTask : public SyntheticTask {
 public:
  Index examples(Split split) override {
    return split == Split::train ? data_.examples : data_.eval_examples;
  }
  void write(Split split, Index index, SyntheticRow& row) const final;
  /// Throws a usage error at [data] when there are too few different sequences for three splits.
  void prepare() override;

 protected:
  explicit DrawnTask(const TaskInput& input) : SyntheticTask(input) {}
  /// One sequence; appends to the empty `row`.
  virtual void draw(Stream& stream, SyntheticRow& row) const = 0;
  /// A number of [0, n).
  static Index draw_below(Stream& stream, Index n) { return Index(stream.below(std::uint64_t(n))); }
  /// `count` different numbers of [0, n) in random order.
  static void draw_distinct(Stream& stream, Index n, Index count, std::vector<Index>& out);

  DrawnData data_;
};

/// The keys of [data] for cases that can be counted.
struct CountedData {
  double train_fraction = 0.8, val_fraction = 0.1;
  Index eval_examples = 0;
  void fields(FieldCollector& f) {
    f("train_fraction", train_fraction, "share of all cases to train on", rule::probability);
    f("val_fraction", val_fraction, "share of all cases to validate on; the rest is for testing",
      rule::probability);
    f("eval_examples", eval_examples, "largest number of cases for validation and for testing; 0 = all",
      rule::between(0, 1 << 30));
  }
};

/// Numbered cases in an order drawn from the seed: the first are for training, the next for validation, the
/// others for testing. Each occurs once.
class CountedTask : public SyntheticTask {
 public:
  Index examples(Split split) override;
  void write(Split split, Index index, SyntheticRow& row) const final;

 protected:
  explicit CountedTask(const TaskInput& input) : SyntheticTask(input) {}
  /// Case `number` of [0, cases).
  virtual void write_case(Index number, SyntheticRow& row) const = 0;
  /// Reports shares that leave no training cases, or more than all.
  void set_cases(Index cases);

  CountedData data_;

 private:
  Index cases_ = 0, train_ = 0, val_ = 0;
};

}  // namespace qkv
