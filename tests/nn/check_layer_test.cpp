#include "qkv/nn/check_layer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/machine.h"
#include "count.h"
#include "qkv/autograd/capture.h"
#include "qkv/autograd/gradcheck.h"
#include "qkv/base/text.h"
#include "qkv/nn/block.h"
#include "qkv/nn/linear.h"
#include "qkv/ops/activations.h"
#include "qkv/ops/arithmetic.h"
#include "qkv/ops/matmul.h"
#include "qkv/ops/norm.h"
#include "qkv/ops/reduce.h"
#include "qkv/ops/shape_ops.h"

using namespace qkv;

namespace {

using Problems = std::vector<std::string>;

// Each wrong layer below is this sound one with one fault: y = x + W x.
struct Plain : Layer {
  Plain(const Scope& s, const Section& section, Index width)
      : hidden(section.get("hidden", Index{4}, "unused", rule::positive)), down(s / "down", width, width) {}
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

// Each wrong attention below is this sound one with one fault: RMS norm on queries and keys, RoPE, ALiBi, a
// cache.
struct NormedAttention : Layer {
  NormedAttention(const Scope& s, const Section& section, Index width)
      : n_head(section.get("n_head", Index{2}, "heads", rule::positive)),
        D(width / n_head),
        W_Q(s / "W_Q", width, width),
        W_K(s / "W_K", width, width),
        W_V(s / "W_V", width, width),
        W_O(s / "W_O", width, width),
        gain(s.param("gain", {width}, init::ones())) {}
  Index out_width() const override { return n_head * D; }
  bool continues() const override { return true; }

  Var queries(const Var& x) const { return rms_norm(W_Q(x), gain, 1e-6); }
  Var keys(const Var& x) const { return rms_norm(W_K(x), gain, 1e-6); }
  Var turned(const Var& x, const Context& c) const {
    return c.rotary.cos.defined() ? rotary(x, c.rotary, {n_head, D}) : x;
  }
  AttentionOptions options(const Context& c) const {
    AttentionOptions o(n_head, D);
    o.mask = c.mask;
    return o;
  }
  Var forward(const Var& x, const Context& c) const override {
    Var q = turned(queries(x), c), k = turned(keys(x), c), v = W_V(x);
    if (c.cache) k = c.cache->extended(k), v = c.cache->extended(v);
    return W_O(attend(q, k, v, options(c)));
  }

  Index n_head, D;
  Linear W_Q, W_K, W_V, W_O;
  Parameter gain;
};

struct IgnoresCache : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    return W_O(attend(turned(queries(x), c), turned(keys(x), c), W_V(x), options(c)));
  }
};

struct CachesValuesOnly : NormedAttention {  // keys of the new tokens, values of all
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    Var k = turned(keys(x), c), v = W_V(x);
    if (c.cache) {
      v = c.cache->extended(v);
      k = concat({Var(Tensor::zeros({x.dim(0), v.dim(1) - x.dim(1), x.dim(2)}, x.dtype())), k}, 1);
    }
    return W_O(attend(turned(queries(x), c), k, v, options(c)));
  }
};

struct StartsAtZero : NormedAttention {  // whatever position the new tokens have
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    Context first = c;
    if (c.rotary.cos.defined()) first.rotary = rotary_table(0, x.dim(1), D, 10000.0, x.dtype());
    return NormedAttention::forward(x, first);
  }
};

// What it has seen lies in the layer, where nobody selects rows.
struct OwnMemory : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    if (!c.cache) return NormedAttention::forward(x, c);
    Var k = turned(keys(x), c), v = W_V(x);
    if (c.cache->length() > 0) k = concat({seen(k_, x.dim(0)), k}, 1), v = concat({seen(v_, x.dim(0)), v}, 1);
    k_ = k, v_ = v;
    return W_O(attend(turned(queries(x), c), k, v, options(c)));
  }
  static Var seen(const Var& of, Index rows) {
    Tensor from = Tensor::empty({rows}, Dtype::i32);
    for (Index r = 0; r < rows; r++) from.data<std::int32_t>()[r] = static_cast<std::int32_t>(r % of.dim(0));
    return index_select(of, from);
  }
  mutable Var k_, v_;
};

struct ForgetsRotary : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    return W_O(attend(queries(x), keys(x), W_V(x), options(c)));
  }
  bool continues() const override { return false; }
};

struct TurnsQueriesOnly : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    return W_O(attend(turned(queries(x), c), keys(x), W_V(x), options(c)));
  }
  bool continues() const override { return false; }
};

struct ForgetsRelative : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    Context without = c;
    without.mask.relative = Var();
    return NormedAttention::forward(x, without);
  }
};

struct OffersNothing : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    Var k = turned(keys(x), c), v = W_V(x);
    if (c.cache) k = c.cache->extended(k), v = c.cache->extended(v);
    return W_O(attention(turned(queries(x), c), k, v, options(c)));
  }
};

struct OffersScores : NormedAttention {  // before the softmax
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    Capture::offer("weights", Tensor::full({x.dim(0), n_head, x.dim(1), x.dim(1)}, 0.7, x.dtype()));
    return NormedAttention::forward(x, c);
  }
};

struct OffersOneHead : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    Capture::offer("weights", Tensor::full({x.dim(0), x.dim(1), x.dim(1)}, 0.25, x.dtype()));
    Var k = turned(keys(x), c), v = W_V(x);
    if (c.cache) k = c.cache->extended(k), v = c.cache->extended(v);
    return W_O(attention(turned(queries(x), c), k, v, options(c)));
  }
};

struct ChangedByCapture : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    const Var y = NormedAttention::forward(x, c);
    return Capture::current() ? y * 2.0 : y;
  }
};

// Looks at the memory, too.
struct Crosses : NormedAttention {
  using NormedAttention::NormedAttention;
  Var forward(const Var& x, const Context& c) const override {
    const Var y = NormedAttention::forward(x, c);
    LayerPath here(path);
    return y + cross(x, c);
  }
  virtual Var cross(const Var& x, const Context& c) const {
    KeyValueCache::Entry* entry = c.cache ? &c.cache->next() : nullptr;
    Var k, v;
    if (entry && entry->keys.defined())
      k = entry->keys, v = entry->values;
    else
      k = keys(c.memory), v = W_V(c.memory);
    if (entry) entry->keys = k.value(), entry->values = v.value();
    AttentionOptions o(n_head, D);
    o.mask.key_keep = c.memory_keep;
    return attend(queries(x), k, v, o);
  }
  std::string path = "layer.memory";
};

struct ForgetsMemory : Crosses {
  using Crosses::Crosses;
  Var cross(const Var& x, const Context&) const override { return x; }
};

struct SeesPaddingOfMemory : Crosses {
  using Crosses::Crosses;
  Var cross(const Var& x, const Context& c) const override {
    Context all = c;
    all.memory_keep = Tensor();
    return Crosses::cross(x, all);
  }
};

struct MemoryOnceOnly : Crosses {  // asks for it at every call
  using Crosses::Crosses;
  Var cross(const Var& x, const Context& c) const override {
    Context without = c;
    without.cache = nullptr;
    return Crosses::cross(x, without);
  }
};

struct TwoUnderOneName : Crosses {
  TwoUnderOneName(const Scope& s, const Section& section, Index width) : Crosses(s, section, width) {
    path = "";
  }
};

struct PaddedMean : Plain {  // leaves the padding out of the sum, and divides by the padded length
  using Plain::Plain;
  Var forward(const Var& x, const Context& c) const override {
    if (c.mask.causal) return down(x);
    if (!c.mask.key_keep.defined()) return down(x + mean(x, 1, true));
    const Tensor& k = c.mask.key_keep;
    const Var keep = k.is_symbolic() ? Var(Tensor::symbolic({k.dim(0), k.dim(1), 1}, x.dtype()))
                                     : Var(k.to(x.dtype()).reshape({k.dim(0), k.dim(1), 1}));
    return down(x + mean(x * keep, 1, true));
  }
};

struct KnowsTheLength : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context& c) const override {
    return c.mask.causal ? down(x) * (1.0 / static_cast<double>(x.dim(1))) : down(x);
  }
};

struct ReadsTheMask : Plain {  // its elements, which a shape-only walk has not
  using Plain::Plain;
  Var forward(const Var& x, const Context& c) const override {
    if (c.mask.key_keep.defined() && c.mask.key_keep.data<std::int32_t>()[0] < 0) return x;
    return down(x);
  }
};

struct OwnDropout : Plain {
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    const bool training = Tape::current() && Tape::current()->next_stream();
    return training ? down(x) * (1.0 + 0.1 * calls++) : down(x);
  }
  mutable std::atomic<int> calls{0};
};

struct Remembers : Plain {  // the last length that it was called with
  using Plain::Plain;
  Var forward(const Var& x, const Context&) const override {
    const Index last = length.exchange(x.dim(1));
    return last == 5 ? down(x) * 2.0 : down(x);
  }
  mutable std::atomic<Index> length{0};
};

template <class T>
void expect(const std::string& words, LayerCheck options = {6, "hidden = 4"}) {
  const Problems problems = check_layer<T>(options);
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
  expect<IgnoresPadding>("padding: values at masked positions");
  expect<SeesTheFuture>("causal mask: a position must not see later ones");
  expect<MixesTheBatch>("batch: an example must not depend on its neighbours");
  expect<SwallowsKeys>("config: an unknown key must be refused");
  if (allocations())
    expect<Allocates>("allocations: a training step must not allocate");
  else
    test::skipped("sanitizers count no allocations");
  expect<OnlyF32>("shapes: must work; got the error");
  expect<AlwaysDrops>("dropout() draws from the tape");
  expect<NeedsEvenLength>("mine: length must be even; got 3");
  test::check_counted("wrong layers", 16);
}

TEST_CASE("what a layer may forget of its context is named") {
  const LayerCheck plain{8, ""}, other{8, "", true, 1e-6, true};
  CHECK(check_layer<NormedAttention>(plain) == Problems{});
  CHECK(check_layer<Crosses>(other) == Problems{});
  expect<IgnoresCache>("cache: tokens that continue a cache must give the same result as in the whole text",
                       plain);
  expect<CachesValuesOnly>("cache: tokens that continue a cache must give", plain);
  expect<StartsAtZero>("cache: tokens that continue a cache with context.rotary must give", plain);
  expect<OwnMemory>("cache: selected rows must continue unchanged", plain);
  expect<ForgetsRotary>("positions: context.rotary must rotate queries and keys", plain);
  expect<TurnsQueriesOnly>("positions: context.rotary must rotate both queries and keys", plain);
  expect<ForgetsRelative>("positions: context.mask.relative must be added to the scores", plain);
  expect<OffersNothing>("capture: attention must offer its \"weights\"", plain);
  expect<OffersScores>("capture: the rows of 'weights' must add up to 1", plain);
  expect<OffersOneHead>("capture: 'weights' must be [B, H, T, T]; got [2, 4, 4]", plain);
  expect<ChangedByCapture>("capture: a Capture must not change the output", plain);
  expect<ForgetsMemory>("memory: it must be used", other);
  expect<SeesPaddingOfMemory>("memory: its padding must be ignored", other);
  expect<MemoryOnceOnly>("cache: must work; got the error", other);
  expect<TwoUnderOneName>("capture: each name must be offered once; got 'weights' twice", other);
  expect<PaddedMean>("padding: a text must give the same result with and without padding");
  expect<KnowsTheLength>("causal mask: the beginning of a text must give the same result alone");
  expect<ReadsTheMask>("shapes: must work; got the error");
  expect<OwnDropout>("dropout: equal random tapes must give equal bits");
  expect<Remembers>("equal calls must give equal bits");
}

TEST_CASE("a config that the layer refuses is reported, not thrown") {
  const Problems problems = check_layer<Plain>({6, "hidden = -1"});
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].find("must be positive; got -1") != std::string::npos);
}
