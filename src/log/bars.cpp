#include "log/bars.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace qkv {
namespace {

double clamped(double fraction) {
  return std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0;
}

// Mean of the finite values of [first, last); NaN if there is none.
double finite_mean(const std::vector<double>& values, std::size_t first, std::size_t last) {
  double sum = 0;
  int count = 0;
  for (std::size_t i = first; i < last; ++i) {
    if (!std::isfinite(values[i])) continue;
    sum += values[i];
    ++count;
  }
  return count == 0 ? std::numeric_limits<double>::quiet_NaN() : sum / count;
}

}  // namespace

std::string bar(double fraction, int width, bool unicode) {
  static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (width < 1) return {};
  const int parts = unicode ? 8 : 10;
  const int filled = static_cast<int>(std::lround(clamped(fraction) * width * parts));
  const int full = filled / parts, rest = filled % parts;
  std::string result;
  for (int i = 0; i < full; ++i) result += unicode ? "█" : "#";
  if (rest != 0)
    result += unicode ? std::string(kEighths[rest]) : std::string(1, static_cast<char>('0' + rest));
  result.append(static_cast<std::size_t>(width - full - (rest != 0 ? 1 : 0)), ' ');
  return result;
}

std::string sparkline(const std::vector<double>& values, int width, bool unicode) {
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr const char* kAscii[] = {"_", ".", "-", "~", "=", "+", "*", "#"};
  const std::size_t columns = std::min(values.size(), static_cast<std::size_t>(std::max(width, 0)));
  std::vector<double> means(columns);
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (std::size_t c = 0; c < columns; ++c) {
    means[c] = finite_mean(values, c * values.size() / columns, (c + 1) * values.size() / columns);
    if (std::isnan(means[c])) continue;
    low = std::min(low, means[c]);
    high = std::max(high, means[c]);
  }
  std::string result;
  for (double mean : means) {
    if (std::isnan(mean)) {
      result += ' ';
      continue;
    }
    const int level = high > low ? static_cast<int>(std::lround((mean - low) / (high - low) * 7)) : 3;
    result += (unicode ? kBlocks : kAscii)[level];
  }
  return result;
}

std::string shade(double fraction, bool unicode) {
  static constexpr const char* kShades[] = {" ", "░", "▒", "▓", "█"};
  static constexpr const char* kAscii[] = {" ", ".", ":", "*", "#"};
  return (unicode ? kShades : kAscii)[std::lround(clamped(fraction) * 4)];
}

}  // namespace qkv
