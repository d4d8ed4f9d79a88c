#include "qkv/autograd/tape.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "autograd/backward_listener.h"
#include "base/machine.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/attention.h"
#include "qkv/ops/loss.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/norm.h"
#include "tensor/pool.h"
#include "tensors.h"

using namespace qkv;
using Numbers = std::vector<double>;

namespace {

// y = x, handing its upstream gradient on without a copy: two inputs then share one buffer.
const Op kPair("test_pair", [](GradSuite& g) {
  g.check("identity", {g.normal({2})}, [](const std::vector<Var>& in) { return in[0]; });
});
Var sum_of(const Var& a, const Var& b) {
  Tensor y = a.value().clone();
  for (Index i = 0; i < y.size(); i++) y.data<double>()[i] += b.value().at(i);
  return record(kPair, {a, b}, y, [](const Tensor& dy, Sink& dx) {
    dx.add(0, dy);
    dx.add(1, dy);
  });
}

Tensor numbers(const Shape& shape, const Numbers& values) {
  return Tensor::from(shape, values);
}
Tensor ones(const Shape& shape) {
  return Tensor::full(shape, 1.0, Dtype::f64);
}

}  // namespace

TEST_CASE("without a tape, or of constants, an op records nothing") {
  const Tensor x = ones({2, 2});
  CHECK(matmul(x, x).node() == -1);
  Tape tape;
  CHECK(matmul(x, x).node() == -1);
  CHECK(tape.size() == 0);
  Var v = tape.variable(x);
  CHECK(matmul(v, x).node() == 1);
  CHECK(matmul(tape.variable(Tensor::symbolic({2, 2})), Tensor::symbolic({2, 2})).node() == -1);
}

TEST_CASE("the gradients of several uses add up") {
  Tape tape;
  Var x = tape.variable(numbers({1, 1}, {3}));
  Var y = matmul(matmul(x, x), sum_of(x, x));  // 2 x^3
  CHECK(y.value().item() == 54);
  CHECK(tape.backward(y).of(x).item() == 54);  // 6 x^2
}

TEST_CASE("a gradient that is handed on to two inputs stays separate") {
  Tape tape;
  Var a = tape.variable(ones({2})), b = tape.variable(ones({2}));
  const Tensor upstream = numbers({2}, {1, 2});
  Gradients all;
  tape.backward_from(sum_of(sum_of(a, b), a), upstream, all);  // 2 a + b
  CHECK(all.of(a).to_vector() == Numbers{2, 4});
  CHECK(all.of(b).to_vector() == Numbers{1, 2});
  CHECK(upstream.to_vector() == Numbers{1, 2});
}

TEST_CASE("attention of a var with itself gives the sum of the gradients of query, key and value") {
  const Tensor x = numbers({1, 2, 2}, {0.3, -1.0, 0.7, 0.2});
  auto gradient = [&](bool shared) {
    Tape tape;
    Var q = tape.variable(x), k = shared ? q : tape.variable(x), v = shared ? q : tape.variable(x);
    Gradients all;
    tape.backward_from(attention(q, k, v, AttentionOptions(1, 2)), numbers({1, 2, 2}, {1, 2, 3, 4}), all);
    Numbers sum = all.of(q).to_vector();
    for (std::size_t i = 0; !shared && i < sum.size(); i++)
      sum[i] += all.of(k).at(static_cast<Index>(i)) + all.of(v).at(static_cast<Index>(i));
    return sum;
  };
  const Numbers shared = gradient(true), separate = gradient(false);
  for (std::size_t i = 0; i < 4; i++) CHECK(shared[i] == doctest::Approx(separate[i]).epsilon(1e-14));
}

TEST_CASE("a parameter is one leaf, and its gradients go to its slot, over inputs, tapes and losses") {
  const Tensor w = numbers({1, 1}, {3}), x = numbers({1, 1}, {5});
  const int store = 0;
  Gradients all;
  Tensor buffer;
  for (int pass = 1; pass <= 2; pass++) {
    Tape tape;
    Var p = tape.leaf(&store, 2, w);
    CHECK(tape.leaf(&store, 2, w).node() == p.node());
    tape.backward(matmul(matmul(p, x), tape.leaf(&store, 2, w)), all, 0.5);  // 0.5 * 2 w x
    CHECK(all.of_slot(2).item() == pass * 15);
    if (pass == 2) CHECK(test::share_buffer(all.of_slot(2), buffer));
    buffer = all.of_slot(2);
  }
  CHECK(all.slots() == 3);
  CHECK_FALSE(all.has_slot(0));
  CHECK_FALSE(all.of_slot(1).defined());
  CHECK_FALSE(all.has_slot(7));
  all.clear();
  CHECK_FALSE(all.has_slot(2));
  Tape tape;
  tape.backward(matmul(tape.leaf(&store, 2, w), x), all);
  CHECK(all.of_slot(2).item() == 5);  // what was there is forgotten, the buffer is the same
  CHECK(test::share_buffer(all.of_slot(2), buffer));
}

TEST_CASE("a listener learns of each parameter when its gradient is final, of its own tape only") {
  const Tensor w = numbers({1, 1}, {3}), v = numbers({1, 1}, {5});
  const int store = 0;
  Gradients all;
  struct Listener : BackwardListener {
    Listener(const Tape& tape, const Gradients& gradients) : BackwardListener(tape), all(gradients) {}
    void passed(int slot) override {
      nodes++;
      if (slot >= 0) slots.push_back(slot), values.push_back(all.of_slot(slot).item());
    }
    const Gradients& all;
    int nodes = 0;
    std::vector<int> slots;
    Numbers values;
  };
  Tape tape;
  Listener listener(tape, all);
  const Var first = tape.leaf(&store, 0, w);  // read twice: at the beginning and at the end
  const Var second = tape.leaf(&store, 1, v), third = tape.leaf(&store, 2, v);
  const Var y = matmul(matmul(matmul(first, second), third), first);
  const int nodes = tape.size();
  {
    Tape other;
    Gradients others;
    other.backward(matmul(other.leaf(&store, 1, w), v), others);
    CHECK(others.has_slot(1));
  }
  CHECK(listener.nodes == 0);
  tape.backward(y, all);
  CHECK(listener.nodes == nodes);
  CHECK(listener.slots == std::vector<int>{2, 1, 0});
  CHECK(listener.values == Numbers{45, 45, 150});  // of w v v w
  CHECK(all.of_slot(0).item() == 150);
}

TEST_CASE("a slot whose shape changes starts anew") {
  Gradients all;
  all.accumulate(0, ones({2}));
  all.accumulate(0, ones({2}));
  CHECK(all.of_slot(0).to_vector() == Numbers{2, 2});
  all.accumulate(0, ones({3}));
  CHECK(all.of_slot(0).to_vector() == Numbers{1, 1, 1});
}

TEST_CASE("a loss may be a leaf itself, and an unused variable gets zeros") {
  const int store = 0;
  Gradients all;
  for (int pass = 1; pass <= 2; pass++) {
    Tape tape;
    tape.backward(tape.leaf(&store, 0, ones({1})), all, 2.0);
    CHECK(all.of_slot(0).item() == 2 * pass);
  }
  Tape tape;
  Var unused = tape.variable(ones({2})), x = tape.variable(ones({1}));
  Gradients result = tape.backward(x);
  CHECK(result.of(x).item() == 1);
  CHECK(result.of(unused).to_vector() == Numbers{0, 0});
}

TEST_CASE("tapes nest: the innermost records, and gradients outlive their tape") {
  const Tensor x = numbers({1, 1}, {3});
  Gradients inner_gradients, outer_gradients;
  Var u, v;
  {
    Tape outer;
    u = outer.variable(x);
    Var y = matmul(u, u);
    {
      Tape inner;
      CHECK(Tape::current() == &inner);
      v = inner.variable(x);
      inner.backward(matmul(v, y.value()), inner_gradients);
      CHECK_THROWS_WITH_AS(
          matmul(u, u),
          "var: must be used on the tape that made it; got one of shape [1, 1] from another tape", Error);
    }
    CHECK(Tape::current() == &outer);
    CHECK(outer.size() == 2);
    outer.backward(y, outer_gradients);
  }
  CHECK(Tape::current() == nullptr);
  CHECK(inner_gradients.of(v).item() == 9);
  CHECK(outer_gradients.of(u).item() == 6);
  CHECK(matmul(u, u).node() == -1);  // without a tape it is a constant again
  Tape next;
  CHECK_THROWS_AS(matmul(u, u), Error);
}

TEST_CASE("one set of gradients keeps the variables of several tapes apart") {
  Gradients all;
  Tape outer;
  Var a = outer.variable(ones({1}));
  {
    Tape inner;
    Var b = inner.variable(ones({1}));
    CHECK(a.value().size() == b.value().size());
    inner.backward(b, all, 3.0);
    CHECK(all.of(b).item() == 3);
  }
  outer.backward(a, all, 4.0);
  CHECK(all.of(a).item() == 4);
}

TEST_CASE("each call of next_stream gives another stream, equal on tapes with equal streams") {
  Tape quiet;
  CHECK(quiet.next_stream() == nullptr);
  Tape a(Stream(1, "tape")), b(Stream(1, "tape"));
  Stream first = *a.next_stream(), second = *a.next_stream(), same = *b.next_stream();
  CHECK(first.id() == same.id());
  CHECK(first.id() != second.id());
}

TEST_CASE("an op needs a gradient check row and a unique name") {
  CHECK_THROWS_WITH_AS(Op("rowless", nullptr), "op 'rowless': must come with a gradient check row; got none",
                       Error);
  CHECK_THROWS_WITH_AS(Op("matmul", [](GradSuite&) {}), "op 'matmul': name must be unique; got it twice",
                       Error);
  for (std::size_t i = 1; i < registered_ops().size(); i++)
    CHECK(std::string(registered_ops()[i - 1]->name) < registered_ops()[i]->name);
}

TEST_CASE("the tape says what is wrong with a backward pass") {
  const int one = 0, two = 0;
  Tape tape;
  Var x = tape.variable(ones({2})), y = sum_of(x, x);
  CHECK_THROWS_WITH_AS(tape.backward(y), "backward: loss must have one element; got [2]", Error);
  CHECK_THROWS_WITH_AS(tape.backward(Var(ones({1}))),
                       "backward: loss must depend on a parameter or variable; got a constant", Error);
  Gradients all;
  CHECK_THROWS_WITH_AS(tape.backward_from(y, Tensor::zeros({2}), all),
                       "backward: upstream gradient must match the output; got f32 [2] for f64 [2]", Error);
  tape.leaf(&one, 0, ones({1}));
  CHECK_THROWS_WITH_AS(tape.leaf(&two, 1, ones({1})),
                       "tape: one tape must serve one parameter store; got two", Error);
  tape.backward_from(y, ones({2}), all);
  CHECK_THROWS_WITH_AS(tape.backward_from(y, ones({2}), all),
                       "backward: a tape serves one backward pass; got a second one", Error);
  CHECK_THROWS_WITH_AS(
      all.of(y), "gradients: must be asked for a Tape::variable of this tape; got a var of shape [2]", Error);
}

TEST_CASE("a gradient of the wrong shape names the op and the input") {
  Tape tape;
  Var x = tape.variable(ones({2}));
  Var y = record(kPair, {x}, ones({1}), [](const Tensor& dy, Sink& dx) { dx.add(0, dy); });
  CHECK_THROWS_WITH_AS(tape.backward(y),
                       "backward of test_pair: gradient of input 0 must be f64 [2]; got f64 [1]", Error);
}

TEST_CASE("what an op keeps is freed by backward, or by the end of the tape") {
  std::weak_ptr<int> kept;
  auto op = [&](const Var& x) {
    auto owner = std::make_shared<int>(1);
    kept = owner;
    return record(kPair, {x}, x.value(), [owner](const Tensor& dy, Sink& dx) { dx.add(0, dy); });
  };
  {
    Tape tape;
    Var y = op(tape.variable(ones({1})));
    CHECK_FALSE(kept.expired());
    tape.backward(y);
    CHECK(kept.expired());
  }
  {
    Tape tape;
    op(tape.variable(ones({1})));
  }
  CHECK(kept.expired());
}

TEST_CASE("after warm-up a training step allocates nothing") {
  const Tensor x = Tensor::full({8, 16}, 0.5), w = Tensor::full({16, 16}, 0.1),
               gain = Tensor::full({16}, 1.0);
  const Tensor targets = Tensor::zeros({8}, Dtype::i32);
  const int store = 0;
  Gradients gradients;
  auto step = [&](std::uint64_t number) {
    gradients.clear();
    Tape tape(Stream(1, "step", number));
    Var h = dropout(linear(x, tape.leaf(&store, 0, w)), 0.1);
    Var loss = cross_entropy_mean(layer_norm(h, tape.leaf(&store, 1, gain)), targets);
    tape.backward(loss, gradients);
  };
  for (std::uint64_t i = 0; i < 3; i++) step(i);
  const auto system = memory::statistics().system_allocations;
  const auto before = allocations();
  for (std::uint64_t i = 0; i < 20; i++) step(i);
  CHECK(allocations() == before);
  CHECK(memory::statistics().system_allocations == system);
}
