// KneserNey: n-gram models of token sequences, to compare other models with.
#pragma once
#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace qkv {

/// Interpolated modified Kneser-Ney models of the orders 1 to kOrder (Chen and Goodman 1998, section 3),
/// counted in one pass. With counts c of n-grams, the model of order n is
///
///     p_n(w | h) = max(0, c(h w) - D(c(h w))) / sum_v c(h v) + g(h) q(w | h without its first token)
///
/// where q is the same of the lower orders, with the number of different tokens before an n-gram as its
/// count, and 1 / vocab_size below order 1; g makes the sum 1. D(1), D(2) and D(3 or more) follow from how
/// many n-grams of an order have the counts 1 to 4; 0.75 where that divides by zero or is not in (0, count].
/// A history that does not occur is shortened; one at the beginning of a sequence is short.
class KneserNey {
 public:
  static constexpr int kOrder = 5;
  explicit KneserNey(std::int64_t vocab_size) : vocab_size_(vocab_size) {
    orders_[0].grams.resize(static_cast<std::size_t>(vocab_size));
  }
  /// Counts the n-grams of a sequence that end at `first` or behind it.
  void add(const std::vector<std::int32_t>& ids, std::size_t first = 0);
  /// After the last `add`, before the first `score`.
  void finish();

  using Nats = std::array<double, kOrder>;
  /// -ln p of ids[t] after the tokens before it, by the model of each order.
  Nats score(const std::vector<std::int32_t>& ids, std::size_t t) const;
  std::int64_t tokens() const { return tokens_; }  ///< counted
  std::uint32_t count(std::int32_t id) const {
    return orders_[0].grams[static_cast<std::size_t>(id)].count[0];
  }

 private:
  struct Gram {
    std::array<std::uint32_t, 2> count{};  // of occurrences, and of different tokens before it
    std::uint32_t history = 0;             // the number of its first n - 1 tokens
  };
  struct Follow {  // what follows a history: the sum of the counts, and how many are 1, 2 and more
    double sum = 0;
    std::array<double, 3> types{};
  };
  struct Counts {
    std::array<double, 4> discount{0, 0.75, 0.75, 0.75};  // of a count of 0, 1, 2, 3 or more
    std::vector<Follow> follow;                           // by history
  };
  // The n-grams of an order are numbered as they come, and found by last n - 1 tokens (their number) and
  // first.
  struct Order {
    std::vector<Gram> grams;
    std::unordered_map<std::uint64_t, std::uint32_t> numbers;
    std::array<Counts, 2> kinds;
  };
  void finish(std::size_t order, std::size_t kind);
  double p(std::size_t order, std::size_t kind, std::uint32_t gram, std::uint32_t history,
           double lower) const;

  std::int64_t vocab_size_, tokens_ = 0;
  std::array<Order, kOrder> orders_;
};

}  // namespace qkv
