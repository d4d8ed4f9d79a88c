#include "qkv/base/random.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "qkv/base/error.h"

namespace qkv {
namespace {

constexpr std::uint32_t kMultiplier0 = 0xd2511f53, kMultiplier1 = 0xcd9e8d57;
constexpr std::uint32_t kWeyl0 = 0x9e3779b9, kWeyl1 = 0xbb67ae85;
constexpr int kRounds = 10;
constexpr double kTwoPi = 6.283185307179586476925286766559;

// Philox blocks per step of the vectorised loop: enough lanes for AVX-512 and for hiding the latency of
// multiply.
constexpr int kLanes = 64;

// Blocks first ... first + lanes - 1 of a stream; word j of block first + i goes to out[j * lanes + i].
template <int lanes>
void philox(std::uint64_t first, std::uint64_t id, std::uint64_t seed, std::uint32_t* __restrict out) {
  std::uint32_t* __restrict c0 = out;
  std::uint32_t* __restrict c1 = out + lanes;
  std::uint32_t* __restrict c2 = out + 2 * lanes;
  std::uint32_t* __restrict c3 = out + 3 * lanes;
  for (int i = 0; i < lanes; ++i) {
    std::uint64_t block = first + std::uint64_t(i);
    c0[i] = std::uint32_t(block);
    c1[i] = std::uint32_t(block >> 32);
    c2[i] = std::uint32_t(id);
    c3[i] = std::uint32_t(id >> 32);
  }
  auto k0 = std::uint32_t(seed), k1 = std::uint32_t(seed >> 32);
  for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    for (int i = 0; i < lanes; ++i) {
      std::uint64_t p0 = std::uint64_t{kMultiplier0} * c0[i], p1 = std::uint64_t{kMultiplier1} * c2[i];
      c0[i] = std::uint32_t(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = std::uint32_t(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = std::uint32_t(p1);
      c3[i] = std::uint32_t(p0);
    }
  }
}

}  // namespace

std::uint64_t Stream::hash(std::string_view text) {
  std::uint64_t h = 0xcbf29ce484222325;  // FNV-1a
  for (char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return mix(h, text.size());
}

std::uint64_t Stream::mix(std::uint64_t id, std::uint64_t index) {
  // The finaliser of SplitMix64 (Steele et al., OOPSLA 2014) over a sum that is not symmetric in id and
  // index.
  std::uint64_t z = id * 0x9e3779b97f4a7c15 + index + 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::uint32_t Stream::bits() {
  std::uint64_t block = position_ / 4;
  if (block != cached_block_) {
    philox<1>(block, id_, seed_, words_.data());
    cached_block_ = block;
  }
  return words_[position_++ % 4];
}

std::uint64_t Stream::bits64() {
  std::uint64_t low = bits();
  return (std::uint64_t{bits()} << 32) | low;
}

float Stream::uniform() {
  return float(bits() >> 8) * 0x1p-24f;
}

double Stream::uniform64() {
  return double(bits64() >> 11) * 0x1p-53;
}

std::uint64_t Stream::below(std::uint64_t n) {
  QKV_CHECK(n > 0, "Stream::below: n must be positive; got 0");
  // Lemire, "Fast random integer generation in an interval", 2019.
  unsigned __int128 product = static_cast<unsigned __int128>(bits64()) * n;
  if (std::uint64_t(product) < n) {
    const std::uint64_t biased = (0 - n) % n;
    while (std::uint64_t(product) < biased) product = static_cast<unsigned __int128>(bits64()) * n;
  }
  return std::uint64_t(product >> 64);
}

double Stream::normal() {  // Box-Muller: sqrt(-2 ln u) cos(2 pi v), u in (0, 1], v in [0, 1)
  const double u = (double(bits()) + 1) * 0x1p-32, v = double(bits()) * 0x1p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(kTwoPi * v);
}

// Each word serves two elements, in the order of philox: low halves of a group first, then high halves.
template <class T>
void keep_mask(const Stream& stream, std::uint64_t offset, T p_drop, T* __restrict out, std::size_t n,
               T keep_value) {
  QKV_CHECK(p_drop >= 0 && p_drop <= 1, "keep_mask: p_drop must be between 0 and 1; got {}", p_drop);
  const auto threshold = std::uint32_t(std::nearbyint(p_drop * 0x1p16));
  constexpr std::size_t kWords = 4 * kLanes, kHalves = 2 * kWords;
  alignas(64) std::uint32_t words[kHalves];
  std::size_t skip = offset % kHalves;
  for (std::uint64_t block = offset / kHalves * kLanes; n > 0; block += kLanes, skip = 0) {
    philox<kLanes>(block, stream.id(), stream.seed(), words);
    for (std::size_t i = 0; i < kWords; ++i) {
      words[kWords + i] = words[i] >> 16;
      words[i] &= 0xffff;
    }
    std::size_t count = std::min(n, kHalves - skip);
    const std::uint32_t* __restrict from = words + skip;
    for (std::size_t i = 0; i < count; ++i) out[i] = from[i] >= threshold ? keep_value : T(0);
    out += count;
    n -= count;
  }
}

template void keep_mask(const Stream&, std::uint64_t, float, float*, std::size_t, float);
template void keep_mask(const Stream&, std::uint64_t, double, double*, std::size_t, double);

void shuffle(std::vector<int>& values, Stream stream) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[stream.below(i)]);
}

std::vector<int> permutation(int n, Stream stream) {
  auto order = std::vector<int>(std::size_t(n));
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, stream);
  return order;
}

}  // namespace qkv
