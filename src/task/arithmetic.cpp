// Adder, ModularAddition and ListOps: exact answers to sums and to nested expressions.
#include <algorithm>
#include <numeric>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"
#include "task/common.h"

namespace qkv {
namespace {

// The whole numbers of "12+34"; throws a usage error unless both are below `limit`.
std::pair<Index, Index> two_numbers(const std::string& text, Index limit) {
  std::vector<Index> numbers;
  for (const std::string& part : split(replace_all(text, " ", ""), '+')) {
    numbers.push_back(all_digits(part) && part.size() <= 18 ? std::stoll(part) : limit);
  }
  if (numbers.size() != 2 || std::max(numbers[0], numbers[1]) >= limit)
    fail(Fault::usage, "text: must be like 12+34 with numbers below {}; got {}", limit, in_quotes(text));
  return {numbers[0], numbers[1]};
}

// ---- addition of decimal numbers

/// "07+85=290" for 7 + 85 = 092: n digits, n digits, n + 1 digits of the sum. The model must say the sum's
/// digits, seeing those before. Cases: all 10^2n pairs.
class Adder : public CountedTask {
 public:
  explicit Adder(const TaskInput& input) : CountedTask(input) {
    digits_ = table_.get("digits", digits_, "digits of each summand", rule::between(1, 9));
    reverse_ = table_.get("reverse", reverse_,
                          "write the sum beginning with its last digit, as in addition by hand");
    table_.read(data_);
    for (Index i = 0; i < digits_; i++) limit_ *= 10;
    set_cases(limit_ * limit_);
    check_length(input, "digits", 3 * digits_ + 2);
    for (Index i = 0; i < 10; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.insert(symbols_.end(), {"+", "="});
  }

  void write_case(Index number, SyntheticRow& row) const override {
    const Index a = number / limit_, b = number % limit_;
    write_question(a, b, row);
    for (Index i = 0; i <= digits_; i++) {
      const Index digit = digit_of(a + b, reverse_ ? i : digits_ - i);
      row.targets.back() = std::int32_t(digit);
      if (i < digits_) row.add(digit);
    }
  }

  Question question(const std::string& text) const override {
    const auto [a, b] = two_numbers(text, limit_);
    SyntheticRow row;
    write_question(a, b, row);
    return {row.ids, int(digits_) + 1, reverse_};
  }

 private:
  static Index digit_of(Index number, Index place) {  // place 0: ones
    for (; place > 0; place--) number /= 10;
    return number % 10;
  }
  void write_question(Index a, Index b, SyntheticRow& row) const {
    for (Index i = digits_ - 1; i >= 0; i--) row.add(digit_of(a, i));
    row.add(10);
    for (Index i = digits_ - 1; i >= 0; i--) row.add(digit_of(b, i));
    row.add(11);
  }

  Index digits_ = 2, limit_ = 1;  // the summands are below the limit
  bool reverse_ = true;
};

QKV_REGISTER(Task, "adder", Adder, "sums of decimal numbers, digit by digit");

// ---- addition modulo a prime

/// "a + b =" as the tokens a, b, =; the model must say (a + b) mod p at the last. Cases: all p^2 pairs, half
/// of them to train on by default and half to validate ("grokking": Power et al. 2022).
class ModularAddition : public CountedTask {
 public:
  explicit ModularAddition(const TaskInput& input) : CountedTask(input) {
    data_.train_fraction = data_.val_fraction = 0.5;
    modulus_ = table_.get("modulus", modulus_, "the sum is taken modulo this", rule::between(2, 1 << 20));
    table_.read(data_);
    set_cases(modulus_ * modulus_);
    check_length(input, "modulus", 3);
    for (Index i = 0; i < modulus_; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.push_back("=");
  }

  void write_case(Index number, SyntheticRow& row) const override {
    const Index p = modulus_, a = number / p, b = number % p;
    row.add(a), row.add(b), row.add(p, (a + b) % p);
  }

  Question question(const std::string& text) const override {
    const auto [a, b] = two_numbers(text, modulus_);
    SyntheticRow row;
    write_case(a * modulus_ + b, row);
    return {row.ids};
  }

 private:
  Index modulus_ = 97;
};

QKV_REGISTER(Task, "modular-addition", ModularAddition, "sums modulo a number, half of them held out");

// ---- ListOps: nested maxima, minima, medians and sums of digits (Nangia and Bowman 2018)

constexpr Index kDeepest = 20, kMostArgs = 100;

struct ListOpsData {
  Index max_depth = 4, max_args = 4, min_length = 4, max_length = 32;
  double nesting = 0.3;
  void fields(FieldCollector& f) {
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

constexpr const char* kOperators[] = {"[MAX", "[MIN", "[MED", "[SM"};
constexpr Index kFirstOperator = 10, kClose = 14, kAsk = 15;

// The value of an operator, a digit. The median of an even number is the mean of the middle two, rounded
// down.
Index apply(Index op, std::vector<Index> args) {
  std::sort(args.begin(), args.end());
  const Index median = (args[(args.size() - 1) / 2] + args[args.size() / 2]) / 2,
              sum = std::accumulate(args.begin(), args.end(), Index{0}) % 10;
  const Index values[] = {args.back(), args.front(), median, sum};  // as kOperators
  return values[op];
}

// Reads one expression of `ids` from `at` on and moves past it; -1 if there is none.
Index value_of(const std::vector<std::int32_t>& ids, std::size_t& at, Index depth = 0) {
  if (at >= ids.size()) return -1;
  const Index id = ids[at++];
  if (id < 10) return id;
  if (id >= kClose || depth == kDeepest) return -1;
  std::vector<Index> args;
  while (at < ids.size() && ids[at] != kClose) {
    args.push_back(value_of(ids, at, depth + 1));
    if (args.back() < 0 || Index(args.size()) > kMostArgs) return -1;
  }
  if (at++ >= ids.size() || args.empty()) return -1;
  return apply(id - kFirstOperator, std::move(args));
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
      if (!draw_expression(stream, 1, row) || Index(row.ids.size()) < list_.min_length ||
          Index(row.ids.size()) > list_.max_length)
        continue;
      std::size_t end = 0;
      row.add(kAsk, value_of(row.ids, end));
      return;
    }
    raise(Fault::usage,
          {"data", fmt::format("must allow expressions of {} to {} tokens; got none in {} draws",
                               list_.min_length, list_.max_length, kDraws)});
  }

  Question question(const std::string& text) const override {
    Question q;
    for (const std::string& word : split_words(text)) {
      const auto found = std::find(symbols_.begin(), symbols_.end(), word);
      if (found == symbols_.end() || word == "=")
        fail(Fault::usage, "text: must consist of digits, [MAX, [MIN, [MED, [SM and ]; got {}",
             in_quotes(word));
      q.ids.push_back(std::int32_t(found - symbols_.begin()));
    }
    std::size_t end = 0;
    if (value_of(q.ids, end) < 0 || end != q.ids.size())
      fail(Fault::usage, "text: must be one whole expression, like [MAX 2 9 ], at most {} deep; got {}",
           kDeepest, in_quotes(text));
    if (Index(q.ids.size()) > list_.max_length)
      fail(Fault::usage, "text: must have at most data.max_length = {} tokens; got {}", list_.max_length,
           q.ids.size());
    q.ids.push_back(kAsk);
    return q;
  }

 private:
  // An operator with its arguments; false when it grew too long.
  bool draw_expression(Stream& stream, Index depth, SyntheticRow& row) const {
    const Index op = draw_below(stream, 4), count = 2 + draw_below(stream, list_.max_args - 1);
    row.add(kFirstOperator + op);
    for (Index i = 0; i < count; i++) {
      if (Index(row.ids.size()) >= list_.max_length) return false;
      if (depth == list_.max_depth || !stream.bernoulli(list_.nesting))
        row.add(draw_below(stream, 10));
      else if (!draw_expression(stream, depth + 1, row))
        return false;
    }
    row.add(kClose);
    return true;
  }

  ListOpsData list_;
};

QKV_REGISTER(Task, "listops", ListOps, "the value of nested maxima, minima, medians and sums modulo 10");

}  // namespace
}  // namespace qkv
