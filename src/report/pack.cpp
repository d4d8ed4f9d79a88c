#include "report/report.h"

#include <algorithm>
#include <cmath>

#include "qkv/base/json.h"

namespace qkv {
namespace {

constexpr int kScaleBits = 18;
constexpr int kGroup = 13;  // bits of two characters: 91 * 91 > 2^13

// The k-th printable ASCII character but `"`, `<` and `\`, which JSON or HTML would have to escape.
char character(std::uint32_t k) {
  char c = char('!' + k);
  for (char skipped : {'"', '<', '\\'})
    if (c >= skipped) c++;
  return c;
}

class BitWriter {
 public:
  void write(std::uint32_t value, int bits) {
    pending_ = pending_ << bits | value;
    for (count_ += bits; count_ >= kGroup; count_ -= kGroup) put(pending_ >> (count_ - kGroup));
    pending_ &= (std::uint64_t{1} << count_) - 1;
  }
  std::string finish() {
    if (count_ > 0) put(pending_ << (kGroup - count_));
    return std::move(text_);
  }

 private:
  void put(std::uint64_t group) {
    const auto value = std::uint32_t(group & ((1u << kGroup) - 1));
    text_ += character(value / 91);
    text_ += character(value % 91);
  }
  std::string text_;
  std::uint64_t pending_ = 0;
  int count_ = 0;
};

double half_range(int bits) {
  return double((std::int64_t{1} << (bits - 1)) - 1);
}

std::uint32_t level(double value, double most, int bits) {
  const double half = half_range(bits);
  const double share = most > 0 && std::isfinite(value) ? std::clamp(value / most, -1.0, 1.0) : 0.0;
  return std::uint32_t(std::lround(share * half) + std::lround(half));
}

std::size_t characters(Index n, int bits) {
  return 2 * ((std::size_t(n) * std::size_t(bits) + kGroup - 1) / kGroup);
}

}  // namespace

std::string pack(const float* values, Index n, double most, int bits) {
  QKV_CHECK(bits >= 2 && bits <= 24, "pack: bits must be in [2, 24]; got {}", bits);
  BitWriter out;
  for (Index i = 0; i < n; i++) out.write(level(values[i], most, bits), bits);
  return out.finish();
}

Json packed_matrix(const Tensor& matrix, int bits) {
  const Tensor x = matrix.to(Dtype::f32);
  const Index columns = x.rank() == 0 ? 1 : x.dim(-1), rows = columns > 0 ? x.size() / columns : 0;
  const float* values = x.data<float>();
  std::vector<float> scales;
  for (Index r = 0; r < rows; r++) {
    float largest = 0;
    for (Index c = 0; c < columns; c++) largest = std::max(largest, std::abs(values[r * columns + c]));
    scales.push_back(largest);
  }
  double most = 0;
  for (float scale : scales) most = std::max(most, double(scale));
  most *= 1 + 1e-5;  // so that a scale that was rounded down still reaches its largest value
  BitWriter out;
  const double half = half_range(kScaleBits);
  for (Index r = 0; r < rows; r++) {
    // The scale as the reader will have it, rounded up.
    float& scale = scales[std::size_t(r)];
    const double steps = most > 0 ? std::ceil(scale / most * half) : 0.0;
    scale = float(steps / half * most);
    for (Index c = 0; c < columns; c++)
      out.write(level(values[r * columns + c], steps / half * most, bits), bits);
  }
  return {{"shape", {rows, columns}},
          {"bits", bits},
          {"most", most},
          {"scales", pack(scales.data(), rows, most, kScaleBits)},
          {"data", out.finish()}};
}

std::size_t packed_size(Index rows, Index columns, int bits) {
  return characters(rows * columns, bits) + characters(rows, kScaleBits) + 100;
}

}  // namespace qkv
