#include "qkv/nn/check_layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "qkv/base/allocations.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/reduce.h"

namespace qkv {
namespace {

// Deterministic normal numbers.
Tensor noise(const Shape& shape, Dtype dtype, int which) {
  Tensor t = Tensor::empty(shape, Dtype::f64);
  Stream stream(static_cast<std::uint64_t>(which), "check_layer");
  for (Index i = 0; i < t.size(); i++) t.data<double>()[i] = stream.normal();
  return t.to(dtype);
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0;
}

// Largest difference between the time steps [begin, end) of example b of x and example c of y, all [B, T, d].
double difference(const Tensor& x, Index b, const Tensor& y, Index c, Index begin, Index end) {
  double worst = 0;
  const Index d = x.dim(2);
  for (Index i = begin * d; i < end * d; i++)
    worst = std::max(worst, std::abs(x.at(b * x.dim(1) * d + i) - y.at(c * y.dim(1) * d + i)));
  return worst;
}

// A layer in a store of its own, as a config makes it.
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
  Var operator()(const Var& x, const Context& context = {}) const { return layer->forward(x, context); }

  ParameterStore store;
  Section root;
  std::unique_ptr<Layer> layer;
};

class Checker {
 public:
  Checker(const std::function<Layer::Factory>& make, const LayerCheck& options) : make_(make), o_(options) {}

  std::vector<std::string> run() {
    if (!check("construction", [&] { Subject(make_, o_, Dtype::f64); })) return problems_;
    check("config", [&] { config(); });
    if (!check("shapes", [&] { shapes(); })) return problems_;
    check("repeats", [&] { repeats(); });
    check("saving", [&] { saving(); });
    check("batch", [&] { batch(); });
    if (o_.masks) check("padding", [&] { padding(); });
    if (o_.masks) check("causal mask", [&] { causal(); });
    check("gradients", [&] { gradients(); });
    check("allocations", [&] { steady(); });
    return problems_;
  }

 private:
  template <class... Args>
  void report(fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  // Runs one check; whatever it throws is a problem, too. True when there was none.
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
    if (first.root.dump() != again.dump() || !same_bits(first(x).value(), layer->forward(x, {}).value()))
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
          const Tensor y = subject(x).value();
          if (y.shape() != expected || y.dtype() != dtype)
            report("shapes: for x {} {} the output must be {} {} as out_width() says; got {} {}", dtype,
                   x.shape(), dtype, expected, y.dtype(), y.shape());
          if (!same_bits(x, before)) report("input: must not be changed; got other elements after the call");
          const Shape walked = shape_only(Tensor::symbolic(x.shape(), dtype)).shape();
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
    const Tensor x = input(2, 3), y = subject(x).value().clone();
    if (!same_bits(subject(x).value(), y) || !same_bits(subject(x).value(), y))
      return report(
          "repeats: equal calls must give equal bits; got others (randomness or state inside the layer? "
          "dropout() draws from the tape)");
    bool equal = true;
    {
      Tape tape;
      equal = same_bits(subject(x).value(), y);
    }
    if (!equal) report("repeats: a recording tape must not change the value; got another one");
    std::vector<int> differs(64, 0);
    pool().run(64, [&](int task, int) {
      differs[static_cast<std::size_t>(task)] = !same_bits(subject(x).value(), y);
    });
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
    if (!same_bits(trained(x).value(), fresh(x).value()))
      report(
          "saving: a fresh layer with the same parameters must give equal bits; got others (a weight that "
          "was not "
          "made with Scope::param?)");
  }

  void batch() {
    Subject subject(make_, o_, Dtype::f64);
    subject.shake();
    const Tensor x = input(3, 4), y = subject(x).value();
    const Tensor alone = subject(x.rows(1, 1).clone()).value();
    if (const double d = difference(y, 1, alone, 0, 0, 4); d > 1e-9)
      report(
          "batch: an example must not depend on its neighbours in the batch; got a difference of {:.2g} when "
          "alone",
          d);
  }

  void padding() {
    Subject subject(make_, o_, Dtype::f64);
    subject.shake();
    Context context;
    context.mask.key_keep = Tensor::from({2, 4}, std::vector<std::int32_t>{1, 1, 1, 0, 1, 1, 1, 1});
    const Tensor x = input(2, 4);
    Tensor other = x.clone();
    for (Index i = 0; i < o_.width; i++)
      other.data<double>()[3 * o_.width + i] += 1.0;  // the padding of example 0
    if (const double d = difference(subject(x, context).value(), 0, subject(other, context).value(), 0, 0, 3);
        d > 1e-9)
      report(
          "padding: what stands at masked positions must not reach the others (context.mask.key_keep); got a "
          "difference of {:.2g}",
          d);
  }

  void causal() {
    Subject subject(make_, o_, Dtype::f64);
    subject.shake();
    Context context;
    context.mask.causal = true;
    const Tensor x = input(1, 4);
    Tensor other = x.clone();
    for (Index i = 0; i < o_.width; i++) other.data<double>()[3 * o_.width + i] += 1.0;  // the last position
    if (const double d = difference(subject(x, context).value(), 0, subject(other, context).value(), 0, 0, 3);
        d > 1e-9)
      report(
          "causal mask: a position must not see later ones (context.mask.causal); got a difference of {:.2g}",
          d);
  }

  // Loss of the tests: a weighted sum, since a plain one hides misplaced gradients; over one or two calls.
  static Var probe(const Subject& subject, const Var& x, const Tensor& weights, int calls) {
    Var loss = sum(subject(x) * Var(weights));
    for (int i = 1; i < calls; i++) loss = loss + sum(subject(x) * Var(weights));
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
    auto compare = [&](const std::string& name, double* at, Index n, auto&& analytic, auto&& doubled) {
      for (Index i = 0; i < n; i++) {
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
        if (differ(analytic(i), numeric))
          return report("gradients: of {}, element {}, must be {:.6g} by central differences; got {:.6g}",
                        name, i, numeric, analytic(i));
        if (differ(doubled(i), 2 * analytic(i)))
          return report(
              "gradients: of {} must add up over two uses to {:.6g}; got {:.6g} (assigned instead of added?)",
              name, 2 * analytic(i), doubled(i));
      }
    };
    Tensor moving = x;  // the same buffer, so that probe sees the moves
    compare(
        "the input", moving.data<double>(), x.size(), [&](Index i) { return dx.at(i); },
        [&](Index i) { return dx_twice.at(i); });
    for (int s = 0; s < subject.store.size(); s++) {
      ParameterStore::Slot& slot = subject.store.slot(s);
      const std::string name = "parameter '" + slot.parts.front().name + "'";
      if (!once.has_slot(s)) {
        report("gradients: {} must get one; got none (is it used, and is the op's gradient complete?)", name);
        continue;
      }
      compare(
          name, slot.value.data<double>(), slot.value.size(), [&](Index i) { return once.of_slot(s).at(i); },
          [&](Index i) { return twice.of_slot(s).at(i); });
    }
  }

  void steady() {
    Subject subject(make_, o_, Dtype::f32);
    const Tensor x = input(2, 5, Dtype::f32),
                 weights = noise({2, 5, subject.layer->out_width()}, Dtype::f32, 9);
    Gradients gradients;
    auto step = [&] {
      gradients.clear();
      Tape tape(Stream(1, "check_layer"));
      Var y = subject(x);
      if (y.node() >= 0) tape.backward_from(y, weights, gradients);
    };
    for (int i = 0; i < 3; i++) step();
    const auto before = allocations();
    for (int i = 0; i < 4; i++) step();
    if (before && *allocations() != *before)
      report("allocations: a training step must not allocate once it is warm; got {} in 4 steps",
             *allocations() - *before);
  }

  const std::function<Layer::Factory>& make_;
  const LayerCheck& o_;
  std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> check_layer(const std::function<Layer::Factory>& make, const LayerCheck& options) {
  return Checker(make, options).run();
}

}  // namespace qkv
