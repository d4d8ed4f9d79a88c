// Induction: "... A B ... A" goes on with B (Elhage et al. 2021; Olsson et al. 2022).
#include <cmath>
#include <tuple>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"
#include "task/common.h"

namespace qkv {
namespace {

struct InductionData {
  Index n_symbols = 32, length = 32, min_period = 4, max_period = 16;
  template <class F>
  void fields(F& f) {
    f("n_symbols", n_symbols, "number of different symbols", rule::between(2, 1 << 20));
    f("length", length, "tokens of a sequence", rule::between(2, 1 << 20));
    f("min_period", min_period, "fewest symbols before they repeat", rule::between(1, 1 << 20));
    f("max_period", max_period, "most symbols before they repeat", rule::between(1, 1 << 20));
  }
};

/// A random list of different symbols, over and over. Its period is drawn for each sequence, so that no
/// distance can be learned by heart. Where a symbol has come before, the model must say what followed it
/// then: look for the symbol's earlier place, and one further. Loss without memory: ln(n_symbols).
class Induction : public DrawnTask {
 public:
  explicit Induction(const TaskInput& input) : DrawnTask(input) {
    table_.read(induction_);
    table_.read(data_);
    const auto [n, length, low, high] =
        std::tuple(induction_.n_symbols, induction_.length, induction_.min_period, induction_.max_period);
    check_at_most(table_, "min_period", low, "max_period", high);
    check_at_most(table_, "max_period", high, "n_symbols", n);
    if (high >= length)
      table_.report("max_period", fmt::format("must be less than length = {}; got {}", length, high));
    check_length(input, "length", length);
    for (Index i = 0; i < n; i++) symbols_.push_back(fmt::format("s{}", i));
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    thread_local std::vector<Index> list;
    const Index period =
        induction_.min_period + draw_below(stream, induction_.max_period - induction_.min_period + 1);
    draw_distinct(stream, induction_.n_symbols, period, list);
    for (Index t = 0; t < induction_.length; t++)
      row.add(list[static_cast<std::size_t>(t % period)],
              t < period ? SyntheticRow::kNoTarget : list[static_cast<std::size_t>((t + 1) % period)]);
  }
  std::vector<std::pair<std::string, double>> facts() override {
    return {{"memoryless_loss", std::log(static_cast<double>(induction_.n_symbols))}};
  }

 private:
  InductionData induction_;
};

QKV_REGISTER(Task, "induction", Induction, "go on with what followed the same symbol before");

}  // namespace
}  // namespace qkv
