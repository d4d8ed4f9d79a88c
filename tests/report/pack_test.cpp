#include "report/report.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/json.h"
#include "qkv/base/random.h"

namespace qkv::test {
namespace {

// The reader that the page has, written again.
std::vector<double> unpack(const std::string& text, std::size_t n, double most, int bits) {
  std::string digits;
  for (char c = '!'; c <= '~'; c++)
    if (c != '"' && c != '<' && c != '\\') digits += c;
  REQUIRE(digits.size() == 91);
  std::vector<bool> stream;
  for (std::size_t at = 0; at + 1 < text.size(); at += 2) {
    const std::size_t group = digits.find(text[at]) * 91 + digits.find(text[at + 1]);
    REQUIRE(group < 8192);
    for (int bit = 12; bit >= 0; bit--) stream.push_back(group >> bit & 1);
  }
  const double half = std::ldexp(1, bits - 1) - 1;
  std::vector<double> values;
  for (std::size_t i = 0; i < n; i++) {
    double level = 0;
    for (int k = 0; k < bits; k++)
      level = 2 * level + stream.at(i * static_cast<std::size_t>(bits) + static_cast<std::size_t>(k));
    values.push_back((level - half) / half * most);
  }
  return values;
}

}  // namespace

TEST_CASE("packed values come back within half a step, whatever their number and bits") {
  Stream stream(1, "values");
  for (int bits : {2, 5, 6, 10, 13, 14, 17, 18, 24})
    for (std::size_t n : {0u, 1u, 2u, 7u, 64u}) {
      std::vector<float> values;
      for (std::size_t i = 0; i < n; i++)
        values.push_back(static_cast<float>(std::sin(3.0 * stream.normal())));
      const std::string text = pack(values.data(), static_cast<Index>(n), 1.0, bits);
      const std::vector<double> back = unpack(text, n, 1.0, bits);
      const double step = 1 / (std::ldexp(1, bits - 1) - 1);
      for (std::size_t i = 0; i < n; i++) CHECK(std::abs(back[i] - values[i]) <= 0.5 * step + 1e-9);
    }
  const float odd[] = {5, -5, std::nanf(""), 0};
  CHECK(unpack(pack(odd, 4, 1.0, 8), 4, 1.0, 8) == std::vector<double>{1, -1, 0, 0});
  CHECK_THROWS_AS(pack(odd, 4, 1.0, 25), Error);
}

TEST_CASE("a packed matrix has a scale per row, so that small rows are as exact as large ones") {
  Tensor x = Tensor::zeros({4, 50});
  Stream stream(2, "rows");
  const double sizes[] = {1, 1e-2, 1e3, 0};
  for (Index r = 0; r < 4; r++)
    for (Index c = 0; c < 50; c++)
      x.data<float>()[50 * r + c] = static_cast<float>(sizes[r] * stream.normal());
  const Json packed = packed_matrix(x, 16);
  CHECK(packed.at("shape") == Json({4, 50}));
  const auto data = unpack(packed.at("data"), 200, 1, 16);
  const auto scales = unpack(packed.at("scales"), 4, packed.at("most").get<double>(), 18);
  for (Index i = 0; i < 200; i++) {
    const double bound =
        i / 50 == 1 ? 0.03 : 4 * sizes[i / 50];  // a row far below the largest has a coarse scale
    CHECK(std::abs(data[static_cast<std::size_t>(i)] * scales[static_cast<std::size_t>(i / 50)] - x.at(i)) <=
          bound / 32767);
  }
  CHECK(packed.at("data").get<std::string>().size() + packed.at("scales").get<std::string>().size() <=
        packed_size(4, 50, 16));
  CHECK(packed_matrix(Tensor::zeros({3}), 8).at("shape") == Json({3}));
  CHECK(packed_matrix(Tensor::zeros({2, 3, 4}), 8).at("shape") == Json({2, 3, 4}));
  CHECK(packed_matrix(Tensor::zeros({3}, Dtype::i32), 8).at("whole") == true);
}

}  // namespace qkv::test
