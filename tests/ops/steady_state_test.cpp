#include <doctest/doctest.h>

#include "base/machine.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/attention.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/pool.h"

using namespace qkv;

namespace {

// One use of every elementwise, reduction, shape and position op that models are made of.
Var all_ops(const Var& x, const Tensor& ids, const Tensor& mask, const RotaryTable& table) {
  const Var row = slice(x, 0, 0, 1), column = slice(x, 1, 0, 1);
  Var y = (x + row) * column - x / (square(column) + 1.0) + pow(abs(x) + 0.5, 1.5) * 0.1;
  y = y + exp(clip(x, -1, 1)) + log(softplus(x)) + sqrt(sigmoid(x)) + tanh(x) * erf(x) - relu(-x);
  y = y + gelu(x) + gelu(x, GeluForm::tanh) + silu(x) + swiglu(x, y) + elu(x) + leaky_relu(x);
  y = mix(y + relu_squared(x), softcap(x, 2.0), slice(reshape(x, {128}), 0, 0, 2));
  y = where(mask, y, x) + maximum(x, row) - minimum(x, column);
  y = y + sum(x, 0) + mean(x, 1, true) + max(x, 1, true) + min(x, 0) + logsumexp(x) + cumsum(x, 1);
  y = y + transpose(transpose(x)) + reshape(permute(reshape(x, {2, 4, 2, 8}), {0, 2, 1, 3}), {8, 16});
  y = y + broadcast_to(row, {8, 16}) + index_select(x, ids) + tril(x) + triu(x);
  const auto [a, b] = split<2>(y, 1);
  y = concat({b, a}, 1) + slice(reshape(stack({x, y}, 0), {16, 16}), 0, 4, 12);
  const Var sequence = rotary(reshape(y, {2, 4, 16}), table, RotaryOptions(2, 8));
  AttentionOptions options(2, 8);
  options.softcap = 5.0;
  options.mask.bias = Tensor();
  return attention(sequence, sequence, sequence, options);
}

}  // namespace

TEST_CASE("after warm-up no op allocates, forward or backward") {
  const Tensor x = Tensor::full({8, 16}, 0.3), mask = Tensor::full({8, 1}, 1, Dtype::i32);
  const Tensor ids = Tensor::zeros({8}, Dtype::i32);
  const RotaryTable table = rotary_table(0, 4, 8);
  const int store = 0;
  Gradients gradients;
  auto step = [&] {
    gradients.clear();
    Tape tape;
    tape.backward(mean(all_ops(tape.leaf(&store, 0, x), ids, mask, table)), gradients);
    argmax(x, 1);
  };
  for (int i = 0; i < 3; i++) step();
  const auto system = memory::statistics().system_allocations;
  const auto before = allocations();
  for (int i = 0; i < 5; i++) step();
  const auto after = allocations();
  CHECK(after == before);
  CHECK(memory::statistics().system_allocations == system);
}
