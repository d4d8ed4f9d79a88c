#include "qkv/tensor/shape.h"

#include <doctest/doctest.h>

using namespace qkv;

TEST_CASE("a shape knows its extents from both ends, its size and its text") {
  Shape s{2, 3, 4};
  CHECK(s.rank() == 3);
  CHECK(s[0] == 2);
  CHECK(s[-1] == 4);
  CHECK(s.size() == 24);
  CHECK(s.size_of(1, 3) == 12);
  CHECK(s.size_of(1, 1) == 1);
  CHECK(s.str() == "[2, 3, 4]");
  CHECK(fmt::format("{}", Shape{}) == "[]");
  CHECK(Shape{}.size() == 1);
  CHECK(Shape{3, 0, 2}.size() == 0);
  s.set(-2, 5);
  s.push_back(6);
  CHECK(s == Shape{2, 5, 4, 6});
  CHECK(s != Shape{2, 5, 4});
}

TEST_CASE("broadcasting follows NumPy") {
  struct Case {
    Shape a, b, expected;
  };
  const Case cases[] = {{{2, 3}, {2, 3}, {2, 3}}, {{2, 3}, {3}, {2, 3}},          {{2, 1}, {3}, {2, 3}},
                        {{}, {2, 3}, {2, 3}},     {{4, 1, 3}, {2, 1}, {4, 2, 3}}, {{1}, {0}, {0}},
                        {{2, 0}, {2, 1}, {2, 0}}};
  for (const Case& c : cases) {
    CHECK(broadcast("add", c.a, c.b) == c.expected);
    CHECK(broadcast("add", c.b, c.a) == c.expected);
  }
  CHECK_THROWS_WITH_AS(broadcast("add", {2, 3}, {2}), "add: shapes must broadcast; got a [2, 3] and b [2]",
                       Error);
  CHECK_THROWS_WITH_AS(broadcast("add", {0}, {2}), "add: shapes must broadcast; got a [0] and b [2]", Error);
}

TEST_CASE("a shape refuses what it cannot hold") {
  Shape s{2, 3};
  CHECK_THROWS_WITH_AS(s[2], "shape: axis must be in [-2, 2); got 2 for shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS(s.set(-3, 1), "shape: axis must be in [-2, 2); got -3 for shape [2, 3]", Error);
  CHECK_THROWS_WITH_AS((Shape{2, -1}), "shape: extents must not be negative; got -1 at axis 1", Error);
  CHECK_THROWS_WITH_AS(s.set(0, -1), "shape: extents must not be negative; got -1 at axis 0", Error);
  CHECK_THROWS_WITH_AS(s.push_back(-1), "shape: extents must not be negative; got -1 at axis 2", Error);
  CHECK(s == Shape{2, 3});
  CHECK_THROWS_WITH_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), "shape: rank must be at most 8; got 9", Error);
  Shape full{1, 1, 1, 1, 1, 1, 1, 1};
  CHECK_THROWS_WITH_AS(full.push_back(1), "shape: rank must be at most 8; got 9", Error);
  const Index huge = Index{1} << 31;
  CHECK(Shape{Index{1} << 60}.size() == Index{1} << 60);
  CHECK_THROWS_WITH_AS(Shape({huge, huge}).size(),
                       "shape: number of elements must be at most 2^60; got [2147483648, 2147483648]", Error);
  CHECK_THROWS_AS(Shape({huge, huge, huge}).size(), Error);
}
