#include "data/sampler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "base/machine.h"
#include "count.h"
#include "qkv/base/random.h"

using namespace qkv;

namespace {

std::vector<std::vector<int>> epoch(Sampler& sampler, Index number) {
  std::vector<std::vector<int>> batches;
  for (Index i = 0; i < sampler.steps_per_epoch(); ++i) {
    batches.emplace_back();
    sampler.batch(number * sampler.steps_per_epoch() + i, batches.back());
  }
  return batches;
}

std::vector<int> flat(const std::vector<std::vector<int>>& batches) {
  std::vector<int> all;
  for (const auto& batch : batches) all.insert(all.end(), batch.begin(), batch.end());
  return all;
}

SamplerOptions options(bool shuffle, std::vector<int> lengths = {}) {
  return {shuffle, std::move(lengths)};
}

}  // namespace

TEST_CASE("sampler: an epoch is the permutation of its stream, cut into batches") {
  Sampler sampler(10, 4, 7);
  CHECK(sampler.steps_per_epoch() == 3);
  CHECK(sampler.epoch_of(2) == 0);
  CHECK(sampler.epoch_of(3) == 1);
  for (Index e : {0, 1, 5}) {
    auto batches = epoch(sampler, e);
    CHECK(batches[2].size() == 2);
    CHECK(flat(batches) == permutation(10, Stream(7, "sampler", e)));
  }
  CHECK(flat(epoch(sampler, 0)) != flat(epoch(sampler, 1)));
}

TEST_CASE("sampler: a batch depends on the step alone, not on what was asked before") {
  for (const auto& lengths : {std::vector<int>{}, std::vector<int>(101, 3)}) {
    Sampler forward(101, 8, 3, options(true, lengths));
    Sampler jumping(101, 8, 3, options(true, lengths));
    std::vector<int> expected, got;
    for (Index step : {40, 3, 26, 3, 0}) {
      Sampler fresh(101, 8, 3, options(true, lengths));
      fresh.batch(step, expected);
      jumping.batch(step, got);
      CHECK(got == expected);
    }
    for (Index step = 0; step <= 40; ++step) forward.batch(step, expected);
    jumping.batch(40, got);
    CHECK(got == expected);
  }
}

TEST_CASE("sampler: without shuffling the order is that of the data") {
  Sampler plain(5, 2, 1, options(false));
  CHECK(epoch(plain, 3) == std::vector<std::vector<int>>{{0, 1}, {2, 3}, {4}});
  Sampler one(3, 100, 1);
  CHECK(epoch(one, 0)[0].size() == 3);
}

TEST_CASE("sampler: buckets hold similar lengths, cover every example once and differ between epochs") {
  std::vector<int> lengths;
  Stream stream(5, "lengths");
  for (int i = 0; i < 1003; ++i) lengths.push_back(static_cast<int>(stream.below(60)));
  Sampler sampler(1003, 8, 9, options(true, lengths));
  auto spread = [&](const std::vector<std::vector<int>>& batches) {
    double total = 0;
    for (const auto& batch : batches) {
      std::vector<int> sizes;
      for (int i : batch) sizes.push_back(lengths[static_cast<std::size_t>(i)]);
      auto [low, high] = std::minmax_element(sizes.begin(), sizes.end());
      total += *high - *low;
    }
    return total / static_cast<double>(batches.size());
  };
  const auto first = epoch(sampler, 0), second = epoch(sampler, 1);
  for (const auto& batches : {first, second}) {
    const auto all = flat(batches);
    CHECK(std::set<int>(all.begin(), all.end()).size() == 1003);
    CHECK(all.size() == 1003);
    CHECK(spread(batches) < 5);
  }
  CHECK(first != second);
  Sampler plain(1003, 8, 9);
  CHECK(spread(epoch(plain, 0)) > 30);
}

TEST_CASE("sampler: steps do not allocate, not even where epochs change") {
  for (const auto& lengths : {std::vector<int>{}, std::vector<int>(101, 3)}) {
    Sampler sampler(101, 8, 3, options(true, lengths));
    std::vector<int> indices;
    sampler.batch(0, indices);
    const auto before = allocations();
    for (Index step = 0; step < 60; ++step) sampler.batch(step, indices);
    CHECK(allocations() == before);
  }
}

TEST_CASE("sampler: wrong sizes are errors") {
  CHECK_THROWS_WITH(Sampler(0, 4, 1), "sampler: number of examples must be in [1, 2^31); got 0");
  CHECK_THROWS_WITH(Sampler(4, 0, 1), "sampler: batch_size must be at least 1; got 0");
  CHECK_THROWS_WITH(Sampler(3, 1, 1, options(true, {1, 2})),
                    "sampler: lengths must be given for each of the 3 examples; got 2");
  Sampler sampler(3, 1, 1);
  std::vector<int> indices;
  CHECK_THROWS_WITH(sampler.batch(-1, indices), "sampler: step must not be negative; got -1");
}

TEST_CASE("sampler: the order of many examples is computed: each example once per epoch, without memory") {
  const Index n = Sampler::kComputed + 4321;
  Sampler sampler(n, 1000, 5);
  for (Index e : {0, 3}) {
    std::vector<int> seen = flat(epoch(sampler, e));
    CHECK(static_cast<Index>(seen.size()) == n);
    Index fixed = 0, rising = 0;
    for (Index i = 0; i < n; i++) {
      fixed += seen[static_cast<std::size_t>(i)] == i;
      rising += i > 0 && seen[static_cast<std::size_t>(i)] > seen[static_cast<std::size_t>(i - 1)];
    }
    CHECK(fixed < 20);
    CHECK(std::abs(static_cast<double>(rising) / static_cast<double>(n) - 0.5) < 0.02);
    std::sort(seen.begin(), seen.end());
    for (Index i = 0; i < n; i++) REQUIRE(seen[static_cast<std::size_t>(i)] == i);
  }
  std::vector<int> a, b;
  sampler.batch(0, a);
  sampler.batch(sampler.steps_per_epoch(), b);
  CHECK(a != b);
  if (const auto before = allocations()) {
    for (Index step = 0; step < 20; step++) sampler.batch(step * 31, a);
    CHECK(*allocations() == *before);
  } else {
    test::skipped("sanitizers count no allocations");
  }
}

TEST_CASE(
    "sampler: batches by tokens hold what fits when padded, each example once, equally many per epoch") {
  std::vector<int> lengths;
  for (int i = 0; i < 500; i++) lengths.push_back(1 + i * 7 % 41);
  lengths.push_back(300);  // longer than a batch: has one of its own
  SamplerOptions by_tokens = options(true, lengths);
  by_tokens.batch_tokens = 128;
  Sampler sampler(501, 32, 3, by_tokens);
  Index full = 0;
  for (Index e : {0, 1, 4}) {
    const auto batches = epoch(sampler, e);
    std::vector<int> all = flat(batches);
    std::sort(all.begin(), all.end());
    for (int i = 0; i < 501; i++) REQUIRE(all[static_cast<std::size_t>(i)] == i);
    for (const auto& batch : batches) {
      int longest = 0;
      for (int i : batch) longest = std::max(longest, lengths[static_cast<std::size_t>(i)]);
      const Index padded = longest * static_cast<Index>(batch.size());
      CHECK((padded <= 128 || batch.size() == 1));
      full += padded > 64;
    }
  }
  CHECK(full > 3 * (sampler.steps_per_epoch() - 5));
  CHECK(epoch(sampler, 0) != epoch(sampler, 1));
  Sampler other(501, 32, 3, by_tokens);
  std::vector<int> a, b;
  for (Index step : {70, 3, 200}) {
    other.batch(step, a);
    Sampler fresh(501, 32, 3, by_tokens);
    fresh.batch(step, b);
    CHECK(a == b);
  }
}

TEST_CASE(
    "sampler: by blocks each example comes once per epoch, near its neighbours, in another order each time") {
  const Index block = 32, group = Sampler::kMixed * block;
  for (const Index n : {Index{5000}, Sampler::kComputed + 777}) {  // kept and computed
    SamplerOptions by_blocks = options(true);
    by_blocks.block = block;
    Sampler sampler(n, 64, 11, by_blocks);
    std::vector<std::vector<int>> orders;
    for (Index e : {0, 1, 6}) {
      orders.push_back(flat(epoch(sampler, e)));
      const std::vector<int>& order = orders.back();
      std::vector<int> sorted = order;
      std::sort(sorted.begin(), sorted.end());
      for (Index i = 0; i < n; i++) REQUIRE(sorted[static_cast<std::size_t>(i)] == i);
      Index neighbours = 0, runs = 0, groups = 0;
      for (Index begin = 0; begin + group <= n / block * block; begin += group) {
        std::set<int> own(order.begin() + begin, order.begin() + begin + group);
        for (int i : own) neighbours += own.count(static_cast<int>((i + 1) % n)) > 0;
        for (Index i = begin; i + 1 < begin + group; i++)
          runs += order[static_cast<std::size_t>(i)] + 1 == order[static_cast<std::size_t>(i + 1)];
        groups++;
      }
      CHECK(neighbours >= groups * (group - Sampler::kMixed));  // all but the last of each block
      CHECK(neighbours < groups * group);
      CHECK(runs < groups * group / 50);  // but they are mixed
    }
    CHECK(orders[0] != orders[1]);
    CHECK(orders[1] != orders[2]);
    // blocks begin at other places in each epoch
    auto first = [&](std::size_t e) {
      return std::set<int>(orders[e].begin(), orders[e].begin() + group);
    };
    CHECK(first(0) != first(1));
    std::vector<int> a, b;
    for (Index step : {70, 3, 130}) {  // a function of the step
      Sampler fresh(n, 64, 11, by_blocks);
      fresh.batch(step, a);
      sampler.batch(step, b);
      CHECK(a == b);
    }
  }
}

TEST_CASE("sampler: a block that is longer than the data is all of them") {
  SamplerOptions by_blocks = options(true);
  by_blocks.block = 1000;
  Sampler sampler(37, 10, 2, by_blocks);
  std::vector<int> all = flat(epoch(sampler, 4));
  CHECK(all != flat(epoch(sampler, 5)));
  std::sort(all.begin(), all.end());
  for (int i = 0; i < 37; i++) CHECK(all[static_cast<std::size_t>(i)] == i);
}
