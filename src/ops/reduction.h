// What the reductions share: the shapes of a result, and their gradient checks.
#pragma once
#include "elementwise.h"

namespace qkv::reduction {
using namespace elementwise;

template <class F>
void check_reduction(GradSuite& g, F f) {
  auto check = [&](const char* label, const Shape& shape, const Axes& axes, bool keep_dims) {
    g.check(label, {g.normal(shape)}, [=](const Vars& in) { return f(in[0], axes, keep_dims); });
  };
  check("all", {2, 3, 4}, {}, false);
  check("all kept", {2, 3}, {}, true);
  check("last axis", {3, 19}, {-1}, false);
  check("first axis", {3, 19}, {0}, true);
  check("middle axis", {2, 3, 4}, {1}, false);
  check("outer axes", {2, 3, 4}, {0, -1}, false);
  check("inner axes", {2, 3, 4}, {2, 1}, true);
  check("size 1", {1, 1}, {0}, false);
  check("scalar", {}, {}, false);
}

// Shapes of a result: with reduced axes kept as 1, and as asked for.
struct Reduction {
  Shape kept, y;
  Index count;  // of elements per result
  Reduction(const char* op, const Var& x, const Axes& axes, bool keep_dims) : kept(x.shape()), count(1) {
    check_dtype(op, x);
    const unsigned reduced = axes.mask(op, x.shape());
    for (int i = 0; i < x.rank(); i++) {
      const bool gone = reduced >> i & 1u;
      if (gone) count *= x.dim(i), kept.set(i, 1);
      if (!gone || keep_dims) y.push_back(kept[i]);
    }
  }
  // Pairs the elements of x with those of the result.
  Broadcast<2> pairs(const Shape& x) const { return Broadcast<2>("reduce", x, kept); }
};

}  // namespace qkv::reduction
