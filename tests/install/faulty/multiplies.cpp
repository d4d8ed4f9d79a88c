// A plug-in that is not faulty: its static object multiplies matrices while it is loaded.
#include <qkv/qkv.h>
#include <qkv/tensor/blas.h>

#include <cstdio>

namespace {
struct Doubled : qkv::Layer {
  Doubled(const qkv::Scope&, const qkv::Section&, qkv::Index w) : width(w) {}
  qkv::Var forward(const qkv::Var& x, const qkv::Context&) const override { return qkv::add(x, x); }
  qkv::Index out_width() const override { return width; }
  qkv::Index width;
};

struct AtLoad {
  AtLoad() {
    const qkv::Index n = 512;  // enough work for every thread
    const qkv::Var a(qkv::Tensor::full({n, n}, 0.5)), b(qkv::Tensor::full({n, n}, 0.25));
    const double product = qkv::matmul(a, b).value().data<float>()[n * n - 1];
    const qkv::Blas blas = qkv::blas();
    std::printf("product %g, kernels %s, chosen by %s\n", product, blas.core.c_str(), blas.chosen_by.c_str());
    std::fflush(stdout);
  }
};
const AtLoad kAtLoad;
}  // namespace

QKV_REGISTER(qkv::Layer, "doubled", Doubled, "x + x");
