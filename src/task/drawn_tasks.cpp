// Tasks on drawn sequences: what a network must remember, and what it must look for.
#include <cmath>
#include <tuple>

#include "qkv/ops/arithmetic.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/task/synthetic.h"
#include "task/common.h"

namespace qkv {
namespace {

/// A drawn task with its own keys in [data], and a loss that needs no memory, for comparison.
template <class Keys>
struct Puzzle : DrawnTask {
  explicit Puzzle(const TaskInput& input) : DrawnTask(input) {
    table_.read(keys_);
    table_.read(data_);
  }
  std::vector<std::pair<std::string, double>> facts() override {
    return {{"memoryless_loss", memoryless_loss_}};
  }
  double memoryless_loss_ = 0;
  Keys keys_;
};

// ---- Adding: the sum of the two marked numbers of a long list (Hochreiter and Schmidhuber 1997).

constexpr double kTolerance = 0.04;  // of an answer that counts as right, as in the paper

struct AddingData {
  Index length = 50;
  void fields(FieldCollector& f) { f("length", length, "numbers of a sequence", rule::between(2, 1 << 20)); }
};

/// Numbers of [0, 1), one marked in the first half and one in the second; the answer is the marked ones' sum,
/// read from logit 0 at the last token. Tokens say which numbers are marked; the numbers themselves are the
/// batch's values [B, T] (see word_vectors), its answers [B] are the sums. Metrics: loss (mean squared error;
/// 1/6 when always answering 1), accuracy (share of answers less than 0.04 off).
struct Adding : Puzzle<AddingData> {
  explicit Adding(const TaskInput& input) : Puzzle(input) {
    check_length(input, "length", keys_.length);
    memoryless_loss_ = 1.0 / 6;
    symbols_ = {"number", "marked", "value"};  // the last is the direction along which values lie
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    const Index T = keys_.length, half = T / 2;
    const Index first = draw_below(stream, half), second = half + draw_below(stream, T - half);
    for (Index t = 0; t < T; t++) {
      const bool marked = t == first || t == second;
      row.add(marked ? 1 : 0);
      row.values.push_back(stream.uniform());
      if (marked) row.answer += row.values.back();
    }
  }

  Loss loss(const Model& model, const Batch& batch) const override {
    const Var answers = answers_of(model, batch);  // [B]
    const auto n = double(answers.dim(0));
    return {mse_loss(answers, batch.at("answers").to(answers.dtype())) * n, n};
  }
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Var answers = answers_of(model, batch);
    const Tensor expected = batch.at("answers").to(answers.dtype());
    double squares = 0, right = 0;
    for (Index b = 0; b < expected.size(); b++) {
      const double error = answers.value().at(b) - expected.at(b);
      squares += error * error;
      right += std::abs(error) < kTolerance;
    }
    metrics.add("loss", squares, double(expected.size()));
    metrics.add("accuracy", right, double(expected.size()));
  }
  std::vector<std::string> metrics() const override { return {"loss", "accuracy"}; }
  // A sum of two uniform numbers is less than d from 1 with probability 1 - (1 - d)^2.
  std::vector<ReferenceLevel> levels() override {
    return {{"chance", "loss", memoryless_loss_, "the answer is always 1"},
            {"chance", "accuracy", 1 - std::pow(1 - kTolerance, 2), "the answer is always 1"}};
  }

  static Var answers_of(const Model& model, const Batch& batch) {
    const Var logits = model.forward(batch);  // [B, T, V]
    const Index B = logits.dim(0), T = logits.dim(1);
    return reshape(slice(slice(logits, 1, T - 1, T), 2, 0, 1), {B});
  }
};

QKV_REGISTER(Task, "adding", Adding, "the sum of two marked numbers in a long list");

// ---- CopyMemory: remember symbols over a long pause (Hochreiter and Schmidhuber 1997; as in Arjovsky et al.
// 2016).

struct CopyMemoryData {
  Index n_symbols = 8, length = 10, delay = 100;
  void fields(FieldCollector& f) {
    f("n_symbols", n_symbols, "number of different symbols", rule::between(2, 1 << 16));
    f("length", length, "number of symbols to remember", rule::between(1, 1 << 16));
    f("delay", delay,
      "T: blanks between the last symbol and the first answer; the last blank is the signal to answer",
      rule::between(1, 1 << 20));
  }
};

/// x = length symbols, delay - 1 blanks, the signal, length blanks; y = blanks, but at the last `length`
/// places the symbols. The model never sees its answers. Without memory the best answer is all symbols alike:
/// loss length ln(n_symbols) / (delay + 2 length). `answer_loss` is the loss of the answers alone.
struct CopyMemory : Puzzle<CopyMemoryData> {
  explicit CopyMemory(const TaskInput& input) : Puzzle(input) {
    check_length(input, "delay", total());
    memoryless_loss_ = double(keys_.length) * std::log(double(keys_.n_symbols)) / double(total());
    for (Index i = 0; i < keys_.n_symbols; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.insert(symbols_.end(), {"_", "!"});
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    const Index blank = keys_.n_symbols, signal = blank + 1;
    for (Index i = 0; i < keys_.length; i++) row.add(draw_below(stream, keys_.n_symbols), blank);
    for (Index i = 1; i < keys_.delay; i++) row.add(blank, blank);
    row.add(signal, blank);
    for (Index i = 0; i < keys_.length; i++) row.add(blank, at(row.ids, i));
  }
  bool is_answer(std::int32_t target) const override { return target >= 0 && target < keys_.n_symbols; }

  void score_logits(const Var& logits, const Batch& batch, Metrics& metrics) const override {
    Puzzle::score_logits(logits, batch, metrics);
    CrossEntropyOptions no_blanks;
    no_blanks.ignore_index = int(keys_.n_symbols);
    const CrossEntropy loss = cross_entropy(logits, batch.at("targets"), no_blanks);
    metrics.add("answer_loss", loss.sum.value().item(), loss.weight);
  }
  std::vector<std::string> metrics() const override {
    return {"loss", "accuracy", "exact_match", "answer_loss"};
  }
  Index total() const { return keys_.delay + 2 * keys_.length; }
};

QKV_REGISTER(Task, "copy-memory", CopyMemory, "repeat symbols after a long pause");

// ---- Induction: "... A B ... A" goes on with B (Elhage et al. 2021; Olsson et al. 2022).

struct InductionData {
  Index n_symbols = 32, length = 32, min_period = 4, max_period = 16;
  void fields(FieldCollector& f) {
    f("n_symbols", n_symbols, "number of different symbols", rule::between(2, 1 << 20));
    f("length", length, "tokens of a sequence", rule::between(2, 1 << 20));
    f("min_period", min_period, "smallest number of symbols before they repeat", rule::between(1, 1 << 20));
    f("max_period", max_period, "largest number of symbols before they repeat", rule::between(1, 1 << 20));
  }
};

/// A random list of different symbols, over and over. Its period is drawn for each sequence, so that no
/// distance can be learned by heart. Where a symbol has come before, the model must say what followed it
/// then: look for the symbol's earlier place, and one further. Loss without memory: ln(n_symbols).
struct Induction : Puzzle<InductionData> {
  explicit Induction(const TaskInput& input) : Puzzle(input) {
    const auto [n, length, low, high] =
        std::tuple(keys_.n_symbols, keys_.length, keys_.min_period, keys_.max_period);
    check_at_most(table_, "min_period", low, "max_period", high);
    check_at_most(table_, "max_period", high, "n_symbols", n);
    if (high >= length)
      table_.report("max_period", fmt::format("must be less than length = {}; got {}", length, high));
    check_length(input, "length", length);
    memoryless_loss_ = std::log(double(n));
    for (Index i = 0; i < n; i++) symbols_.push_back(fmt::format("s{}", i));
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    thread_local std::vector<Index> list;
    const Index period = keys_.min_period + draw_below(stream, keys_.max_period - keys_.min_period + 1);
    draw_distinct(stream, keys_.n_symbols, period, list);
    for (Index t = 0; t < keys_.length; t++)
      row.add(at(list, t % period), t < period ? SyntheticRow::kNoTarget : at(list, (t + 1) % period));
  }
};

QKV_REGISTER(Task, "induction", Induction, "continue with what followed the same symbol before");

// ---- AssociativeRecall: which value belongs to this key? (Graves et al. 2014; Ba et al. 2016)

struct RecallData {
  Index n_keys = 16, n_values = 16, pairs = 4, queries = 1, gap = 0;
  void fields(FieldCollector& f) {
    f("n_keys", n_keys, "number of different keys", rule::between(1, 1 << 20));
    f("n_values", n_values, "number of different values", rule::between(2, 1 << 20));
    f("pairs", pairs, "keys with a value in a sequence", rule::between(1, 1 << 16));
    f("queries", queries, "number of queries", rule::between(1, 1 << 16));
    f("gap", gap, "blanks between the last pair and the first query", rule::between(0, 1 << 20));
  }
};

/// k1 v1 k2 v2 .. kn vn, `gap` blanks, then queries: some of the keys, none twice, at each of which the model
/// must say its value. Loss without memory: ln(n_values).
struct AssociativeRecall : Puzzle<RecallData> {
  explicit AssociativeRecall(const TaskInput& input) : Puzzle(input) {
    check_at_most(table_, "pairs", keys_.pairs, "n_keys", keys_.n_keys);
    check_at_most(table_, "queries", keys_.queries, "pairs", keys_.pairs);
    check_length(input, keys_.gap > 0 ? "gap" : "pairs", 2 * keys_.pairs + keys_.gap + keys_.queries);
    memoryless_loss_ = std::log(double(keys_.n_values));
    for (Index i = 0; i < keys_.n_keys; i++) symbols_.push_back(fmt::format("k{}", i));
    for (Index i = 0; i < keys_.n_values; i++) symbols_.push_back(fmt::format("v{}", i));
    symbols_.push_back("_");
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    thread_local std::vector<Index> keys, order;
    draw_distinct(stream, keys_.n_keys, keys_.pairs, keys);
    for (Index i = 0; i < keys_.pairs; i++) {
      const auto value = draw_below(stream, keys_.n_values);
      row.add(at(keys, i));
      row.add(keys_.n_keys + value);
    }
    for (Index i = 0; i < keys_.gap; i++) row.add(keys_.n_keys + keys_.n_values);
    draw_distinct(stream, keys_.pairs, keys_.queries, order);
    for (Index i = 0; i < keys_.queries; i++) {
      const auto place = 2 * std::size_t(at(order, i));
      row.add(row.ids[place], row.ids[place + 1]);
    }
  }
};

QKV_REGISTER(Task, "associative-recall", AssociativeRecall, "recall the value of a key");

}  // namespace
}  // namespace qkv
