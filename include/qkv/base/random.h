// Random numbers as functions of counters: Philox4x32-10 streams keyed by (seed, purpose, index...).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace qkv {

/// An endless sequence of 32-bit words, made by Philox4x32-10 (Salmon et al., "Parallel random numbers: as
/// easy as 1, 2, 3", SC 2011) and addressed by (seed, purpose, index...). A value: copying it copies the
/// position, and equal arguments give equal numbers in any thread, process or order. There is no global
/// state.
///
///     Stream stream(seed, "dropout", step, shard);
///     float u = stream.uniform();
class Stream {
 public:
  template <class... Index>
  Stream(std::uint64_t seed, std::string_view purpose, Index... index)
      : Stream(FromId{}, seed, mix(hash(purpose), static_cast<std::uint64_t>(index)...)) {}

  /// The stream of one part of this one's purpose, at position 0; independent of this stream's position.
  Stream part(std::uint64_t index) const { return Stream(FromId{}, seed_, mix(id_, index)); }
  Stream part(std::string_view name) const { return Stream(FromId{}, seed_, mix(id_, hash(name))); }

  std::uint32_t bits();                  ///< 32 uniform bits; moves the position by one
  std::uint64_t bits64();                ///< moves the position by two
  float uniform();                       ///< [0, 1), a multiple of 2^-24; moves by one
  double uniform64();                    ///< [0, 1), a multiple of 2^-53; moves by two
  std::uint64_t below(std::uint64_t n);  ///< 0 ... n-1 without bias, n > 0; moves by two or, rarely, more
  double normal();                       ///< mean 0, deviation 1 (Box-Muller); moves by two
  bool bernoulli(double p) { return uniform64() < p; }

  std::uint64_t position() const { return position_; }
  void seek(std::uint64_t position) { position_ = position; }
  std::uint64_t seed() const { return seed_; }
  std::uint64_t id() const { return id_; }

 private:
  struct FromId {};
  Stream(FromId, std::uint64_t seed, std::uint64_t id) : seed_(seed), id_(id) {}
  static std::uint64_t hash(std::string_view text);
  static std::uint64_t mix(std::uint64_t id) { return id; }
  static std::uint64_t mix(std::uint64_t id, std::uint64_t index);
  template <class... Index>
  static std::uint64_t mix(std::uint64_t id, std::uint64_t index, Index... rest) {
    return mix(mix(id, index), rest...);
  }

  std::uint64_t seed_, id_, position_ = 0;
  std::uint64_t cached_block_ = ~std::uint64_t{0};
  std::array<std::uint32_t, 4> words_{};
};

/// Element i is what the i-th call of `normal` gives.
template <class T>
void fill_normal(Stream stream, T* out, std::size_t n, double mean = 0, double deviation = 1) {
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<T>(mean + deviation * stream.normal());
}

/// Dropout mask: out[i] = 0 with probability `p_drop`, else `keep_value`. Element i depends only on the
/// stream's identity (not its position) and on offset + i, so a mask may be made in pieces, and again in the
/// backward pass. `p_drop` counts in steps of 2^-16. Vectorised: about one nanosecond per element or less.
template <class T>
void keep_mask(const Stream& stream, std::uint64_t offset, T p_drop, T* out, std::size_t n, T keep_value = 1);

/// Fisher-Yates.
void shuffle(std::vector<int>& values, Stream stream);
/// A random order of 0 ... n-1.
std::vector<int> permutation(int n, Stream stream);

}  // namespace qkv
