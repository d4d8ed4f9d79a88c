#include "qkv/nn/check_layer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "count.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/base/allocations.h"
#include "qkv/base/text.h"
#include "qkv/nn/attention.h"
#include "qkv/nn/block.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/dropout.h"
#include "qkv/ops/linear.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

using namespace qkv;

namespace {

using Problems = std::vector<std::string>;

// Each wrong layer below is this sound one with one fault: y = x + W x.
struct Plain : Layer {
  Plain(const Scope& s, const Section& section, Index width)
      : hidden(section.get("hidden", Index{4}, "unused", positive)), down(s / "down", width, width) {}
  Var forward(const Var& x, const Context&) const override { return x + down(x); }
  Index out_width() const override { return down.weight.value().dim(0); }
  Index hidden;
  Linear down;
};

// An op whose row is right and whose gradient is what `Backward` makes of it.
template <class Backward>
Var faulty(const Op& op, const Var& x, Backward backward) {
  Tensor y = Tensor::result(x.shape(), x.value());
  if (!y.is_symbolic()) y.copy_from((x * x).value());
  return record(op, {x}, y, [v = x.value(), backward](const Tensor& dy, Sink& dx) { backward(v, dy, dx); });
}
void any_row(GradSuite& g) {
  g.check("any", {g.normal({2})}, [](const std::vector<Var>& in) { return in[0] * in[0]; });
}

struct MissingTerm : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    static const Op op("test_square_missing_factor", any_row);
    return down(faulty(op, x, [](const Tensor& v, const Tensor& dy, Sink& dx) {  // 2 v dy is right
      dx.add(0, (Var(v) * Var(dy)).value());
    }));
  }
};

struct AssignsGradient : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    static const Op op("test_square_assigned", any_row);
    return down(faulty(op, x, [](const Tensor& v, const Tensor& dy, Sink& dx) {
      dx.buffer(0).gradient.copy_from((Var(v) * Var(dy) * 2.0).value());  // forgets beta
    }));
  }
};

struct UnregisteredWeight : Plain {
  UnregisteredWeight(const Scope& s, const Section& section, Index width) : Plain(s, section, width) {
    static int made = 0;
    gain = 1.0 + made++;
  }
  Var forward(const Var& x, const Context&) const override { return down(x) * gain; }
  double gain;
};

struct OwnStore : Plain {
  OwnStore(const Scope& s, const Section& section, Index width)
      : Plain(s, section, width),
        own(std::make_unique<ParameterStore>(1, s.store().dtype(), s.store().symbolic())) {
    hidden_away = Linear(Scope(*own) / "own", width, width);
  }
  Var forward(const Var& x, const Context&) const override { return hidden_away(x); }
  std::unique_ptr<ParameterStore> own;
  Linear hidden_away{down};
};

struct UnusedParameter : Plain {
  UnusedParameter(const Scope& s, const Section& section, Index width)
      : Plain(s, section, width), extra(s.param("extra", {width})) {}
  Parameter extra;
};

struct OwnRandomness : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override { return down(x) * (1.0 + 0.1 * calls++); }
  mutable std::atomic<int> calls{0};  // called from several threads
};

struct WrongForLengthOne : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    return x.dim(1) == 1 ? reshape(down(x), {x.dim(0), x.dim(2)}) : down(x);  // "squeezes" the time axis
  }
};

struct ChangesInput : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    Tensor in_place = x.value();  // shares the buffer
    if (!in_place.is_symbolic()) in_place.fill(1.0);
    return down(x);
  }
};

struct WrongWidth : Plain {
  using Plain::Plain;
  Index out_width() const override { return 5; }
};

struct IgnoresPadding : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context& context) const override {
    return context.mask.causal ? down(x) : down(x + mean(x, 1, true));  // padding takes part in the mean
  }
};

struct SeesTheFuture : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context& context) const override {
    return context.mask.causal ? down(x + mean(x, 1, true)) : down(x);
  }
};

struct MixesTheBatch : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override { return down(x - mean(x, 0, true)); }
};

struct SwallowsKeys : Plain {
  SwallowsKeys(const Scope& s, const Section& section, Index width) : Plain(s, section, width) {
    section.skip_all();
  }
};

struct Allocates : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    const std::vector<double> scratch(static_cast<std::size_t>(x.dim(1)), 0.5);
    return x + down(x) * scratch[0];
  }
};

struct OnlyF32 : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    return down(x) + Var(Tensor::full(x.shape(), 1.0));
  }
};

struct AlwaysDrops : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    const Tape noisy(Stream(1, "mine", calls++));
    return down(Var(qkv::dropout(Var(x.value()), 0.5).value()));
  }
  mutable std::atomic<int> calls{0};  // called from several threads
};

struct NeedsEvenLength : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    QKV_CHECK(x.dim(1) % 2 == 0, "mine: length must be even; got {}", x.dim(1));
    return down(x);
  }
};

template <class T>
void expect(const std::string& words) {
  const Problems problems = check_layer<T>({6, "hidden = 4"});
  INFO("problems: ", join(problems, "\n"));
  CHECK(std::any_of(problems.begin(), problems.end(),
                    [&](const std::string& p) { return p.find(words) != std::string::npos; }));
  test::counted("wrong layers", "caught by check_layer, the fault named");
}

}  // namespace

TEST_CASE("sound layers pass, the library's own and one of the user's") {
  CHECK(check_layer<Plain>({6, "hidden = 4"}) == Problems{});
  CHECK(check_layer<Block>({6, "attention.n_head = 2\nffn.d_ff = 5"}) == Problems{});
  CHECK(check_layer<Block>({4, "attention.n_head = 2\nnorm.place = \"post\"\ndropout = 0.1"}) == Problems{});
}

TEST_CASE("every wrong layer is caught with a message that names its fault") {
  expect<MissingTerm>("gradients: of the input, element 0, must be");
  expect<AssignsGradient>("assigned instead of added?");
  expect<UnregisteredWeight>("a weight that was not made with Scope::param?");
  expect<OwnStore>("one tape must serve one parameter store; got two");
  expect<UnusedParameter>("gradients: parameter 'layer.extra' must get one; got none");
  expect<OwnRandomness>("equal calls must give equal bits");
  expect<WrongForLengthOne>("for x f64 [1, 1, 6] the output must be f64 [1, 1, 6]");
  expect<ChangesInput>("input: must not be changed");
  expect<WrongWidth>("as out_width() says");
  expect<IgnoresPadding>("padding: what stands at masked positions");
  expect<SeesTheFuture>("causal mask: a position must not see later ones");
  expect<MixesTheBatch>("batch: an example must not depend on its neighbours");
  expect<SwallowsKeys>("config: an unknown key must be refused");
  if (allocations())  // a sanitizer counts none
    expect<Allocates>("allocations: a training step must not allocate");
  expect<OnlyF32>("shapes: must work; got the error");
  expect<AlwaysDrops>("dropout() draws from the tape");
  expect<NeedsEvenLength>("mine: length must be even; got 3");
}

TEST_CASE("a config that the layer refuses is told, not thrown") {
  const Problems problems = check_layer<Plain>({6, "hidden = -1"});
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("must be positive; got -1") != std::string::npos);
}
