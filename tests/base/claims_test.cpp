#include "base/claims.h"

#include <doctest/doctest.h>

#include "base/waiting.h"

using namespace qkv;

TEST_CASE("the worker of a range claims from its front, others from its back, each task once") {
  Claims range;
  const Job job{7, 100};
  const std::atomic<Job> current{job};
  CHECK(range.take(true, 10, 14, job, current) == 10);
  CHECK(range.take(false, 10, 14, job, current) == 13);
  CHECK(range.take(true, 10, 14, job, current) == 11);
  CHECK(range.take(false, 10, 14, job, current) == 12);
  CHECK(range.take(true, 10, 14, job, current) == -1);
  CHECK(range.take(false, 10, 14, job, current) == -1);
}

TEST_CASE("who comes after the end of a run claims nothing, whether the range is in use again or not") {
  Claims range;
  const Job first{1, 2}, second{2, 3};
  std::atomic<Job> current{first};
  CHECK(range.take(true, 0, 2, first, current) == 0);
  CHECK(range.take(true, 0, 2, first, current) == 1);
  current = second;
  CHECK(range.take(true, 0, 2, first, current) == -1);
  CHECK(range.take(false, 0, 3, second, current) == 2);
  CHECK(range.take(true, 0, 2, first, current) == -1);
  CHECK(range.take(true, 0, 3, second, current) == 0);
}

TEST_CASE("help that costs time is done without for nine times as long, after what it has saved") {
  Worth worth;
  CHECK_FALSE(worth.alone(0));
  worth.add(-0.001, 10);
  CHECK(worth.alone(10.008));
  CHECK_FALSE(worth.alone(10.010));
  worth.add(0.002, 20);
  worth.add(-0.001, 20);
  CHECK_FALSE(worth.alone(20));
  worth.add(-0.002, 20);
  CHECK(worth.alone(20.008));
  CHECK_FALSE(worth.alone(20.010));
  for (int i = 0; i < 1000; ++i) worth.add(-0.00005, 30);  // too short to count
  CHECK_FALSE(worth.alone(30));
}
