// Exclusive or with a network of two layers: qkv as a library, without config, task or command line.
#include <fmt/core.h>
#include <qkv/qkv.h>

using namespace qkv;

int main() {
  ParameterStore parameters(1);  // seed
  const Scope root(parameters);
  const Linear hidden(root / "hidden", 2, 8), out(root / "out", 8, 1);
  auto network = [&](const Var& x) {
    return out(tanh(hidden(x)));
  };  // [B, 2] -> logits [B, 1]

  const Tensor x = Tensor::from<float>({4, 2}, {0, 0, 0, 1, 1, 0, 1, 1});
  const Tensor y = Tensor::from<float>({4, 1}, {0, 1, 1, 0});
  const auto optimizer = make_optimizer("type = \"adamw\"\nlr = 0.05", parameters);
  for (int step = 1; step <= 200; step++) {
    Tape tape;  // records until the end of this scope
    const Var loss = mean(bce_with_logits(network(x), y));
    optimizer->step(parameters, tape.backward(loss));
    if (step % 50 == 0) fmt::print("step {:3}  loss {:.4f}\n", step, loss.value().item());
  }

  bool right = true;
  const Tensor p = sigmoid(network(x)).value();
  for (Index i = 0; i < 4; i++) {
    fmt::print("{:.0f} xor {:.0f} = {:.3f}\n", x.at(2 * i), x.at(2 * i + 1), p.at(i));
    right = right && (p.at(i) > 0.5) == (y.at(i) == 1);
  }
  return right ? 0 : 1;
}
