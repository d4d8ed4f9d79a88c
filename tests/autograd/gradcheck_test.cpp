#include "qkv/autograd/gradcheck.h"

#include <doctest/doctest.h>

using namespace qkv;

TEST_CASE("every registered op passes its gradient check within 1e-6") {
  REQUIRE(registered_ops().size() > 3);
  for (const Op* op : registered_ops())
    for (const GradResult& result : run_gradcheck(*op)) {
      CAPTURE(result.op);
      CAPTURE(result.label);
      CHECK(result.elements > 0);
      CHECK(result.max_relative_error <= GradSuite::kBound);
    }
}

TEST_CASE("a fused op that differs from its definition is refused") {
  GradSuite g("test");
  auto same = [](const Vars& in) {
    return in[0];
  };
  const Tensor other = g.normal({3});
  auto wrong = [&](const Vars&) {
    return Var(other);
  };
  g.check("same", {g.normal({3})}, same, same);
  CHECK_THROWS_WITH_AS(g.check("other", {g.normal({3})}, same, wrong),
                       doctest::Contains("gradcheck test other: must agree with its definition"), Error);
}
