#include "copy.h"
#include "elementwise.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"

namespace qkv {
using namespace elementwise;
using copying::AxisView;
namespace {

const Op kCumsum("cumsum", [](GradSuite& g) {
  for (bool exclusive : {false, true})
    for (bool reverse : {false, true})
      for (int axis : {0, 1, -1})
        g.check("cube", {g.normal({2, 3, 4})},
                [=](const Vars& in) { return cumsum(in[0], axis, exclusive, reverse) + in[0]; });
  g.check("size 1", {g.normal({1})}, [=](const Vars& in) { return cumsum(in[0], 0); });
});

Tensor running_sum(const Tensor& x, const AxisView& view, bool exclusive, bool reverse) {
  Tensor y = Tensor::result(x.shape(), x);
  if (y.is_symbolic()) return y;
  const Index outer = view.outer, n = view.n, inner = view.inner;
  Tensor carry = Tensor::empty({inner}, Dtype::f64);
  double* total = carry.data<double>();
  dispatch("cumsum", x.dtype(), [&](auto t) {
    using T = decltype(t);
    for (Index i = 0; i < outer; i++) {
      carry.fill(0);
      for (Index k = 0; k < n; k++) {
        const Index at = (i * n + (reverse ? n - 1 - k : k)) * inner;
        const T* in = x.data<T>() + at;
        T* out = y.data<T>() + at;
        for (Index j = 0; j < inner; j++) {
          const double before = total[j];
          total[j] += double(in[j]);
          out[j] = T(exclusive ? before : total[j]);
        }
      }
    }
  });
  return y;
}

}  // namespace

Var cumsum(const Var& x, int axis, bool exclusive, bool reverse) {
  check_dtype("cumsum", x);
  const AxisView view("cumsum", x.shape(), axis);
  return record(kCumsum, {x}, running_sum(x.value(), view, exclusive, reverse),
                [=](const Tensor& dy, Sink& dx) { dx.add(0, running_sum(dy, view, exclusive, !reverse)); });
}

}  // namespace qkv
