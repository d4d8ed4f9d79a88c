#include "qkv/nn/attention.h"

#include <doctest/doctest.h>

#include "nn/layer_check.h"
#include "qkv/nn/block.h"

using namespace qkv;
using namespace qkv::test;

namespace {

AttentionConfig heads(Index n_head, Index n_kv_head = 0) {
  AttentionConfig c;
  c.n_head = n_head, c.n_kv_head = n_kv_head;
  return c;
}

const Tensor kX = normal({2, 3, 4}, Dtype::f64, 1), kMemory = normal({2, 5, 6}, Dtype::f64, 2);

Context memory_context() {
  Context context;
  context.memory = kMemory;
  context.memory_keep = Tensor::from({2, 5}, std::vector<std::int32_t>{1, 1, 1, 0, 0, 1, 1, 1, 1, 1});
  return context;
}

}  // namespace

TEST_CASE("cross-attention has separately named matrices, and reads the memory but not its padding") {
  ParameterStore store(1, Dtype::f64);
  const CrossAttention cross(Scope(store) / "c", heads(2, 1), 4, 6);
  CHECK(names(store) ==
        std::vector<std::string>{"c.W_Q", "c.W_K", "c.W_V", "c.W_O", "c.b_Q", "c.b_K", "c.b_V", "c.b_O"});
  CHECK(named(store, "c.W_K").shape() == Shape{2, 6});
  const Tensor y = cross(kX, memory_context()).value();
  CHECK(y.shape() == Shape{2, 3, 4});
  Context other = memory_context();
  Tensor moved = kMemory.clone();
  for (Index i = 3 * 6; i < 5 * 6; i++) moved.data<double>()[i] += 1;  // the padding of example 0
  other.memory = moved;
  CHECK(distance(cross(kX, other).value(), y) == 0);
  moved.data<double>()[0] += 1;
  CHECK(distance(cross(kX, other).value(), y) > 1e-3);
  CHECK(message([&] { cross(kX, Context()); }).find("there must be a memory; got none") != std::string::npos);
}

TEST_CASE("with a cache, keys and values of the memory are computed once") {
  ParameterStore store(1, Dtype::f64);
  const CrossAttention cross(Scope(store) / "c", heads(2), 4, 6);
  const Tensor y = cross(kX, memory_context()).value();
  KeyValueCache cache(2, 8, 1);
  Context context = memory_context();
  context.cache = &cache;
  for (Index t = 0; t < 3; t++) {
    Tensor one = Tensor::empty({2, 1, 4}, Dtype::f64);
    for (Index b = 0; b < 2; b++)
      std::copy_n(kX.data<double>() + (b * 3 + t) * 4, 4, one.data<double>() + b * 4);
    cache.begin();
    const Tensor step = cross(one, context).value();
    for (Index b = 0; b < 2; b++)
      for (Index i = 0; i < 4; i++) CHECK(step.at(b * 4 + i) == doctest::Approx(y.at((b * 3 + t) * 4 + i)));
    context.memory = Var();  // not needed any more
  }
}

TEST_CASE("a decoder block attends to itself, then to the memory; gradients reach everything") {
  for (NormPlace place : {NormPlace::pre, NormPlace::post}) {
    ParameterStore store(1, Dtype::f64);
    BlockConfig c;
    c.memory_width = 6;
    c.norm.place = place;
    c.ffn.d_ff = 5;
    const Block block(Scope(store) / "b", c, 4);
    const std::vector<std::string> all = names(store);
    CHECK(std::count(all.begin(), all.end(), "b.cross_attn.W_Q") == 1);
    CHECK(std::count(all.begin(), all.end(), "b.norm_cross.weight") == 1);
    randomize(store);
    CHECK(gradient_error(store, [&] { return block.forward(kX, memory_context()); }) < 1e-6);
  }
}
