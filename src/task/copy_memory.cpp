// CopyMemory: remember symbols over a long pause (Hochreiter and Schmidhuber 1997; as in Arjovsky et al.
// 2016).
#include <cmath>

#include "qkv/base/text.h"
#include "qkv/ops/cross_entropy.h"
#include "qkv/task/synthetic.h"

namespace qkv {
namespace {

struct CopyMemoryData {
  Index n_symbols = 8, length = 10, delay = 100;
  template <class F>
  void fields(F& f) {
    f("n_symbols", n_symbols, "number of different symbols", rule::between(2, 1 << 16));
    f("length", length, "symbols to remember", rule::between(1, 1 << 16));
    f("delay", delay, "T: blanks between the last symbol and the first answer, a signal for it at their end",
      rule::between(1, 1 << 20));
  }
};

/// x = length symbols, delay - 1 blanks, the signal, length blanks; y = blanks, but at the last `length`
/// places the symbols. The model never sees its answers. Without memory the best answer is all symbols alike:
/// loss length ln(n_symbols) / (delay + 2 length). `answer_loss` is the loss of the answers alone.
class CopyMemory : public DrawnTask {
 public:
  explicit CopyMemory(const TaskInput& input) : DrawnTask(input) {
    table_.read(copy_);
    table_.read(data_);
    check_length(input, "delay", total());
    for (Index i = 0; i < copy_.n_symbols; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.insert(symbols_.end(), {"_", "!"});
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    const Index blank = copy_.n_symbols, signal = blank + 1;
    for (Index i = 0; i < copy_.length; i++) row.add(draw_below(stream, copy_.n_symbols), blank);
    for (Index i = 1; i < copy_.delay; i++) row.add(blank, blank);
    row.add(signal, blank);
    for (Index i = 0; i < copy_.length; i++) row.add(blank, row.ids[static_cast<std::size_t>(i)]);
  }
  bool is_answer(std::int32_t target) const override { return target >= 0 && target < copy_.n_symbols; }

  void score_logits(const Var& logits, const Batch& batch, Metrics& metrics) const override {
    DrawnTask::score_logits(logits, batch, metrics);
    CrossEntropyOptions no_blanks;
    no_blanks.ignore_index = static_cast<int>(copy_.n_symbols);
    const CrossEntropy loss = cross_entropy(logits, batch.at("targets"), no_blanks);
    metrics.add("answer_loss", loss.sum.value().item(), loss.weight);
  }
  std::vector<std::string> metrics() const override {
    return {"loss", "accuracy", "exact_match", "answer_loss"};
  }
  std::vector<std::pair<std::string, double>> facts() override {
    return {{"memoryless_loss", static_cast<double>(copy_.length) *
                                    std::log(static_cast<double>(copy_.n_symbols)) /
                                    static_cast<double>(total())}};
  }

 private:
  Index total() const { return copy_.delay + 2 * copy_.length; }
  CopyMemoryData copy_;
};

QKV_REGISTER(Task, "copy-memory", CopyMemory, "say again after a long pause what was said before it");

}  // namespace
}  // namespace qkv
