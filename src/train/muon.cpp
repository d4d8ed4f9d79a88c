// Muon: steps along the momentum whose singular values are all made 1 (Jordan et al. 2024, "Muon: an
// optimizer for hidden layers in neural networks").
#include <algorithm>
#include <cmath>

#include "ops/optimizer_kernels.h"
#include "qkv/ops/shape_ops.h"
#include "qkv/tensor/simd.h"
#include "qkv/train/optimizer.h"
#include "tensor/gemm.h"

namespace qkv {
namespace {

// How the rate is scaled for matrices that are not square; the names are those of torch.optim.Muon.
enum class AdjustLr { original, match_rms_adamw, spectral_unclamped };
std::vector<std::string> names_of(AdjustLr) {
  return {"original", "match_rms_adamw", "spectral_unclamped"};
}

struct MuonConfig {
  double momentum = 0.95, weight_decay = 0.0;
  bool nesterov = true, per_head = false;
  std::int64_t ns_steps = 5;
  AdjustLr adjust_lr = AdjustLr::original;
  void fields(FieldCollector& f) {
    f("momentum", momentum, "decay rate of the momentum", rule::between(0.0, 0.999999));
    f("nesterov", nesterov, "look ahead along the momentum");
    f("weight_decay", weight_decay, "decay of the weights per unit of learning rate", rule::non_negative);
    f("ns_steps", ns_steps, "Newton-Schulz iterations", rule::between(1, 20));
    f("adjust_lr", adjust_lr,
      "rate of a matrix of m rows and n columns: original = lr sqrt(max(1, m / n)); match_rms_adamw = "
      "0.2 lr sqrt(max(m, n)), whose steps are as long as AdamW's (Liu et al. 2025); spectral_unclamped = "
      "lr sqrt(m / n)");
    f("per_head", per_head, "treat the rows of each attention head of W_Q, W_K and W_V as a matrix");
  }
};

// x [m, n], m <= n, becomes nearly U V^T of its singular value decomposition: five steps of the polynomial
// a s + b s^3 + c s^5 bring every singular value s into about [0.7, 1.2].
template <class T>
void newton_schulz(Tensor& x, std::int64_t steps) {
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315;
  const Index m = x.dim(0), n = x.dim(1);
  const double norm = std::sqrt(sum_of_squares(x.data<T>(), x.size()));
  const simd::Batch<T> scale(T(1 / std::max(norm, 1e-7)));
  simd::apply(x.size(), x.data<T>(), [&](auto v) { return v * scale; });
  Tensor gram = Tensor::empty({m, m}, x.dtype()), factor = Tensor::empty({m, m}, x.dtype()),
         next = Tensor::empty({m, n}, x.dtype());
  for (std::int64_t i = 0; i < steps; i++) {
    T *a = gram.data<T>(), *b = factor.data<T>();
    gemm<T>(Trans::no, Trans::yes, m, m, n, 1, x.data<T>(), n, x.data<T>(), n, 0, a, m);  // A = X X^T
    factor.copy_from(gram);
    gemm<T>(Trans::no, Trans::no, m, m, m, T(kC), a, m, a, m, T(kB), b, m);  // B = b A + c A^2
    next.copy_from(x);
    T* to = next.data<T>();
    gemm<T>(Trans::no, Trans::no, m, n, m, 1, b, m, x.data<T>(), n, T(kA), to, n);  // X = a X + B X
    std::swap(x, next);
  }
}

struct Muon : Optimizer {
  Muon(const Section& config, const ParameterStore& store)
      : Optimizer(config, store, {"momentum_buffer"}, 0.02) {
    config.read(c);
  }
  std::string refusal(const Shape& shape) const override { return shape.rank() == 2 ? "" : "is no matrix"; }
  Index chunk_elements(const ParameterStore::Part& part, const Tensor& value) const override {
    return part.of(value).size() / (c.per_head ? part.heads : 1);
  }
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override {
    const Index columns = value.dim(1), rows = chunk.size / columns;
    dispatch("muon", value.dtype(), [&](auto zero) {
      using T = decltype(zero);
      const bool tall = rows > columns;
      Tensor x = Tensor::empty({rows, columns}, value.dtype());
      look_ahead(gradient.data<T>() + chunk.begin, moment<T>(0, chunk), x.data<T>(), chunk.size,
                 step.gradient_scale);
      if (tall) x = transpose(x).value();
      newton_schulz<T>(x, c.ns_steps);
      if (tall) x = transpose(x).value();
      const simd::Batch<T> keep(T(decay ? step.lr * c.weight_decay : 0)),
          rate(T(step.lr * factor(double(rows), double(columns))));
      T* p = value.data<T>() + chunk.begin;
      simd::apply(chunk.size, p, p, x.data<T>(), [&](auto w, auto u) { return w - keep * w - rate * u; });
    });
  }

 private:
  // m = mu m + (1 - mu) g; the direction is m, or with Nesterov mu m + (1 - mu) g of the new m.
  template <class T>
  void look_ahead(const T* gradient, T* m, T* direction, Index n, double scale) const {
    const simd::Batch<T> mu(T(c.momentum)), fresh(T((1 - c.momentum) * scale));
    const auto mixed = [&](auto old, auto g) {
      return mu * old + fresh * g;
    };
    simd::apply(n, m, m, gradient, mixed);
    if (c.nesterov)
      simd::apply(n, direction, m, gradient, mixed);
    else
      std::copy_n(m, n, direction);
  }
  double factor(double rows, double columns) const {
    switch (c.adjust_lr) {
      case AdjustLr::match_rms_adamw:
        return 0.2 * std::sqrt(std::max(rows, columns));
      case AdjustLr::spectral_unclamped:
        return std::sqrt(rows / columns);
      default:
        return std::sqrt(std::max(1.0, rows / columns));
    }
  }
  MuonConfig c;
};

QKV_REGISTER(Optimizer, "muon", Muon, "momentum with all singular values made 1, for the matrices of layers");

}  // namespace
}  // namespace qkv
