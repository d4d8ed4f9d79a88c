// ListOps: nested maxima, minima, medians and sums of digits (Nangia and Bowman 2018).
#include <algorithm>
#include <array>
#include <numeric>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"
#include "task/common.h"

namespace qkv {
namespace {

constexpr Index kDeepest = 20, kMostArgs = 100;

struct ListOpsData {
  Index max_depth = 4, max_args = 4, min_length = 4, max_length = 32;
  double nesting = 0.3;
  template <class F>
  void fields(F& f) {
    f("max_depth", max_depth, "deepest nesting", rule::between(1, kDeepest));
    f("max_args", max_args, "largest number of arguments of an operator; the smallest is 2",
      rule::between(2, kMostArgs));
    f("min_length", min_length, "smallest number of tokens of an expression, with brackets",
      rule::between(4, 1 << 16));
    f("max_length", max_length, "largest number of tokens of an expression, with brackets",
      rule::between(4, 1 << 16));
    f("nesting", nesting, "probability that an argument is itself an expression", rule::between(0, 0.95));
  }
};

enum class Operator { max, min, med, sm };
constexpr const char* kOperators[] = {"[MAX", "[MIN", "[MED", "[SM"};
constexpr Index kFirstOperator = 10, kClose = 14, kAsk = 15;

// The arguments of an operator.
struct Args {
  std::array<Index, kMostArgs> values;
  std::size_t n = 0;
};

// The value, a digit. The median of an even number is the mean of the middle two, rounded down.
Index apply(Operator op, Args& args) {
  const auto begin = args.values.begin(), end = begin + static_cast<std::ptrdiff_t>(args.n);
  std::sort(begin, end);
  switch (op) {
    case Operator::max:
      return *(end - 1);
    case Operator::min:
      return *begin;
    case Operator::med:
      return (args.values[(args.n - 1) / 2] + args.values[args.n / 2]) / 2;
    case Operator::sm:
      break;
  }
  return std::accumulate(begin, end, Index{0}) % 10;  // sum modulo 10
}

// Reads one expression of `ids` from `at` on and moves past it; -1 if there is none.
Index value_of(const std::vector<std::int32_t>& ids, std::size_t& at, Index depth = 0) {
  if (at >= ids.size()) return -1;
  const Index id = ids[at++];
  if (id < 10) return id;
  if (id >= kClose || depth == kDeepest) return -1;
  Args args;
  while (at < ids.size() && ids[at] != kClose) {
    const Index value = value_of(ids, at, depth + 1);
    if (value < 0 || args.n == args.values.size()) return -1;
    args.values[args.n++] = value;
  }
  if (at++ >= ids.size() || args.n == 0) return -1;
  return apply(static_cast<Operator>(id - kFirstOperator), args);
}

/// "[MAX 2 9 [MIN 4 7 ] 0 ] =": the model must say the value, 9, at the last token.
class ListOps : public DrawnTask {
 public:
  explicit ListOps(const TaskInput& input) : DrawnTask(input) {
    table_.read(list_);
    table_.read(data_);
    check_at_most(table_, "min_length", list_.min_length, "max_length", list_.max_length);
    check_length(input, "max_length", list_.max_length + 1);
    for (Index i = 0; i < 10; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.insert(symbols_.end(), std::begin(kOperators), std::end(kOperators));
    symbols_.insert(symbols_.end(), {"]", "="});
    uniform_ = false;
  }

  void draw(Stream& stream, SyntheticRow& row) const override {
    constexpr int kDraws = 1000;
    for (int i = 0; i < kDraws; i++) {
      row.clear();
      const Index value = draw_expression(stream, 1, row);
      const auto size = static_cast<Index>(row.ids.size());
      if (value < 0 || size < list_.min_length || size > list_.max_length) continue;
      row.add(kAsk, value);
      return;
    }
    raise(Fault::usage,
          {"data", fmt::format("must allow expressions of {} to {} tokens; got none in {} draws",
                               list_.min_length, list_.max_length, kDraws)});
  }

  Question question(const std::string& text) const override {
    Question q;
    for (const std::string& word : split(text, ' ')) {
      if (word.empty()) continue;
      const auto found = std::find(symbols_.begin(), symbols_.end(), word);
      if (found == symbols_.end() || word == "=")
        fail(Fault::usage, "predict: the words must be digits, [MAX, [MIN, [MED, [SM and ]; got {}",
             in_quotes(word));
      q.ids.push_back(static_cast<std::int32_t>(found - symbols_.begin()));
    }
    std::size_t end = 0;
    if (value_of(q.ids, end) < 0 || end != q.ids.size())
      fail(Fault::usage,
           "predict: the text must be one whole expression, like [MAX 2 9 ], at most {} deep; got {}",
           kDeepest, in_quotes(text));
    if (static_cast<Index>(q.ids.size()) > list_.max_length)
      fail(Fault::usage, "predict: the text must have at most data.max_length = {} tokens; got {}",
           list_.max_length, q.ids.size());
    q.ids.push_back(kAsk);
    return q;
  }

 private:
  // An operator with its arguments; its value, or -1 when it grew too long.
  Index draw_expression(Stream& stream, Index depth, SyntheticRow& row) const {
    const Index op = draw_below(stream, 4), count = 2 + draw_below(stream, list_.max_args - 1);
    row.add(kFirstOperator + op);
    Args args;
    for (Index i = 0; i < count; i++) {
      if (static_cast<Index>(row.ids.size()) >= list_.max_length) return -1;
      Index value;
      if (depth < list_.max_depth && stream.bernoulli(list_.nesting)) {
        value = draw_expression(stream, depth + 1, row);
        if (value < 0) return -1;
      } else {
        value = draw_below(stream, 10);
        row.add(value);
      }
      args.values[args.n++] = value;
    }
    row.add(kClose);
    return apply(static_cast<Operator>(op), args);
  }

  ListOpsData list_;
};

QKV_REGISTER(Task, "listops", ListOps, "the value of nested maxima, minima, medians and sums modulo 10");

}  // namespace
}  // namespace qkv
