#include "qkv/base/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "qkv/base/error.h"

using namespace qkv;

TEST_CASE("philox gives the known answers of Random123") {
  using Block = std::array<std::uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
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

TEST_CASE("bulk fills equal the single draws at any start and length") {
  for (std::size_t start : {0, 1, 2, 3, 5, 127})
    for (std::size_t n : {0, 1, 2, 127, 128, 129, 1000}) {
      Stream stream(3, "fill");
      stream.seek(start);
      std::vector<std::uint32_t> bits(n);
      std::vector<float> f(n), g(n);
      std::vector<double> d(n), e(n);
      fill_bits(stream, bits.data(), n);
      fill_uniform(stream, f.data(), n);
      fill_uniform(stream, d.data(), n);
      fill_normal(stream, g.data(), n);
      fill_normal(stream, e.data(), n);
      Stream s = stream, t = stream, u = stream, v = stream;
      bool equal = true;
      for (std::size_t i = 0; i < n; ++i) {
        double z = v.normal();
        equal = equal && bits[i] == s.bits() && f[i] == t.uniform() && d[i] == u.uniform64();
        equal = equal && g[i] == static_cast<float>(z) && e[i] == z;
      }
      CHECK(equal);
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
