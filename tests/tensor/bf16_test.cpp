#include "tensor/bf16.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "qkv/base/random.h"
#include "qkv/base/threads.h"
#include "qkv/nn/parameter.h"
#include "qkv/ops/matmul.h"
#include "tensor/bf16_units.h"

using namespace qkv;
using gemm_kernel::Strided, gemm_kernel::Target;

namespace {

// The first products of this test program may be of either kind, so each case leaves f32 behind.
struct InBf16 {
  InBf16() { set_matmul(Matmul::bf16); }
  ~InBf16() { set_matmul(Matmul::f32); }
};

std::vector<float> normal_values(Index count, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  fill_normal(Stream(seed, "bf16"), values.data(), values.size());
  return values;
}

float of_bits(std::uint32_t bits) {
  float x = 0;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The nearest of the two bf16 around x, by distance; of two that are equally near the one with an even last
// bit.
float nearest_bf16(float x) {
  if (std::isnan(x) || std::isinf(x)) return x;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  const std::uint32_t lower = bits & 0xffff0000u, upper = lower + 0x10000u;
  const double below = std::abs(static_cast<double>(x) - of_bits(lower));
  const double above = std::isinf(of_bits(upper)) ? std::ldexp(1.0, 128) - std::abs(static_cast<double>(x))
                                                  : std::abs(static_cast<double>(of_bits(upper)) - x);
  if (below != above) return of_bits(below < above ? lower : upper);
  return of_bits(lower >> 16 & 1 ? upper : lower);
}

float first_of_pair(std::uint32_t word) {
  return of_bits(word << 16);
}
float second_of_pair(std::uint32_t word) {
  return of_bits(word & 0xffff0000u);
}

// The tiles of AMX as arrays.
struct TilesInMemory {
  struct Tile {
    std::uint32_t words[16][16];
  };
  static inline Tile a[2], b[2];
  static inline float c[2][2][16][16];
  static void clear() { std::memset(c, 0, sizeof c); }
  static void load(Tile& tile, const std::uint32_t* from, Index stride) {
    for (Index row = 0; row < 16; row++)
      std::memcpy(tile.words[row], reinterpret_cast<const char*>(from) + row * stride,
                  sizeof tile.words[row]);
  }
  static void load_a(const std::uint32_t* upper, const std::uint32_t* lower, Index stride) {
    load(a[0], upper, stride), load(a[1], lower, stride);
  }
  static void load_b(const std::uint32_t* left, const std::uint32_t* right, Index stride) {
    load(b[0], left, stride), load(b[1], right, stride);
  }
  // TDPBF16PS: c[i, j] += the two products of the pairs a[i, p] and b[p, j].
  static void multiply() {
    for (int down = 0; down < 2; down++)
      for (int across = 0; across < 2; across++)
        for (int i = 0; i < 16; i++)
          for (int j = 0; j < 16; j++)
            for (int p = 0; p < 16; p++) {
              const std::uint32_t x = a[down].words[i][p], y = b[across].words[p][j];
              c[down][across][i][j] +=
                  first_of_pair(x) * first_of_pair(y) + second_of_pair(x) * second_of_pair(y);
            }
  }
  static void store(float* c00, float* c01, float* c10, float* c11, Index stride) {
    float* const to[] = {c00, c01, c10, c11};
    for (int tile = 0; tile < 4; tile++)
      for (Index row = 0; row < 16; row++)
        std::memcpy(reinterpret_cast<char*>(to[tile]) + row * stride, c[tile / 2][tile % 2][row], 64);
  }
};

// Of few rows, A holds no more than these: they are filled up.
void block_in_memory(Index rows, Index pairs, const std::uint32_t* a, Index lda, const std::uint32_t* b,
                     float* c) {
  if (rows > bf16::kFewRows) return bf16::block_of_tiles<TilesInMemory>(pairs, a, lda, b, c);
  std::vector<std::uint32_t> filled(static_cast<std::size_t>(32 * pairs));
  for (Index row = 0; row < rows; row++) std::copy_n(a + row * lda, pairs, filled.begin() + row * pairs);
  bf16::block_of_tiles<TilesInMemory>(pairs, filled.data(), pairs, b, c);
}

std::vector<bf16::Unit> all_units() {
  std::vector<bf16::Unit> units = bf16::units();
  auto nothing = [] {
  };
  units.push_back({"tiles in memory", nothing, nothing, block_in_memory});
  return units;
}

struct Sizes {
  Index m, n, k;
};
const Sizes kSizes[] = {{1, 1, 1},    {1, 40, 70},  {2, 33, 64},   {5, 3, 31},
                        {32, 32, 32}, {33, 65, 97}, {70, 96, 530}, {530, 34, 40}};

// The largest difference of c from 0.5 a b + beta old with rounded operands, in units of what k additions in
// f32 may lose.
double error_of(const Sizes& s, const Strided<float>& a, const Strided<float>& b, float beta,
                const float* old, Index old_row, const std::vector<float>& c) {
  double worst = 0;
  for (Index i = 0; i < s.m; i++)
    for (Index j = 0; j < s.n; j++) {
      double sum = 0, size = 0;
      for (Index p = 0; p < s.k; p++) {
        const double term = static_cast<double>(nearest_bf16(a.data[i * a.row + p * a.column])) *
                            nearest_bf16(b.data[p * b.row + j * b.column]);
        sum += term, size += std::abs(term);
      }
      const double before = beta == 0.0f ? 0.0 : static_cast<double>(beta) * old[i * old_row + j];
      const double bound = (0.5 * size + std::abs(before)) * static_cast<double>(s.k + 2) *
                               std::numeric_limits<float>::epsilon() +
                           1e-30;
      worst =
          std::max(worst, std::abs(c[static_cast<std::size_t>(i * s.n + j)] - (0.5 * sum + before)) / bound);
    }
  return worst;
}

template <class Multiply>
void check_products(Multiply multiply) {
  for (const Sizes& s : kSizes)
    for (const bool down_a : {false, true})
      for (const bool down_b : {false, true})
        for (const float beta : {0.0f, 1.0f}) {
          INFO(s.m, " x ", s.n, " x ", s.k, ", down: ", down_a, ", ", down_b);
          const auto a = normal_values(s.m * s.k, 1), b = normal_values(s.k * s.n, 2),
                     bias = normal_values(s.n, 3);
          const Strided<float> left{a.data(), down_a ? 1 : s.k, down_a ? s.m : 1},
              right{b.data(), down_b ? 1 : s.n, down_b ? s.k : 1};
          std::vector<float> c(static_cast<std::size_t>(s.m * s.n), std::numeric_limits<float>::quiet_NaN());
          multiply(s, left, right, Target<float>{c.data(), s.n, 0.5f, beta, bias.data(), 0});
          CHECK(error_of(s, left, right, beta, bias.data(), 0, c) <= 1);
        }
}

}  // namespace

TEST_CASE("bf16: operands are rounded to the nearest, ties to even, NaN and infinities stay") {
  std::vector<float> x = normal_values(64, 5);
  const float special[] = {0.0f,
                           -0.0f,
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity(),
                           std::numeric_limits<float>::quiet_NaN(),
                           of_bits(0x7fffffffu),  // a NaN whose rounding up would be -0
                           of_bits(0x7f800001u),  // a NaN whose upper half is that of infinity
                           std::numeric_limits<float>::max(),
                           of_bits(0x3f808000u),  // between 1 and the next: to 1, which is even
                           of_bits(0x3f818000u),  // between the next two: up
                           of_bits(0x3f808001u)};
  std::copy(std::begin(special), std::end(special), x.begin());
  const bf16::Packed packed = bf16::pack_a(1, 64, {x.data(), 64, 1});
  for (Index p = 0; p < 32; p++) {
    const std::uint32_t word = *packed.at(0, p);
    for (const bool second : {false, true}) {
      const float value = x[static_cast<std::size_t>(2 * p + second)];
      const float got = second ? second_of_pair(word) : first_of_pair(word);
      CAPTURE(value);
      CHECK((std::isnan(value) ? std::isnan(got) : got == nearest_bf16(value)));
    }
  }
}

TEST_CASE("bf16: products of every unit, and of the tiles in memory, agree with sums of rounded operands") {
  for (const bf16::Unit& unit : all_units()) {
    CAPTURE(unit.name);
    CHECK(bf16::unit_problem(unit) == "");
    check_products(
        [&](const Sizes& s, const Strided<float>& a, const Strided<float>& b, const Target<float>& c) {
          bf16::product(unit, s.m, s.n, bf16::pack_a(s.m, s.k, a), bf16::pack_b(s.n, s.k, b), c);
        });
  }
  check_products([](const Sizes& s, const Strided<float>& a, const Strided<float>& b,
                    const Target<float>& c) { bf16::product(s.m, s.n, s.k, a, b, c); });
}

TEST_CASE("bf16: a unit with wrong products is found out") {
  bf16::Unit wrong{
      "wrong", [] {}, [] {},
      [](Index rows, Index pairs, const std::uint32_t* a, Index lda, const std::uint32_t* b, float* c) {
        block_in_memory(rows, pairs, a, lda, b, c);
        c[1] += 1;
      }};
  CHECK(bf16::unit_problem(wrong).find("computes wrong products") == 0);
}

TEST_CASE("bf16: the choice holds for f32 only") {
  const Index m = 40, n = 50, k = 60;
  std::vector<double> a(m * k, 1.0 / 3), b(k * n, 1.0 / 7), exact(m * n), c(m * n);
  auto multiply = [&](std::vector<double>& to) {
    gemm<double>(Trans::no, Trans::no, m, n, k, 1, a.data(), k, b.data(), n, 0, to.data(), n);
  };
  multiply(exact);
  const InBf16 rounded;
  multiply(c);
  CHECK(c == exact);
  std::vector<float> x(m * k, 1.0f / 3), y(k * n, 1.0f / 3), z(m * n);
  gemm<float>(Trans::no, Trans::no, m, n, k, 1, x.data(), k, y.data(), n, 0, z.data(), n);
  const double third = nearest_bf16(1.0f / 3), expected = 60 * third * third;
  CHECK(z[0] == doctest::Approx(expected).epsilon(1e-6));
  CHECK(std::abs(z[0] - 60.0 / 9) > 1e-3);  // the rounding is seen
}

TEST_CASE("bf16: rounded parameters are kept, and made again after a change") {
  const InBf16 rounded;
  ParameterStore store(1);
  const Parameter W = store.add("W", {40, 70}, init::normal(1));
  for (const Index rows : {Index{1}, Index{5}, Index{64}}) {
    Tensor x = Tensor::empty({rows, 70});
    fill_normal(Stream(4, "x"), x.data<float>(), static_cast<std::size_t>(x.size()));
    for (int round = 0; round < 2; round++) {
      const Tensor own = linear(x, W.var(), Var()).value();
      CHECK(own.same_bits(linear(x, W.value().clone(), Var()).value()));  // a copy is no parameter
      CHECK(own.same_bits(linear(x, W.var(), Var()).value()));
      store.slot(0).value.data<float>()[0] += 1.0f;
    }
    store.load({{"W", Tensor::full({40, 70}, 0.25)}}, "test");
    CHECK(
        linear(x, W.var(), Var()).value().same_bits(linear(x, Tensor::full({40, 70}, 0.25), Var()).value()));
  }
}

TEST_CASE("bf16: gradients of linear differ from the exact ones by the rounding of the operands") {
  const Index rows = 24, in = 48, out = 40;
  const Tensor x = Tensor::from({rows, in}, normal_values(rows * in, 1)),
               W = Tensor::from({out, in}, normal_values(out * in, 2)),
               dy = Tensor::from({rows, out}, normal_values(rows * out, 3));
  auto gradients = [&](const Tensor& x, const Tensor& W, const Tensor& dy) {
    Tape tape;
    const Var vx = tape.variable(x), vW = tape.variable(W);
    Gradients g;
    tape.backward_from(linear(vx, vW, Var()), dy, g);
    return std::pair(g.of(vx).to(Dtype::f64), g.of(vW).to(Dtype::f64));
  };
  auto magnitude = [](const Tensor& t) {
    Tensor result = t.to(Dtype::f64).clone();
    for (Index i = 0; i < result.size(); i++) result.data<double>()[i] = std::abs(result.data<double>()[i]);
    return result;
  };
  const auto exact = gradients(x.to(Dtype::f64), W.to(Dtype::f64), dy.to(Dtype::f64));
  const auto sizes = gradients(magnitude(x), magnitude(W), magnitude(dy));  // sums of magnitudes
  const InBf16 rounded;
  const auto got = gradients(x, W, dy);
  // Each operand is off by at most 2^-9 of itself; the sums of f32 add far less.
  const double bound = 2.1 * std::ldexp(1.0, -9);
  double worst = 0;
  auto compare = [&](const Tensor& a, const Tensor& b, const Tensor& size) {
    for (Index i = 0; i < a.size(); i++) {
      const double off = std::abs(a.at(i) - b.at(i)) / size.at(i);
      CHECK(off <= bound);
      worst = std::max(worst, off);
    }
  };
  compare(got.first, exact.first, sizes.first);
  compare(got.second, exact.second, sizes.second);
  CHECK(worst > 1e-5);  // the rounding is there
}

TEST_CASE("bf16: large products have the same bits for any number of threads") {
  const InBf16 rounded;
  const Index m = 300, n = 700, k = 300;
  const auto a = normal_values(m * k, 1), b = normal_values(k * n, 2);
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 2, 3}) {
    set_threads(threads);
    results.emplace_back(static_cast<std::size_t>(m * n));
    gemm<float>(Trans::no, Trans::yes, m, n, k, 1, a.data(), k, b.data(), k, 0, results.back().data(), n);
  }
  set_threads(0);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}
