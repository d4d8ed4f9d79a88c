#include "nn/adapters.h"

#include <doctest/doctest.h>

#include <map>

#include "nn/layer_check.h"
#include "qkv/nn/embedding.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/embedding.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"
#include "tensors.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// A table, a packed tensor of W_Q, W_K and W_V, and a bias.
struct Small {
  explicit Small(Dtype dtype = Dtype::f64) : store(3, dtype) {
    table = Scope(store).param("table", {5, 4}, init::normal(1));
    qkv = (Scope(store) / "attn").packed({"W_Q", "W_K", "W_V"}, {3, 2, 3}, {4}, init::normal(1));
    bias = Scope(store).param("bias", {8}, init::normal(1));
  }
  Tensor value(const std::string& name) const { return named(store, name); }
  // Reads the table twice: as rows, and as a matrix.
  static Var loss(const Var& table, const Var& W, const Var& bias) {
    const Tensor ids = Tensor::from({3}, std::vector<std::int32_t>{4, 0, 4});
    const Var x = embedding(ids, table);  // [3, 4]
    return sum(square(tanh(linear(x, W, bias)))) + sum(square(linear(x, table)));
  }
  Var loss() const { return loss(table, qkv, bias); }

  ParameterStore store;
  Parameter table, qkv, bias;
};

// B begins with zeros.
void fill(Tensor B) {
  B.copy_from(normal(B.shape(), B.dtype(), 7));
}

}  // namespace

TEST_CASE("adapters: the gradients of A and B are those of the written out sum") {
  Small m;
  Adapters adapters(m.store, 2, 6, {"table", "*.W_Q", "*.W_V"}, {"bias"});
  CHECK(adapters.count() == 3);
  CHECK(adapters.scale() == 3);
  for (const char* name : {"table.lora_B", "attn.W_Q.lora_B", "attn.W_V.lora_B"}) fill(m.value(name));
  const Tensor table = m.table.value().clone(), packed = m.qkv.value().clone();
  adapters.compose();
  Gradients gradients;
  Tensor value;
  {
    Tape tape;
    const Var loss = m.loss();
    value = loss.value();
    tape.backward(loss, gradients);
  }
  adapters.project(gradients);

  Tape tape;
  std::map<std::string, Var> own;
  const auto sum_of = [&](const std::string& name, const Tensor& W) {
    const Var A = own[name + ".lora_A"] = tape.variable(m.value(name + ".lora_A")),
              B = own[name + ".lora_B"] = tape.variable(m.value(name + ".lora_B"));
    return Var(W) + matmul(B, A) * 3.0;
  };
  const Var bias = own["bias"] = tape.variable(m.bias.value());
  const Var all = concat(
      {sum_of("attn.W_Q", packed.rows(0, 3)), Var(packed.rows(3, 2)), sum_of("attn.W_V", packed.rows(5, 3))},
      0);
  const Var loss = Small::loss(sum_of("table", table), all, bias);
  CHECK(distance(loss.value(), value) < 1e-13);
  const Gradients expected = tape.backward(loss);
  int compared = 0;
  m.store.each_part([&](int s, const ParameterStore::Part& part) {
    CAPTURE(part.name);
    CHECK(own.count(part.name) == (part.frozen ? 0 : 1));
    CHECK(gradients.has_slot(s) == !part.frozen);
    if (part.frozen) return;
    CHECK(distance(gradients.of_slot(s), expected.of(own[part.name])) < 1e-12);
    compared++;
  });
  CHECK(compared == 7);
}

TEST_CASE("adapters: before the first step nothing changes, and what has none never does") {
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    Small plain(dtype), m(dtype);
    Adapters adapters(m.store, 1, 16, {"*"}, {});
    CHECK(adapters.count() == 4);  // of a vector there is none
    CHECK(m.store.trainable_count() == 5 + 4 + 3 + 4 + 2 + 4 + 3 + 4);
    adapters.compose();
    for (const NamedTensor& one : plain.store.named()) CHECK(same_bits(one.tensor, m.value(one.name)));
    CHECK(m.store.stored().size() == 8);
    CHECK(m.store.stored()[0].name == "table.lora_A");

    Small some(dtype);
    Adapters of_key(some.store, 1, 16, {"attn.W_K"}, {});
    some.value("attn.W_K.lora_B").fill(1);
    of_key.compose();
    for (const NamedTensor& one : plain.store.named())
      CHECK(same_bits(one.tensor, some.value(one.name)) == (one.name != "attn.W_K"));
  }
}

TEST_CASE("adapters: the sum is the same where products round to bf16") {
  Small m(Dtype::f32);
  Adapters adapters(m.store, 3, 1, {"*.W_Q"}, {});
  fill(m.value("attn.W_Q.lora_B"));
  adapters.compose();
  const Tensor exact = m.value("attn.W_Q").clone();
  set_matmul(Matmul::bf16);
  adapters.compose();
  set_matmul(Matmul::f32);
  CHECK(same_bits(exact, m.value("attn.W_Q")));
}

TEST_CASE("adapters: a pattern must match a matrix that is not trained as a whole") {
  const auto refused = [](const std::vector<std::string>& targets, const std::vector<std::string>& whole) {
    return message([&] {
      Small m;
      Adapters(m.store, 1, 1, targets, whole);
    });
  };
  CHECK(refused({"*.W_Q", "attn.W_X"}, {}) ==
        "train.lora.targets: pattern must match a matrix that init_from gives; got 'attn.W_X' (did you mean "
        "'attn.W_Q'?)");
  CHECK(refused({"bias"}, {}).find("must match a matrix that init_from gives; got 'bias'") !=
        std::string::npos);
  CHECK(refused({"table"}, {"table"}).find("got 'table'") != std::string::npos);
  CHECK(refused({"table"}, {"tabel"}) ==
        "train.init_except: pattern must match a parameter; got 'tabel' (did you mean 'table'?)");
}
