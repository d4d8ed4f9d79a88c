// A plug-in that is not faulty: its static object multiplies matrices while it is loaded.
#include <dlfcn.h>
#include <qkv/qkv.h>

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
    const qkv::Index n = 600;  // enough work for every thread, and for the BLAS
    const qkv::Var a(qkv::Tensor::full({n, n}, 0.5)), b(qkv::Tensor::full({n, n}, 0.25));
    const double product = qkv::matmul(a, b).value().data<float>()[n * n - 1];
    auto* core = reinterpret_cast<char* (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
    std::printf("product %g, kernels %s\n", product, core ? core() : "unknown");
    std::fflush(stdout);
  }
};
const AtLoad kAtLoad;
}  // namespace

QKV_REGISTER(qkv::Layer, "doubled", Doubled, "x + x");
