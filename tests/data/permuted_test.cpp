#include "data/random_choice.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace qkv;

TEST_CASE("a permuted order holds every number once, whatever their number") {
  for (Index n : {1, 2, 3, 4, 5, 16, 17, 97 * 97}) {
    CAPTURE(n);
    const Stream keys(7, "order");
    std::vector<char> seen(static_cast<std::size_t>(n), 0);
    for (Index i = 0; i < n; i++) {
      const Index x = permuted(i, n, keys);
      REQUIRE((x >= 0 && x < n));
      CHECK(++seen[static_cast<std::size_t>(x)] == 1);
    }
  }
}

TEST_CASE("a permuted order follows from its keys alone, and others give another order") {
  int kept = 0, same = 0, fixed = 0;
  for (Index i = 0; i < 1000; i++) {
    Stream moved(7, "order");
    moved.seek(99);
    kept += permuted(i, 1000, moved) == permuted(i, 1000, Stream(7, "order"));
    same += permuted(i, 1000, Stream(8, "order")) == permuted(i, 1000, Stream(7, "order"));
    fixed += permuted(i, 1000, Stream(7, "order")) == i;
  }
  CHECK(kept == 1000);
  CHECK(same < 10);   // 1 expected
  CHECK(fixed < 10);  // 1 expected
}

TEST_CASE("an order of as many numbers as 9-digit pairs takes no memory") {
  const Index n = 1'000'000'000'000'000'000;
  const Stream keys(7, "order");
  const Index a = permuted(0, n, keys), b = permuted(1, n, keys);
  CHECK(a != b);
  CHECK((a >= 0 && a < n && b >= 0 && b < n));
}
