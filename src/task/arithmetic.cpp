// Adder and ModularAddition: sums as token sequences, all of them known, some held out.
#include <cmath>

#include "qkv/base/text.h"
#include "qkv/task/synthetic.h"

namespace qkv {
namespace {

// The whole numbers of "12<sign>34"; throws a usage error with `form` unless both are below `limit`.
std::pair<Index, Index> two_numbers(const std::string& text, char sign, Index limit,
                                    const std::string& form) {
  std::pair<Index, Index> result{0, 0};
  const std::vector<std::string> parts = split(text, sign);
  bool good = parts.size() == 2;
  for (std::size_t i = 0; good && i < 2; i++) {
    std::string digits;
    for (char c : parts[i])
      if (c != ' ') digits += c;
    good = all_digits(digits) && digits.size() <= 18;
    if (!good) break;
    const auto value = static_cast<Index>(std::stoll(digits));
    (i == 0 ? result.first : result.second) = value;
    good = value < limit;
  }
  if (!good)
    fail(Fault::usage, "predict: the question must be {} with numbers below {}; got {}", form, limit,
         in_quotes(text));
  return result;
}

// ---- addition of decimal numbers

struct AdderData {
  Index digits = 2;
  bool reverse = true;
  template <class F>
  void fields(F& f) {
    f("digits", digits, "digits of each summand", rule::between(1, 9));
    f("reverse", reverse, "write the sum beginning with its last digit, as in addition by hand");
  }
};

/// "07+85=290" for 7 + 85 = 092: n digits, n digits, n + 1 digits of the sum. The model must say the sum's
/// digits, seeing those before. Cases: all 10^2n pairs.
class Adder : public CountedTask {
 public:
  explicit Adder(const TaskInput& input) : CountedTask(input) {
    table_.read(adder_);
    table_.read(data_);
    limit_ = 1;
    for (Index i = 0; i < adder_.digits; i++) limit_ *= 10;
    set_cases(limit_ * limit_);
    check_length(input, "digits", 3 * adder_.digits + 2);
    for (Index i = 0; i < 10; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.insert(symbols_.end(), {"+", "="});
  }

  void write_case(Index number, SyntheticRow& row) const override {
    const Index a = number / limit_, b = number % limit_;
    write_question(a, b, row);
    for (Index i = 0; i <= adder_.digits; i++) {
      const Index digit = digit_of(a + b, adder_.reverse ? i : adder_.digits - i);
      row.targets.back() = static_cast<std::int32_t>(digit);
      if (i < adder_.digits) row.add(digit);
    }
  }

  Question question(const std::string& text) const override {
    const auto [a, b] = two_numbers(text, '+', limit_, "like 12+34");
    SyntheticRow row;
    write_question(a, b, row);
    return {row.ids, static_cast<int>(adder_.digits) + 1, adder_.reverse};
  }

 private:
  static Index digit_of(Index number, Index place) {  // place 0: ones
    for (; place > 0; place--) number /= 10;
    return number % 10;
  }
  void write_question(Index a, Index b, SyntheticRow& row) const {
    for (Index i = adder_.digits - 1; i >= 0; i--) row.add(digit_of(a, i));
    row.add(10);
    for (Index i = adder_.digits - 1; i >= 0; i--) row.add(digit_of(b, i));
    row.add(11);
  }

  AdderData adder_;
  Index limit_;
};

QKV_REGISTER(Task, "adder", Adder, "sums of decimal numbers, digit by digit");

// ---- addition modulo a prime

struct ModularData {
  Index modulus = 97;
  template <class F>
  void fields(F& f) {
    f("modulus", modulus, "the sum is taken modulo this", rule::between(2, 1 << 20));
  }
};

/// "a + b =" as the tokens a, b, =; the model must say (a + b) mod p at the last. Cases: all p^2 pairs, half
/// of them to train on by default and half to validate ("grokking": Power et al. 2022).
class ModularAddition : public CountedTask {
 public:
  explicit ModularAddition(const TaskInput& input) : CountedTask(input) {
    data_.train_fraction = data_.val_fraction = 0.5;
    table_.read(modular_);
    table_.read(data_);
    set_cases(modular_.modulus * modular_.modulus);
    check_length(input, "modulus", 3);
    for (Index i = 0; i < modular_.modulus; i++) symbols_.push_back(fmt::format("{}", i));
    symbols_.push_back("=");
  }

  void write_case(Index number, SyntheticRow& row) const override {
    const Index p = modular_.modulus, a = number / p, b = number % p;
    row.add(a), row.add(b), row.add(p, (a + b) % p);
  }

  Question question(const std::string& text) const override {
    const auto [a, b] = two_numbers(text, '+', modular_.modulus, "like 12+34");
    SyntheticRow row;
    write_case(a * modular_.modulus + b, row);
    return {row.ids};
  }

 private:
  ModularData modular_;
};

QKV_REGISTER(Task, "modular-addition", ModularAddition, "sums modulo a number, half of them held out");

}  // namespace
}  // namespace qkv
