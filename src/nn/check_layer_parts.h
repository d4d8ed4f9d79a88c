// Private to nn: what the checks of check_layer share.
#pragma once
#include <algorithm>
#include <cmath>

#include "qkv/nn/check_layer.h"

namespace qkv::layer_check {

// Deterministic normal numbers.
inline Tensor noise(const Shape& shape, Dtype dtype, int which) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  Stream stream(std::uint64_t(which), "check_layer");
  for (Index i = 0; i < t.size(); i++) t.data<double>()[i] = stream.normal();
  return t.to(dtype);
}

// Largest difference between the time steps [begin, end) of example b of x and example c of y, all [B, T, d].
inline double difference(const Tensor& x, Index b, const Tensor& y, Index c, Index begin, Index end) {
  double worst = 0;
  const Index d = x.dim(2);
  for (Index i = begin * d; i < end * d; i++)
    worst = std::max(worst, std::abs(x.at(b * x.dim(1) * d + i) - y.at(c * y.dim(1) * d + i)));
  return worst;
}

// A layer in a new store, as a config makes it.
struct Subject {
  Subject(const std::function<Layer::Factory>& make, const LayerCheck& options, Dtype dtype,
          std::uint64_t seed = 1, bool symbolic = false)
      : store(seed, dtype, symbolic),
        root(Section::parse("[layer]\n" + options.config, "layer.toml")),
        layer(make(Scope(store) / "layer", root.section("layer"), options.width)) {}
  // Moves every parameter away from special values such as zero biases, whose gradients hide faults.
  void shake() {
    int which = 100;
    for (NamedTensor& own : store.named()) {
      const Tensor step = noise(own.tensor.shape(), own.tensor.dtype(), which++);
      dispatch("check_layer", own.tensor.dtype(), [&](auto t) {
        using T = decltype(t);
        for (Index i = 0; i < step.size(); i++) own.tensor.data<T>()[i] += T(0.3) * step.data<T>()[i];
      });
    }
  }
  ParameterStore store;
  Section root;
  std::unique_ptr<Layer> layer;
};

// What one group of checks knows: the layer's factory, and where problems go.
class Checks {
 public:
  Checks(const std::function<Layer::Factory>& make, const LayerCheck& options,
         std::vector<std::string>& problems)
      : make_(make), o_(options), problems_(problems) {}

 protected:
  template <class... Args>
  void report(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  // Runs one check; whatever it throws is also a problem. True when there was none.
  template <class F>
  bool check(const char* what, F&& f) {
    const std::size_t before = problems_.size();
    try {
      f();
    } catch (const std::exception& e) {
      report("{}: must work; got the error: {}", what, e.what());
    }
    return problems_.size() == before;
  }
  Tensor input(Index B, Index T, Dtype dtype = Dtype::f64, int which = 1) const {
    return noise({B, T, o_.width}, dtype, which);
  }
  // The context with a memory where the layer looks at one; a cache must keep it after its first pass.
  Context with_memory(Context context, const Var& x) const {
    if (!o_.memory || context.memory_keep.defined()) return context;
    const Shape shape{x.dim(0), kMemory, o_.width}, keep{x.dim(0), kMemory};
    const bool symbolic = x.is_symbolic(), kept = context.cache && context.cache->length() > 0;
    if (!kept) context.memory = symbolic ? Tensor::symbolic(shape, x.dtype()) : noise(shape, x.dtype(), 7);
    context.memory_keep = symbolic ? Tensor::symbolic(keep, Dtype::i32) : Tensor::full(keep, 1, Dtype::i32);
    return context;
  }
  Var call(const Layer& layer, const Var& x, const Context& context = {}) const {
    return layer.forward(x, with_memory(context, x));
  }
  Var call(const Subject& subject, const Var& x, const Context& context = {}) const {
    return call(*subject.layer, x, context);
  }

  static constexpr Index kMemory = 4;  // words
  const std::function<Layer::Factory>& make_;
  const LayerCheck& o_;
  std::vector<std::string>& problems_;
};

// What a layer makes of its context: masks, positions, memory, cache, captures.
void check_context(const std::function<Layer::Factory>& make, const LayerCheck& options,
                   std::vector<std::string>& problems);

}  // namespace qkv::layer_check
