#include <chrono>

#include "claims/claim.h"
#include "measures.h"
#include "qkv/ops/linear.h"

namespace qkv {
namespace {

template <class F>
double seconds_of(F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct OneProduct : Claim {
  void measure(Evidence& e) const override {
    constexpr Index words = 512, d = 256;
    const Tensor x = e.normal("words", {words, d}, Dtype::f32), W = e.normal("W_Q", {d, d}, Dtype::f32);
    Tensor at_once, by_word = Tensor::empty({words, d});
    // The best of some rounds: other programs only ever make it slower.
    double once = 1e9, loop = 1e9;
    for (int round = 0; round < 15; round++) {
      once = std::min(once, seconds_of([&] { at_once = linear(x, W).value(); }));
      loop = std::min(loop, seconds_of([&] {
                        for (Index t = 0; t < words; t++)
                          by_word.rows(t, 1).copy_from(linear(x.rows(t, 1), W).value());
                      }));
    }
    e.at_most("largest difference, relative to the typical element",
              largest_difference(at_once, by_word) / (length_of(at_once) / std::sqrt(1.0 * words * d)), 1e-5);
    e.at_least("time of 512 products, one per word / time of one for all", loop / once, 1.5);
  }
};

QKV_REGISTER(Claim, "one-product", OneProduct,
             "one matrix product computes the queries of all words at once: the same numbers, faster");

}  // namespace
}  // namespace qkv
