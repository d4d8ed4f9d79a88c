#include "qkv/base/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "qkv/base/error.h"

using namespace qkv;

using Block = std::array<std::uint32_t, 4>;

// One Philox4x32-10 block as Salmon et al. (SC 2011) define it.
static Block philox(Block c, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round, key[0] += 0x9e3779b9, key[1] += 0xbb67ae85) {
    const std::uint64_t p0 = std::uint64_t{0xd2511f53} * c[0], p1 = std::uint64_t{0xcd9e8d57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
  }
  return c;
}

TEST_CASE("a stream gives the words of Philox4x32-10, which has the known answers of Random123") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  const auto low = [](std::uint64_t x) {
    return static_cast<std::uint32_t>(x);
  };
  Stream stream(0xa4093822299f31d0, "dropout", 3, 1);
  const std::uint64_t id = stream.id(), seed = stream.seed(), last = (std::uint64_t{1} << 40) + 5;
  for (const std::uint64_t block : {std::uint64_t{0}, std::uint64_t{1}, last}) {
    stream.seek(4 * block);
    for (const std::uint32_t word :
         philox({low(block), low(block >> 32), low(id), low(id >> 32)}, {low(seed), low(seed >> 32)}))
      CHECK(stream.bits() == word);
  }
}

TEST_CASE("streams with equal arguments are equal, and any changed argument gives another stream") {
  Stream a(7, "dropout", 3, 1), b(7, "dropout", 3, 1);
  for (int i = 0; i < 100; ++i) CHECK(a.bits() == b.bits());
  std::set<std::uint64_t> first;
  for (auto stream :
       {Stream(7, "dropout"), Stream(7, "dropout", 0), Stream(7, "dropout", 1), Stream(8, "dropout"),
        Stream(7, "dropout", 1, 3), Stream(7, "dropout", 3, 1), Stream(7, "init"), Stream(7, ""),
        Stream(7, "dropout").part("x"), Stream(7, "dropout", 3).part(2)})
    first.insert(stream.bits64());
  CHECK(first.size() == 10);
  CHECK(Stream(7, "dropout", 3).part(1).bits() == Stream(7, "dropout", 3, 1).bits());
}

TEST_CASE("the numbers of a stream stay the same in every release") {
  CHECK(Stream(1337, "init", 5).bits64() == 15985207489831528440u);
}

TEST_CASE("a copied stream continues on its own and seek returns to any word") {
  Stream a(1, "x");
  a.bits();
  Stream b = a;
  CHECK(a.bits() == b.bits());
  std::uint32_t second = Stream(a).bits();
  a.seek(0);
  a.bits();
  a.bits();
  CHECK(a.bits() == second);
}

TEST_CASE("fill_normal equals the single draws") {
  Stream stream(3, "fill");
  std::vector<float> f(129);
  std::vector<double> d(129);
  fill_normal(stream, f.data(), f.size());
  fill_normal(stream, d.data(), d.size(), 0.5, 2.0);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const double z = stream.normal();
    CHECK(f[i] == static_cast<float>(z));
    CHECK(d[i] == 0.5 + 2.0 * z);
  }
}

TEST_CASE("uniform, normal and below have the right moments") {
  const int n = 200000;
  Stream stream(11, "moments");
  double sum = 0, square = 0, fourth = 0, lowest = 1, highest = 0, mean = 0;
  std::array<int, 6> dice{};
  for (int i = 0; i < n; ++i) {
    double u = stream.uniform(), z = stream.normal();
    mean += u / n;
    lowest = std::min(lowest, u);
    highest = std::max(highest, u);
    sum += z / n;
    square += z * z / n;
    fourth += z * z * z * z / n;
    ++dice[stream.below(6)];
  }
  CHECK(mean == doctest::Approx(0.5).epsilon(0.01));
  CHECK(lowest < 1e-4);
  CHECK(highest > 1 - 1e-4);
  CHECK(highest < 1);
  CHECK(std::abs(sum) < 0.01);
  CHECK(square == doctest::Approx(1).epsilon(0.02));
  CHECK(fourth == doctest::Approx(3).epsilon(0.05));
  for (int count : dice) CHECK(std::abs(count - n / 6.0) < 5 * std::sqrt(n / 6.0));
  CHECK(stream.below(1) == 0);
  CHECK_THROWS_WITH_AS(stream.below(0), "Stream::below: n must be positive; got 0", Error);
}

TEST_CASE("a keep mask made in pieces equals the mask made at once") {
  Stream stream(5, "mask", 2);
  std::vector<float> whole(1000), pieces(1000);
  keep_mask(stream, 40, 0.3f, whole.data(), whole.size(), 2.0f);
  std::size_t sizes[] = {1, 2, 3, 88, 127, 128, 129, 300, 222};
  std::size_t done = 0;
  for (std::size_t size : sizes) {
    stream.bits();  // the position does not matter
    keep_mask(stream, 40 + done, 0.3f, pieces.data() + done, size, 2.0f);
    done += size;
  }
  CHECK(done == 1000);
  CHECK(whole == pieces);
  std::vector<double> wide(1000);
  keep_mask(stream, 40, static_cast<double>(0.3f), wide.data(), wide.size(), 2.0);
  CHECK(std::equal(whole.begin(), whole.end(), wide.begin()));
}

TEST_CASE("a keep mask drops the given share, none at 0 and all at 1") {
  const std::size_t n = 1 << 20;
  std::vector<float> mask(n);
  for (float p : {0.0f, 0.1f, 0.5f, 0.9f, 1.0f}) {
    keep_mask(Stream(1, "share"), 0, p, mask.data(), n);
    auto dropped = static_cast<double>(std::count(mask.begin(), mask.end(), 0.0f));
    CHECK(std::abs(dropped / n - p) <= 5 * std::sqrt(p * (1 - p) / n));
  }
  CHECK_THROWS_WITH_AS(keep_mask(Stream(1, "x"), 0, 1.5f, mask.data(), n),
                       "keep_mask: p_drop must be between 0 and 1; got 1.5", Error);
}

TEST_CASE("permutation holds every index once and differs between streams") {
  auto order = permutation(1000, Stream(1, "order", 0));
  CHECK(order != permutation(1000, Stream(1, "order", 1)));
  CHECK(order == permutation(1000, Stream(1, "order", 0)));
  std::sort(order.begin(), order.end());
  for (int i = 0; i < 1000; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
  CHECK(permutation(0, Stream(1, "order")).empty());
}

TEST_CASE("the elements of a keep mask stay the same in every release") {
  std::vector<float> mask(16);
  std::uint32_t pattern = 0;
  for (std::uint64_t offset : {0, 300, 600}) {
    keep_mask(Stream(1337, "dropout", 5), offset, 0.5f, mask.data(), mask.size());
    for (float value : mask) pattern = pattern << 1 | static_cast<std::uint32_t>(value);
  }
  CHECK(pattern == 3496969161u);
}
