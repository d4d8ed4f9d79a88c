// AssociativeRecall: which value belongs to this key? (Graves et al. 2014; Ba et al. 2016)
#include <cmath>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"
#include "task/common.h"

namespace qkv {
namespace {

struct RecallData {
  Index n_keys = 16, n_values = 16, pairs = 4, queries = 1, gap = 0;
  template <class F>
  void fields(F& f) {
    f("n_keys", n_keys, "number of different keys", rule::between(1, 1 << 20));
    f("n_values", n_values, "number of different values", rule::between(2, 1 << 20));
    f("pairs", pairs, "keys with a value in a sequence", rule::between(1, 1 << 16));
    f("queries", queries, "keys asked for", rule::between(1, 1 << 16));
    f("gap", gap, "blanks between the last pair and the first query", rule::between(0, 1 << 20));
  }
};

/// k1 v1 k2 v2 .. kn vn, `gap` blanks, then queries: some of the keys, none twice, at each of which the model
/// must say its value. Loss without memory: ln(n_values).
class AssociativeRecall : public DrawnTask {
 public:
  explicit AssociativeRecall(const TaskInput& input) : DrawnTask(input) {
    table_.read(recall_);
    table_.read(data_);
    check_at_most(table_, "pairs", recall_.pairs, "n_keys", recall_.n_keys);
    check_at_most(table_, "queries", recall_.queries, "pairs", recall_.pairs);
    check_length(input, recall_.gap > 0 ? "gap" : "pairs", 2 * recall_.pairs + recall_.gap + recall_.queries);
    for (Index i = 0; i < recall_.n_keys; i++) symbols_.push_back(fmt::format("k{}", i));
    for (Index i = 0; i < recall_.n_values; i++) symbols_.push_back(fmt::format("v{}", i));
    symbols_.push_back("_");
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    thread_local std::vector<Index> keys, order;
    draw_distinct(stream, recall_.n_keys, recall_.pairs, keys);
    for (Index i = 0; i < recall_.pairs; i++) {
      const auto value = draw_below(stream, recall_.n_values);
      row.add(keys[static_cast<std::size_t>(i)]);
      row.add(recall_.n_keys + value);
    }
    for (Index i = 0; i < recall_.gap; i++) row.add(recall_.n_keys + recall_.n_values);
    draw_distinct(stream, recall_.pairs, recall_.queries, order);
    for (Index i = 0; i < recall_.queries; i++) {
      const auto place = 2 * static_cast<std::size_t>(order[static_cast<std::size_t>(i)]);
      row.add(row.ids[place], row.ids[place + 1]);
    }
  }
  std::vector<std::pair<std::string, double>> facts() override {
    return {{"memoryless_loss", std::log(static_cast<double>(recall_.n_values))}};
  }

 private:
  RecallData recall_;
};

QKV_REGISTER(Task, "associative-recall", AssociativeRecall, "say the value that a key had before");

}  // namespace
}  // namespace qkv
