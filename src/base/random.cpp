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

// Philox blocks per step of the vectorised loops: enough lanes for AVX-512 and for hiding the latency of
// multiply.
constexpr int kLanes = 64;
constexpr std::size_t kGroup = 4 * kLanes;
constexpr std::size_t kFew = 64;  // up to so many words, single blocks are faster than a group

float to_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}

double to_double(std::uint32_t low, std::uint32_t high) {
  return static_cast<double>(((std::uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

// Box-Muller: sqrt(-2 ln u) cos(2 pi v), u in (0, 1], v in [0, 1).
double to_normal(std::uint32_t a, std::uint32_t b) {
  double u = (static_cast<double>(a) + 1) * 0x1p-32, v = static_cast<double>(b) * 0x1p-32;
  return std::sqrt(-2 * std::log(u)) * std::cos(kTwoPi * v);
}

// Blocks first ... first + kLanes - 1 of a stream; word j of block first + i goes to out[j * kLanes + i].
void philox_lanes(std::uint64_t first, std::uint64_t id, std::uint64_t seed, std::uint32_t* __restrict out) {
  std::uint32_t* __restrict c0 = out;
  std::uint32_t* __restrict c1 = out + kLanes;
  std::uint32_t* __restrict c2 = out + 2 * kLanes;
  std::uint32_t* __restrict c3 = out + 3 * kLanes;
  for (int i = 0; i < kLanes; ++i) {
    std::uint64_t block = first + static_cast<std::uint64_t>(i);
    c0[i] = static_cast<std::uint32_t>(block);
    c1[i] = static_cast<std::uint32_t>(block >> 32);
    c2[i] = static_cast<std::uint32_t>(id);
    c3[i] = static_cast<std::uint32_t>(id >> 32);
  }
  auto k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    for (int i = 0; i < kLanes; ++i) {
      std::uint64_t p0 = std::uint64_t{kMultiplier0} * c0[i], p1 = std::uint64_t{kMultiplier1} * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<std::uint32_t>(p1);
      c3[i] = static_cast<std::uint32_t>(p0);
    }
  }
}

// Words position ... position + n - 1 of a stream in their order, in pieces: take(words, count).
template <class Take>
void for_each_words(const Stream& stream, std::size_t n, Take&& take) {
  alignas(64) std::uint32_t lanes[kGroup], words[kGroup];
  if (n <= kFew) {
    Stream one = stream;
    for (std::size_t i = 0; i < n; ++i) words[i] = one.bits();
    return take(words, n);
  }
  std::uint64_t block = stream.position() / 4;
  std::size_t skip = stream.position() % 4;
  for (; n > 0; block += kLanes, skip = 0) {
    philox_lanes(block, stream.id(), stream.seed(), lanes);
    for (int i = 0; i < kLanes; ++i)
      for (int j = 0; j < 4; ++j) words[4 * i + j] = lanes[j * kLanes + i];
    std::size_t count = std::min(n, kGroup - skip);
    take(words + skip, count);
    n -= count;
  }
}

// Calls make(a, b) with two words per element.
template <class T, class Make>
void fill_pairs(Stream stream, T* out, std::size_t n, Make make) {
  std::uint32_t pending = 0;
  bool has_pending = false;
  for_each_words(stream, 2 * n, [&](const std::uint32_t* words, std::size_t count) {
    std::size_t i = 0;
    if (has_pending) *out++ = make(pending, words[i++]);
    for (; i + 1 < count; i += 2) *out++ = make(words[i], words[i + 1]);
    has_pending = i < count;
    if (has_pending) pending = words[i];
  });
}

// Each word serves two elements, in the order of philox_lanes: low halves of a group first, then high halves.
template <class T>
void keep_mask_of(const Stream& stream, std::uint64_t offset, double p_drop, T* __restrict out, std::size_t n,
                  T keep_value) {
  QKV_CHECK(p_drop >= 0 && p_drop <= 1, "keep_mask: p_drop must be between 0 and 1; got {}", p_drop);
  const auto threshold = static_cast<std::uint32_t>(std::nearbyint(p_drop * 0x1p16));
  constexpr std::size_t kHalves = 2 * kGroup;
  alignas(64) std::uint32_t words[kHalves];
  std::size_t skip = offset % kHalves;
  for (std::uint64_t block = offset / kHalves * kLanes; n > 0; block += kLanes, skip = 0) {
    philox_lanes(block, stream.id(), stream.seed(), words);
    for (std::size_t i = 0; i < kGroup; ++i) {
      words[kGroup + i] = words[i] >> 16;
      words[i] &= 0xffff;
    }
    std::size_t count = std::min(n, kHalves - skip);
    const std::uint32_t* __restrict from = words + skip;
    for (std::size_t i = 0; i < count; ++i) out[i] = from[i] >= threshold ? keep_value : T(0);
    out += count;
    n -= count;
  }
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round, key[0] += kWeyl0, key[1] += kWeyl1) {
    std::uint64_t p0 = std::uint64_t{kMultiplier0} * c[0], p1 = std::uint64_t{kMultiplier1} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
  }
  return c;
}

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
    words_ = philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                     static_cast<std::uint32_t>(id_), static_cast<std::uint32_t>(id_ >> 32)},
                    {static_cast<std::uint32_t>(seed_), static_cast<std::uint32_t>(seed_ >> 32)});
    cached_block_ = block;
  }
  return words_[position_++ % 4];
}

std::uint64_t Stream::bits64() {
  std::uint64_t low = bits();
  return (std::uint64_t{bits()} << 32) | low;
}

float Stream::uniform() {
  return to_float(bits());
}

double Stream::uniform64() {
  std::uint32_t low = bits();
  return to_double(low, bits());
}

std::uint64_t Stream::below(std::uint64_t n) {
  QKV_CHECK(n > 0, "Stream::below: n must be positive; got 0");
  // Lemire, "Fast random integer generation in an interval", 2019.
  unsigned __int128 product = static_cast<unsigned __int128>(bits64()) * n;
  if (static_cast<std::uint64_t>(product) < n) {
    const std::uint64_t biased = (0 - n) % n;
    while (static_cast<std::uint64_t>(product) < biased)
      product = static_cast<unsigned __int128>(bits64()) * n;
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double Stream::normal() {
  std::uint32_t a = bits();
  return to_normal(a, bits());
}

void fill_bits(Stream stream, std::uint32_t* out, std::size_t n) {
  for_each_words(stream, n, [&](const std::uint32_t* words, std::size_t count) {
    out = std::copy_n(words, count, out);
  });
}

void fill_uniform(Stream stream, float* out, std::size_t n, float low, float high) {
  for_each_words(stream, n, [&](const std::uint32_t* words, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) out[i] = low + (high - low) * to_float(words[i]);
    out += count;
  });
}

void fill_uniform(Stream stream, double* out, std::size_t n, double low, double high) {
  fill_pairs(stream, out, n, [=](auto a, auto b) { return low + (high - low) * to_double(a, b); });
}

void fill_normal(Stream stream, float* out, std::size_t n, float mean, float deviation) {
  fill_pairs(stream, out, n,
             [=](auto a, auto b) { return static_cast<float>(mean + deviation * to_normal(a, b)); });
}

void fill_normal(Stream stream, double* out, std::size_t n, double mean, double deviation) {
  fill_pairs(stream, out, n, [=](auto a, auto b) { return mean + deviation * to_normal(a, b); });
}

void keep_mask(const Stream& stream, std::uint64_t offset, float p_drop, float* out, std::size_t n,
               float keep_value) {
  keep_mask_of(stream, offset, p_drop, out, n, keep_value);
}

void keep_mask(const Stream& stream, std::uint64_t offset, double p_drop, double* out, std::size_t n,
               double keep_value) {
  keep_mask_of(stream, offset, p_drop, out, n, keep_value);
}

void shuffle(std::vector<int>& values, Stream stream) {
  for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[stream.below(i)]);
}

std::vector<int> permutation(int n, Stream stream) {
  std::vector<int> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, stream);
  return order;
}

}  // namespace qkv
