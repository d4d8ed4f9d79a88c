#include "base/at.h"
#include "check_layer_parts.h"
#include "qkv/autograd/capture.h"
#include "qkv/base/text.h"
#include "qkv/ops/shape_ops.h"

namespace qkv::layer_check {
namespace {

constexpr double kEqual = 1e-9;

Context masked(bool causal, const Tensor& keep) {
  Context context;
  context.mask.causal = causal;
  context.mask.key_keep = keep;
  return context;
}

class ContextChecker : Checks {
 public:
  using Checks::Checks;

  void run() {
    check("batch", [&] { batch(); });
    if (o_.masks) check("masks", [&] { padding(); });
    if (o_.masks) check("causal mask", [&] { causal(); });
    check("shapes", [&] { walks(); });
    if (o_.memory) check("memory", [&] { memory(); });
    check("positions", [&] { positions(); });
    check("cache", [&] { cache(); });
    check("capture", [&] { captures(); });
  }

 private:
  // A layer whose parameters are away from special values.
  struct Shaken : Subject {
    explicit Shaken(const ContextChecker& of) : Subject(of.make_, of.o_, Dtype::f64) { shake(); }
  };

  // x with other elements at the time steps [begin, end) of example b.
  static Tensor changed(const Tensor& x, Index b, Index begin, Index end) {
    Tensor other = x.clone();
    const Index d = x.dim(2);
    for (Index i = begin * d; i < end * d; i++) other.data<double>()[b * x.dim(1) * d + i] += 1.0;
    return other;
  }
  static Tensor times(const Tensor& x, Index begin, Index end) {
    return slice(Var(x), 1, begin, end).value();
  }
  // Reports a difference d that is too large; its text may name it as {0}. Whether there was none.
  template <class... Args>
  bool equal(double d, fmt::format_string<double&, Args...> text, Args&&... args) {
    if (d > kEqual) report(text, d, std::forward<Args>(args)...);
    return d <= kEqual;
  }

  void batch() {
    const Shaken subject(*this);
    const Tensor x = input(3, 4), y = call(subject, x).value();
    Context context = with_memory({}, x);
    if (o_.memory)
      context.memory = context.memory.value().rows(1, 1),
      context.memory_keep = context.memory_keep.rows(1, 1);
    const Tensor alone = call(subject, x.rows(1, 1).clone(), context).value();
    equal(difference(y, 1, alone, 0, 0, 4),
          "batch: an example must not depend on its neighbours in the batch; got a difference of {:.2g} when "
          "alone");
  }

  // What stands at padding must not reach the others, nor how much of it there is.
  void padding() {
    const Shaken subject(*this);
    const Tensor x = input(2, 4);
    for (const bool causal : {false, true}) {
      const Context context = masked(causal, Tensor::from<std::int32_t>({2, 4}, {1, 1, 1, 0, 1, 1, 1, 1}));
      const Tensor y = call(subject, x, context).value();
      const Context shorter = masked(causal, Tensor::full({2, 3}, 1, Dtype::i32));
      if (!equal(
              difference(y, 0, call(subject, changed(x, 0, 3, 4), context).value(), 0, 0, 3),
              "padding: values at masked positions must not affect the others (context.mask.key_keep); got a "
              "difference of {:.2g}") ||
          !equal(difference(y, 0, call(subject, times(x, 0, 3), shorter).value(), 0, 0, 3),
                 "padding: a text must give the same result with and without padding; got a difference of "
                 "{:.2g}"))
        return;
    }
  }

  // No position sees a later one, nor how many there are; generation rests on it.
  void causal() {
    const Shaken subject(*this);
    constexpr Index T = 7;
    const Tensor x = input(1, T);
    const Context context = masked(true, {});
    const Tensor y = call(subject, x, context).value();
    for (Index t = 1; t < T; t++)
      if (!equal(difference(y, 0, call(subject, changed(x, 0, t, T), context).value(), 0, 0, t),
                 "causal mask: a position must not see later ones (context.mask.causal); got a difference of "
                 "{:.2g}") ||
          !equal(difference(y, 0, call(subject, times(x, 0, t), context).value(), 0, 0, t),
                 "causal mask: the beginning of a text must give the same result alone; got a difference of "
                 "{:.2g} at {} of {} tokens",
                 t, T))
        return;
  }

  // The shape-only walk with all that a context may hold.
  void walks() {
    const Subject shape_only(make_, o_, Dtype::f64, 1, true);
    const Tensor x = Tensor::symbolic({2, 3, o_.width}, Dtype::f64);
    const Shape expected{2, 3, shape_only.layer->out_width()};
    for (const bool causal : {false, true}) {
      const Shape walked = call(shape_only, x, masked(causal, Tensor::symbolic({2, 3}, Dtype::i32))).shape();
      if (walked != expected)
        report("shapes: a shape-only input with a mask must give {}; got {}", expected, walked);
    }
  }

  void memory() {
    const Shaken subject(*this);
    const Tensor x = input(2, 3);
    const Context context = with_memory({}, x);
    const Tensor y = call(subject, x, context).value();
    Context other = context;
    other.memory = changed(context.memory.value(), 0, kMemory - 1, kMemory);
    if (difference(y, 0, call(subject, x, other).value(), 0, 0, 3) <= kEqual)
      return report("memory: it must be used (context.memory); got equal outputs for different memories");
    Context padded = context;
    other.memory_keep = padded.memory_keep =
        Tensor::from<std::int32_t>({2, kMemory}, {1, 1, 1, 0, 1, 1, 1, 1});
    equal(difference(call(subject, x, padded).value(), 0, call(subject, x, other).value(), 0, 0, 3),
          "memory: its padding must be ignored (context.memory_keep); got a difference of {:.2g}");
  }

  // How a layer takes positions that attention applies: the number for which it works, RoPE's pairs of a head
  // or the heads of a bias by distance (ALiBi, T5). 0: it throws for each, so it looks; -1: nothing changes.
  struct Taken {
    Index rope = -1, relative = -1;
  };
  static Context with_rope(Context context, Index pairs, Index begin, Index length) {
    context.rotary = rotary_table(begin, length, 2 * pairs, 10000.0, Dtype::f64);
    return context;
  }
  static Context with_relative(Context context, Index heads) {
    context.mask.relative = noise({heads, 13}, Dtype::f64, 11);
    return context;
  }
  Taken taken(const Subject& subject) const {
    const Tensor x = input(1, 5), y = call(subject, x, masked(true, {})).value();
    auto find = [&](auto&& place) {
      Index result = -1;
      for (Index n = 1; n <= 64; n++) try {
          if (difference(y, 0, call(subject, x, place(n)).value(), 0, 0, 5) > kEqual) return n;
        } catch (const Error&) {
          result = 0;
        }
      return result;
    };
    return {find([&](Index n) { return with_rope(masked(true, {}), n, 0, 5); }),
            find([&](Index n) { return with_relative(masked(true, {}), n); })};
  }
  // A token sees others.
  bool mixes(const Subject& subject) const {
    const Tensor x = input(1, 5), other = changed(x, 0, 0, 1);
    const Context context = masked(true, {});
    return difference(call(subject, x, context).value(), 0, call(subject, other, context).value(), 0, 1, 5) >
           kEqual;
  }

  void positions() {
    const Shaken subject(*this);
    if (!o_.positions || !mixes(subject)) return;
    const Taken t = taken(subject);
    if (t.rope < 0)
      report(
          "positions: context.rotary must rotate queries and keys (position.type = \"rope\"); got equal "
          "outputs with and without (LayerCheck::positions = false if the layer knows the order by itself)");
    if (t.rope > 0) {
      const Tensor x = input(1, 5);
      auto from = [&](Index begin) {
        return call(subject, x, with_rope(masked(true, {}), t.rope, begin, 5)).value();
      };
      equal(difference(from(0), 0, from(9), 0, 0, 5),
            "positions: context.rotary must rotate both queries and keys, and nothing else: only distances "
            "count; got a difference of {:.2g} for a text that begins 9 tokens later");
    }
    if (t.relative < 0)
      report(
          "positions: context.mask.relative must be added to the scores (position.type = \"alibi\"); got "
          "equal "
          "outputs with and without (LayerCheck::positions = false if the layer knows the order by itself)");
  }

  // The whole text at once, and in pieces with a cache.
  void cache() {
    const Shaken subject(*this);
    if (!subject.layer->continues()) return;
    const Taken t = mixes(subject) ? taken(subject) : Taken();
    continues(subject, "", [](Context c, Index, Index) { return c; });
    if (t.rope > 0)
      continues(subject, " with context.rotary",
                [&](Context c, Index begin, Index n) { return with_rope(c, t.rope, begin, n); });
    if (t.relative > 0)
      continues(subject, " with context.mask.relative",
                [&](Context c, Index, Index) { return with_relative(c, t.relative); });
  }

  template <class Place>
  void continues(const Subject& subject, const char* with, const Place& place) {
    constexpr Index T = 7;
    const Tensor x = input(2, T), whole = call(subject, x, place(masked(true, {}), 0, T)).value();
    KeyValueCache cache(2, T, 1);
    auto feed = [&](const Tensor& all, Index n) {
      const Index begin = cache.length();
      Context context = place(masked(true, {}), begin, n);
      context.cache = &cache;
      cache.begin();
      const Tensor y = call(subject, times(all, begin, begin + n), context).value();
      cache.advance(n);
      return y;
    };
    auto differs = [&](const Tensor& y, Index row, Index of, Index begin) {
      return difference(y, row, times(whole, begin, begin + y.dim(1)), of, 0, y.dim(1));
    };
    for (Index n : {3, 1, 2}) {
      const Index begin = cache.length();
      const Tensor y = feed(x, n);
      if (!equal(
              std::max(differs(y, 0, 0, begin), differs(y, 1, 1, begin)),
              "cache: tokens that continue a cache{1} must give the same result as in the whole text; got a "
              "difference of {0:.2g} at token {2} (leave out continues(), or see docs/extending.md)",
              with, begin))
        return;
    }
    const std::vector<int> from{1, 1, 0};
    cache.select(from);
    const Tensor y = feed(index_select(x, Tensor::from({3}, from)).value(), 1);
    for (Index r = 0; r < 3; r++)
      if (!equal(differs(y, r, at(from, r), T - 1),
                 "cache: selected rows must continue unchanged{1}; got a difference of {0:.2g} (what a layer "
                 "remembers must be in the cache, rows first)",
                 with))
        return;
  }

  void captures() {
    const Shaken subject(*this);
    const Tensor x = input(2, 4);
    const Context context = masked(true, {});
    const Tensor y = call(subject, x, context).value();
    Capture capture;
    if (!call(subject, x, context).value().same_bits(y))
      report("capture: a Capture must not change the output; got another one");
    bool weights = false;
    std::vector<std::string> names;
    for (auto& [name, tensor] : capture.all()) {
      const bool part = name == "out" || ends_with(name, ".out");  // a part may run twice
      if (!part && std::count(names.begin(), names.end(), name))
        report("capture: each name must be offered once; got '{}' twice (give each part a LayerPath)", name);
      names.push_back(name);
      if (name != "weights" && !ends_with(name, ".weights")) continue;
      weights = true;
      offered(name, tensor);
    }
    const Taken t = o_.positions && mixes(subject) ? taken(subject) : Taken();
    if (!weights && (t.rope > 0 || t.relative > 0))
      report(
          "capture: attention must offer its \"weights\" [B, H, T, T], for inspect and the report; got none "
          "(see attend, or Capture::offer)");
  }

  void offered(const std::string& name, const Tensor& w) {
    const bool self = w.rank() == 4 && w.dim(3) == 4,
               memory = w.rank() == 4 && o_.memory && w.dim(3) == kMemory;
    if (w.rank() != 4 || w.dim(0) != 2 || w.dim(2) != 4 || !(self || memory))
      return report("capture: '{}' must be [B, H, T, T]; got {} for B = 2, T = 4", name, w.shape());
    const Index S = w.dim(3);
    for (Index row = 0; row < w.size() / S; row++) {
      double sum = 0, later = 0;
      for (Index s = 0; s < S; s++) {
        sum += w.at(row * S + s);
        if (s > row % 4) later += std::abs(w.at(row * S + s));
      }
      if (std::abs(sum - 1) > 1e-6 && sum != 0)
        return report("capture: the rows of '{}' must add up to 1; got {:.6g}", name, sum);
      if (o_.masks && !o_.memory && later > 0)
        return report("capture: '{}' must be 0 at later positions under a causal mask; got {:.2g}", name,
                      later);
    }
  }
};

}  // namespace

void check_context(const std::function<Layer::Factory>& make, const LayerCheck& options,
                   std::vector<std::string>& problems) {
  ContextChecker(make, options, problems).run();
}

}  // namespace qkv::layer_check
