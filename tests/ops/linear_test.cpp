#include "qkv/ops/matmul.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "qkv/base/random.h"
#include "qkv/base/threads.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Largest difference from the sum in f64, in multiples of sqrt(in).
double error(const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Index in = weight.dim(1), out = weight.dim(0);
  double worst = 0;
  for (Index r = 0; r < y.size() / out; r++)
    for (Index o = 0; o < out; o++) {
      double expected = bias.defined() ? bias.at(o) : 0;
      for (Index i = 0; i < in; i++) expected += x.at(r * in + i) * weight.at(o * in + i);
      worst = std::max(worst, std::abs(y.at(r * out + o) - expected));
    }
  return worst / std::sqrt(static_cast<double>(in));
}

struct Threads {
  ~Threads() { set_threads(0); }
};

}  // namespace

TEST_CASE("few rows by a large weight, whose rows go over the pool: right values, the same for any threads") {
  const Threads restore;
  for (const Dtype dtype : {Dtype::f32, Dtype::f64})
    for (const auto& [out, in] : {std::pair<Index, Index>{1001, 131}, {37, 4099}, {140000, 1}, {5, 40000}})
      for (const Index rows : {1, 2, 3, 8, 9}) {
        if (rows > 2 && out * in > 150000) continue;  // the reference is slow
        CAPTURE(rows);
        CAPTURE(out);
        const Tensor x = normal({rows, in}, dtype, 1), weight = normal({out, in}, dtype, 2),
                     bias = normal({out}, dtype, 3);
        set_threads(1);
        const Tensor one = linear(x, weight, bias).value();
        CHECK(error(one, x, weight, bias) < (dtype == Dtype::f32 ? 3e-6 : 5e-14));
        CHECK(error(linear(x, weight, Var()).value(), x, weight, {}) < (dtype == Dtype::f32 ? 3e-6 : 5e-14));
        set_threads(3);
        CHECK(same_bits(linear(x, weight, bias).value(), one));
        Tensor inside;  // of a task of the pool
        pool().run(2, [&](int task, int) {
          if (task == 0) inside = linear(x, weight, bias).value();
        });
        CHECK(same_bits(inside, one));
      }
}
