#include "qkv/autograd/gradcheck.h"

#include <doctest/doctest.h>

using namespace qkv;

TEST_CASE("every registered op passes its gradient check within 1e-6") {
  REQUIRE(registered_ops().size() > 3);
  for (const GradResult& result : run_gradcheck_all()) {
    CAPTURE(result.op);
    CAPTURE(result.label);
    CHECK(result.elements > 0);
    CHECK(result.max_relative_error <= GradSuite::kBound);
  }
}
