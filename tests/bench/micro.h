// What the micro-benchmarks share: random operands, and one pass through an op with and without gradients.
#pragma once
#include <benchmark/benchmark.h>

#include <vector>

#include "qkv/autograd/tape.h"
#include "qkv/base/random.h"

namespace qkv::bench {

inline Tensor random_tensor(const Shape& shape, float low = -1, float high = 1) {
  Tensor x = Tensor::empty(shape);
  Stream stream(1, "bench", x.size());
  for (Index i = 0; i < x.size(); i++) x.data<float>()[i] = low + (high - low) * stream.uniform();
  return x;
}

/// Ids in [0, below).
inline Tensor random_ids(const Shape& shape, Index below) {
  Tensor ids = Tensor::empty(shape, Dtype::i32);
  Stream stream(1, "bench ids");
  for (Index i = 0; i < ids.size(); i++)
    ids.data<std::int32_t>()[i] = static_cast<std::int32_t>(stream.below(static_cast<std::uint64_t>(below)));
  return ids;
}

/// Elements per second as the counter "items", bytes of f32 at `passes` reads or writes each as "bytes".
inline void count(benchmark::State& state, Index elements, int passes) {
  state.SetItemsProcessed(state.iterations() * elements);
  state.SetBytesProcessed(state.iterations() * elements * passes * static_cast<Index>(sizeof(float)));
}

/// Times y = f() without a tape.
template <class F>
void value(benchmark::State& state, F f) {
  for (auto _ : state) {
    Var y = f();
    benchmark::DoNotOptimize(y.value().bytes());
  }
}

/// Times y = f(inputs) and its gradients from an upstream of ones, into buffers that are kept, as in
/// training.
template <class F>
void with_gradients(benchmark::State& state, const std::vector<Tensor>& inputs, F f) {
  Gradients gradients;
  Tensor upstream;
  const int store = 0;
  std::vector<Var> leaves(inputs.size());
  for (auto _ : state) {
    Tape tape;
    for (std::size_t i = 0; i < inputs.size(); i++)
      leaves[i] = tape.leaf(&store, static_cast<int>(i), inputs[i]);
    const Var y = f(leaves);
    if (!upstream.defined()) upstream = Tensor::full(y.shape(), 1);
    tape.backward_from(y, upstream, gradients);
    gradients.clear();
  }
}

}  // namespace qkv::bench
