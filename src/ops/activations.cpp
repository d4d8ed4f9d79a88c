#include "qkv/ops/activations.h"

#include "autograd/trace.h"
#include "elementwise.h"
#include "qkv/ops/arithmetic.h"

namespace qkv {
using namespace elementwise;
namespace {

// 2u = kGeluA (x + kGeluB x^3) is the argument of GELU's tanh, doubled.
constexpr double kGeluA = 2 * M_2_SQRTPI * M_SQRT1_2, kGeluB = 0.044715;

const Op kExp("exp", [](GradSuite& g) { check_unary(g, exp); });
const Op kLog("log", [](GradSuite& g) { check_unary(g, log, 0.5, 3.0); });
const Op kSqrt("sqrt", [](GradSuite& g) { check_unary(g, sqrt, 0.5, 3.0); });
const Op kTanh("tanh", [](GradSuite& g) { check_unary(g, tanh); });
const Op kErf("erf", [](GradSuite& g) { check_unary(g, erf); });
const Op kSigmoid("sigmoid", [](GradSuite& g) { check_unary(g, sigmoid); });
const Op kRelu("relu", [](GradSuite& g) { check_unary(g, relu); });
const Op kReluSquared("relu_squared", [](GradSuite& g) {
  check_unary(g, relu_squared, -2, 2, [](const Vars& in) { return square(relu(in[0])); });
});
const Op kSoftcap("softcap", [](GradSuite& g) {
  check_unary(
      g, [](const Var& x) { return softcap(x, 1.5); }, -4, 4,
      [](const Vars& in) { return 1.5 * tanh(in[0] / 1.5); });
});
const Op kLeakyRelu("leaky_relu",
                    [](GradSuite& g) { check_unary(g, [](const Var& x) { return leaky_relu(x, 0.2); }); });
const Op kElu("elu", [](GradSuite& g) { check_unary(g, [](const Var& x) { return elu(x, 1.5); }); });
const Op kSoftplus("softplus", [](GradSuite& g) { check_unary(g, softplus); });
const Op kGelu("gelu", [](GradSuite& g) {
  check_unary(
      g, [](const Var& x) { return gelu(x, GeluForm::erf); }, -2, 2,
      [](const Vars& in) { return in[0] * (1.0 + erf(in[0] * M_SQRT1_2)) * 0.5; });
  check_unary(
      g, [](const Var& x) { return gelu(x, GeluForm::tanh); }, -2, 2,
      [](const Vars& in) {
        const Var u = (in[0] + in[0] * in[0] * in[0] * kGeluB) * (kGeluA / 2);
        return in[0] * (1.0 + tanh(u)) * 0.5;
      });
});
const Op kSilu("silu", [](GradSuite& g) {
  check_unary(g, [](const Var& x) { return silu(x); });
  check_unary(
      g, [](const Var& x) { return silu(x, 1.7); }, -2, 2,
      [](const Vars& in) { return in[0] * sigmoid(in[0] * 1.7); });
});
const Op kSwiglu("swiglu", [](GradSuite& g) {
  for (double alpha : {1.0, 1.7}) {
    auto f = [alpha](const Vars& in) {
      return swiglu(in[0], in[1], alpha);
    };
    auto composed = [alpha](const Vars& in) {
      return silu(in[0], alpha) * in[1];
    };
    g.check("matrix", {g.normal({3, 7}), g.normal({3, 7})}, f, composed);
    g.check("size 1", {g.normal({1}), g.normal({1})}, f);
  }
});

Var dropout_with(const Stream& stream, const Var& x, double p);

// The row fixes the stream, so that every evaluation sees the same mask.
const Op kDropout("dropout", [](GradSuite& g) {
  auto check = [&](const char* label, const Shape& shape, double p) {
    g.check(label, {g.normal(shape)},
            [=](const Vars& in) { return dropout_with(Stream(7, "gradcheck"), in[0], p); });
  };
  check("half", {3, 5}, 0.5);
  check("few", {4, 16}, 0.1);
  check("most", {2, 9}, 0.9);
  check("size 1", {1}, 0.5);
});

// y = x m / (1 - p), m = 0 with probability p, else 1; dx = dy m / (1 - p). Reading the mask back costs less
// than drawing it again.
Var dropout_with(const Stream& stream, const Var& x, double p) {
  Tensor y = Tensor::result(x.shape(), x.value());
  if (y.is_symbolic()) return y;
  Tensor mask = Tensor::empty(x.shape(), x.dtype());
  dispatch("dropout", x.dtype(), [&](auto t) {
    using T = decltype(t);
    keep_mask(stream, 0, T(p), mask.data<T>(), std::size_t(mask.size()), T(1 / (1 - p)));
    simd::apply(mask.size(), y.data<T>(), x.value().data<T>(), mask.data<T>(),
                [](auto v, auto m) { return v * m; });
  });
  return record(kDropout, {x}, y, [mask](const Tensor& dy, Sink& dx) {
    add_gradient(
        dx, 0, [](auto g, auto m) { return g * m; }, dy, mask);
  });
}

}  // namespace

Var exp(const Var& x) {
  return of_output(
      kExp, x, [](auto v) { return simd::exp(v); }, [](auto g, auto y) { return g * y; });
}

Var log(const Var& x) {
  return of_input(
      kLog, x, [](auto v) { return xsimd::log(v); }, [](auto g, auto v) { return g / v; });
}

Var sqrt(const Var& x) {
  return of_output(
      kSqrt, x, [](auto v) { return xsimd::sqrt(v); }, [](auto g, auto y) { return g * lanes(y, 0.5) / y; });
}

Var tanh(const Var& x) {
  return of_output(
      kTanh, x, [](auto v) { return simd::tanh(v); }, [](auto g, auto y) { return g - g * y * y; });
}

Var erf(const Var& x) {
  return of_input(
      kErf, x, [](auto v) { return simd::erf(v); },
      [](auto g, auto v) { return g * lanes(v, M_2_SQRTPI) * simd::exp(-v * v); });
}

Var sigmoid(const Var& x) {
  return of_output(
      kSigmoid, x, [](auto v) { return simd::logistic(v); },
      [](auto g, auto y) { return g * y * (lanes(y, 1) - y); });
}

Var relu(const Var& x) {
  return of_output(  // the second operand of max comes out where one is nan
      kRelu, x, [](auto v) { return xsimd::max(lanes(v, 0), v); },
      [](auto g, auto y) { return xsimd::select(y > lanes(y, 0), g, lanes(y, 0)); });
}

Var relu_squared(const Var& x) {
  return of_input(
      kReluSquared, x,
      [](auto v) {
        const auto r = xsimd::max(lanes(v, 0), v);
        return r * r;
      },
      [](auto g, auto v) { return g * lanes(v, 2) * xsimd::max(lanes(v, 0), v); });
}

Var softcap(const Var& x, double cap) {
  QKV_CHECK(cap > 0, "softcap: cap must be positive; got {}", cap);
  Note()("cap", cap);
  return of_output(
      kSoftcap, x, [=](auto v) { return lanes(v, cap) * simd::tanh(v / lanes(v, cap)); },
      [=](auto g, auto y) {
        const auto u = y / lanes(y, cap);
        return g - g * u * u;
      });
}

Var leaky_relu(const Var& x, double slope) {
  Note()("slope", slope);
  return of_input(
      kLeakyRelu, x, [=](auto v) { return xsimd::select(v > lanes(v, 0), v, v * lanes(v, slope)); },
      [=](auto g, auto v) { return xsimd::select(v > lanes(v, 0), g, g * lanes(v, slope)); });
}

Var elu(const Var& x, double alpha) {
  Note()("alpha", alpha);
  return of_input(
      kElu, x, [=](auto v) { return xsimd::select(v > lanes(v, 0), v, lanes(v, alpha) * xsimd::expm1(v)); },
      [=](auto g, auto v) { return xsimd::select(v > lanes(v, 0), g, g * lanes(v, alpha) * simd::exp(v)); });
}

Var softplus(const Var& x) {
  // max(x, 0) + log(1 + exp(-|x|))
  return of_input(
      kSoftplus, x,
      [](auto v) { return xsimd::max(v, lanes(v, 0)) + xsimd::log1p(simd::exp(-xsimd::abs(v))); },
      [](auto g, auto v) { return g * simd::logistic(v); });
}

Var gelu(const Var& x, GeluForm form) {
  Note()("tanh", form == GeluForm::tanh);
  if (form == GeluForm::erf)  // x Phi, Phi + x phi
    return with_derivative(kGelu, x, [](auto v) {
      const auto half = lanes(v, 0.5), Phi = xsimd::fma(half, simd::erf(v * lanes(v, M_SQRT1_2)), half);
      const auto phi = lanes(v, 0.5 * M_2_SQRTPI * M_SQRT1_2) * simd::exp(v * v * lanes(v, -0.5));
      return std::make_pair(v * Phi, xsimd::fma(v, phi, Phi));
    });
  // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2u)) = s: one exp instead of a tanh, and no cancellation for small
  // results. 2u = x (a + a b x^2), so the derivative is s + x s (1 - s) (a + 3 a b x^2)
  return with_derivative(kGelu, x, [](auto v) {
    const auto a = lanes(v, kGeluA), square = v * v;
    const auto s = simd::logistic(v * xsimd::fma(lanes(v, kGeluA * kGeluB), square, a));
    const auto y = v * s, slope = xsimd::fma(lanes(v, 3 * kGeluA * kGeluB), square, a);
    return std::make_pair(y, xsimd::fma(y * (lanes(v, 1) - s), slope, s));
  });
}

Var silu(const Var& x, double alpha) {
  Note()("alpha", alpha);
  // x s, s (1 + alpha x (1 - s))
  return with_derivative(kSilu, x, [=](auto v) {
    const auto one = lanes(v, 1), u = lanes(v, alpha) * v, s = simd::logistic(u);
    return std::make_pair(v * s, s * xsimd::fma(u, one - s, one));
  });
}

Var swiglu(const Var& gate, const Var& up, double alpha) {
  check_dtype("swiglu", gate);
  QKV_CHECK(gate.shape() == up.shape() && gate.dtype() == up.dtype(),
            "swiglu: shapes must agree; got gate {} {}, up {} {}", gate.dtype(), gate.shape(), up.dtype(),
            up.shape());
  Tensor y = zip([=](auto v, auto u) { return u * v * simd::logistic(lanes(v, alpha) * v); }, gate.value(),
                 up.value());
  Note()("alpha", alpha);
  return record(kSwiglu, {gate, up}, y, [=, vg = gate.value(), vu = up.value()](const Tensor& dy, Sink& dx) {
    if (dx.needs(0))
      dx.add(0, zip(
                    [=](auto g, auto v, auto u) {
                      const auto s = simd::logistic(lanes(v, alpha) * v);
                      return g * u * s * (lanes(v, 1) + lanes(v, alpha) * v * (lanes(v, 1) - s));
                    },
                    dy, vg, vu));
    if (dx.needs(1))
      dx.add(1, zip([=](auto g, auto v) { return g * v * simd::logistic(lanes(v, alpha) * v); }, dy, vg));
  });
}

Var dropout(const Var& x, double p) {
  QKV_CHECK(p >= 0 && p < 1, "dropout: p must be in [0, 1); got {}", p);
  Tape* tape = Tape::current();
  const Stream* stream = p > 0 && tape ? tape->next_stream() : nullptr;
  return stream ? dropout_with(*stream, x, p) : x;
}

}  // namespace qkv
