#include "qkv/nn/check_layer.h"

#include "base/at.h"
#include "base/machine.h"
#include "check_layer_parts.h"
#include "qkv/base/threads.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"

namespace qkv {
using namespace layer_check;
namespace {

class Checker : Checks {
 public:
  using Checks::Checks;

  void run() {
    if (!check("construction", [&] { Subject(make_, o_, Dtype::f64); })) return;
    check("config", [&] { config(); });
    if (!check("shapes", [&] { shapes(); })) return;
    check("repeats", [&] { repeats(); });
    check("saving", [&] { saving(); });
    check_context(make_, o_, problems_);
    check("gradients", [&] { gradients(); });
    check("allocations", [&] { steady(); });
  }

 private:
  // Every given key is read, an unknown one is refused, and the resolved config makes the same layer.
  void config() {
    Subject first(make_, o_, Dtype::f64);
    first.root.finish();
    LayerCheck wrong = o_;
    wrong.config += "\nno_layer_has_this_key = 1";
    bool refused = false;
    try {
      Subject(make_, wrong, Dtype::f64).root.finish();
    } catch (const Error&) {
      refused = true;
    }
    if (!refused)
      report(
          "config: an unknown key must be refused; got no error (read keys with `fields`, never skip them)");
    const Section again = Section::parse(first.root.dump(), "again.toml");
    ParameterStore store(1, Dtype::f64);
    const auto layer = make_(Scope(store) / "layer", again.section("layer"), o_.width);
    again.finish();
    const Tensor x = input(2, 3);
    if (first.root.dump() != again.dump() || !call(first, x).value().same_bits(call(*layer, x).value()))
      report("config: written out and read back it must make the same layer; got another one");
  }

  void shapes() {
    for (Dtype dtype : {Dtype::f64, Dtype::f32}) {
      const Subject subject(make_, o_, dtype);
      const Subject shape_only(make_, o_, dtype, 1, true);
      for (auto [B, T] : {std::pair<Index, Index>{2, 3}, {1, 1}, {1, 5}, {3, 1}, {2, 7}}) {
        const Tensor x = input(B, T, dtype), before = x.clone();
        const Shape expected{B, T, subject.layer->out_width()};
        check("shapes", [&] {
          const Tensor y = call(subject, x).value();
          if (y.shape() != expected || y.dtype() != dtype)
            report("shapes: for x {} {} the output must be {} {} as out_width() says; got {} {}", dtype,
                   x.shape(), dtype, expected, y.dtype(), y.shape());
          if (!x.same_bits(before)) report("input: must not be changed; got other elements after the call");
          const Shape walked = call(shape_only, Tensor::symbolic(x.shape(), dtype)).shape();
          if (walked != y.shape())
            report("shapes: a shape-only input must give the shape of the output, {}; got {}", y.shape(),
                   walked);
        });
        if (!problems_.empty()) return;
      }
    }
  }

  // Equal calls give equal bits: again, and from all threads at once.
  void repeats() {
    Subject subject(make_, o_, Dtype::f64);
    const Tensor x = input(2, 3), y = call(subject, x).value().clone();
    call(subject, input(1, 5));  // must not leave any state
    if (!call(subject, x).value().same_bits(y) || !call(subject, x).value().same_bits(y))
      return report(
          "repeats: equal calls must give equal bits; got others (randomness or state inside the layer? "
          "dropout() draws from the tape)");
    auto recorded = [&] {
      const Tape tape;
      return call(subject, x).value();
    };
    if (!recorded().same_bits(y))
      report("repeats: a recording tape must not change the value; got another one");
    auto noisy = [&] {
      const Tape tape(Stream(1, "check_layer"));
      return call(subject, x).value().clone();
    };
    if (const Tensor once = noisy(); !noisy().same_bits(once))
      report(
          "dropout: equal random tapes must give equal bits; got others (another source of randomness? "
          "dropout() draws from the tape)");
    std::vector<int> differs(64, 0);
    pool().run(64, [&](int task, int) { at(differs, task) = !call(subject, x).value().same_bits(y); });
    if (std::count(differs.begin(), differs.end(), 1))
      report(
          "threads: calls from several threads must give equal bits; got others (state inside the layer?)");
  }

  // All that the output depends on is in the store.
  void saving() {
    Subject trained(make_, o_, Dtype::f64, 1), fresh(make_, o_, Dtype::f64, 2);
    trained.shake();
    fresh.store.load(trained.store.named(), "check_layer");
    const Tensor x = input(2, 3);
    if (!call(trained, x).value().same_bits(call(fresh, x).value()))
      report(
          "saving: a fresh layer with the same parameters must give equal bits; got others (a weight that "
          "was not made with Scope::param?)");
  }

  // Loss of the tests: a weighted sum, since a plain one hides misplaced gradients; over one or two calls.
  Var probe(const Subject& subject, const Var& x, const Tensor& weights, int calls) const {
    Var loss = sum(call(subject, x) * Var(weights));
    for (int i = 1; i < calls; i++) loss = loss + sum(call(subject, x) * Var(weights));
    return loss;
  }

  void gradients() {
    Subject subject(make_, o_, Dtype::f64);
    subject.shake();
    const Tensor x = input(2, 3), weights = noise({2, 3, subject.layer->out_width()}, Dtype::f64, 9);
    Gradients once, twice;
    Tensor dx, dx_twice;
    for (int calls : {1, 2}) {
      Tape tape;
      if (subject.store.size() > 0)
        Parameter(&subject.store, 0).var();  // now a leaf of another store is an error
      const Var leaf = tape.variable(x);
      Gradients& into = calls == 1 ? once : twice;
      tape.backward(probe(subject, leaf, weights, calls), into);
      (calls == 1 ? dx : dx_twice) = into.of(leaf);
    }
    if (once.slots() > subject.store.size())
      return report(
          "parameters: all must be made with the scope that is given; got gradients of another store");
    auto compare = [&](const std::string& name, double* at, const Tensor& analytic, const Tensor& doubled) {
      for (Index i = 0; i < analytic.size(); i++) {
        const double kept = at[i], h = 1e-5 * std::max(1.0, std::abs(kept));
        at[i] = kept + h;
        const double above = probe(subject, x, weights, 1).value().item();
        at[i] = kept - h;
        const double below = probe(subject, x, weights, 1).value().item();
        at[i] = kept;
        const double numeric = (above - below) / (2 * h);
        auto differ = [&](double a, double b) {
          return !(std::abs(a - b) <= o_.tolerance * std::max({1.0, std::abs(a), std::abs(b)}));
        };
        if (differ(analytic.at(i), numeric))
          return report("gradients: of {}, element {}, must be {:.6g} by central differences; got {:.6g}",
                        name, i, numeric, analytic.at(i));
        if (differ(doubled.at(i), 2 * analytic.at(i)))
          return report(
              "gradients: of {} must add up over two uses to {:.6g}; got {:.6g} (assigned instead of added?)",
              name, 2 * analytic.at(i), doubled.at(i));
      }
    };
    Tensor moving = x;  // the same buffer, so that probe sees the moves
    compare("the input", moving.data<double>(), dx, dx_twice);
    for (int s = 0; s < subject.store.size(); s++) {
      ParameterStore::Slot& slot = subject.store.slot(s);
      const std::string name = "parameter '" + slot.parts.front().name + "'";
      if (!once.has_slot(s)) {
        report("gradients: {} must get one; got none (is it used, and is the op's gradient complete?)", name);
        continue;
      }
      compare(name, slot.value.data<double>(), once.of_slot(s), twice.of_slot(s));
    }
  }

  void steady() {
    Subject subject(make_, o_, Dtype::f32);
    const Tensor x = input(2, 5, Dtype::f32),
                 weights = noise({2, 5, subject.layer->out_width()}, Dtype::f32, 9);
    const Context context = with_memory({}, x);
    Gradients gradients;
    auto step = [&] {
      gradients.clear();
      Tape tape(Stream(1, "check_layer"));
      Var y = call(subject, x, context);
      if (y.node() >= 0) tape.backward_from(y, weights, gradients);
    };
    for (int i = 0; i < 3; i++) step();
    const auto before = allocations();
    for (int i = 0; i < 4; i++) step();
    if (before && *allocations() != *before)
      report("allocations: a training step must not allocate once it is warm; got {} in 4 steps",
             *allocations() - *before);
  }
};

}  // namespace

std::vector<std::string> check_layer(const std::function<Layer::Factory>& make, const LayerCheck& options) {
  std::vector<std::string> problems;
  Checker(make, options, problems).run();
  return problems;
}

}  // namespace qkv
