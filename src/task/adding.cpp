// Adding: the sum of the two marked numbers of a long list (Hochreiter and Schmidhuber 1997).
#include <cmath>

#include "qkv/base/text.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/pool.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/task/synthetic.h"

namespace qkv {
namespace {

constexpr double kTolerance = 0.04;  // of an answer that counts as right, as in the paper

struct AddingData {
  Index length = 50;
  template <class F>
  void fields(F& f) {
    f("length", length, "numbers of a sequence", rule::between(2, 1 << 20));
  }
};

/// Numbers of [0, 1), one marked in the first half and one in the second; the answer is the marked ones' sum,
/// read from logit 0 at the last token. Tokens say which numbers are marked; the numbers themselves are the
/// batch's values [B, T] (see word_vectors), its answers [B] are the sums. Metrics: loss (mean squared error;
/// 1/6 for who always answers 1), accuracy (share of answers less than 0.04 off).
class Adding : public DrawnTask {
 public:
  explicit Adding(const TaskInput& input) : DrawnTask(input) {
    table_.read(adding_);
    table_.read(data_);
    check_length(input, "length", adding_.length);
    symbols_ = {"number", "marked", "value"};  // the last is the direction along which values lie
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    const Index T = adding_.length, half = T / 2;
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
    const auto n = static_cast<double>(answers.dim(0));
    return {mse_loss(answers, gold(batch, answers)) * n, n};
  }
  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    const Var answers = answers_of(model, batch);
    const Tensor expected = gold(batch, answers);
    double squares = 0, right = 0;
    for (Index b = 0; b < expected.size(); b++) {
      const double error = answers.value().at(b) - expected.at(b);
      squares += error * error;
      right += std::abs(error) < kTolerance;
    }
    metrics.add("loss", squares, static_cast<double>(expected.size()));
    metrics.add("accuracy", right, static_cast<double>(expected.size()));
  }
  std::vector<std::string> metrics() const override { return {"loss", "accuracy"}; }
  std::vector<std::pair<std::string, double>> facts() override { return {{"memoryless_loss", 1.0 / 6}}; }

 private:
  static Var answers_of(const Model& model, const Batch& batch) {
    const Var logits = model.forward(batch);  // [B, T, V]
    const Index B = logits.dim(0);
    Tensor last = Tensor::result({B}, logits.value(), Dtype::i32);
    if (!last.is_symbolic()) last.fill(static_cast<double>(logits.dim(1) - 1));
    return reshape(slice(select_positions(logits, last), 1, 0, 1), {B});
  }
  static Tensor gold(const Batch& batch, const Var& answers) {
    const Tensor& expected = batch.at("answers");
    return expected.dtype() == answers.dtype() ? expected : expected.to(answers.dtype());
  }

  AddingData adding_;
};

QKV_REGISTER(Task, "adding", Adding, "the sum of two marked numbers in a long list");

}  // namespace
}  // namespace qkv
