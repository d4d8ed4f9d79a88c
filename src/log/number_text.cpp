#include "log/number_text.h"

#include <fmt/core.h>

#include <cmath>

namespace qkv {

// Without the sign that a NaN happens to have.
static std::string not_finite_text(double value) {
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

std::string metric_text(double value) {
  const double size = std::fabs(value);
  if (!std::isfinite(value)) return not_finite_text(value);
  if (size != 0 && (size < 1e-3 || size >= 1e6)) return fmt::format("{:.2e}", value);
  return size < 100 ? fmt::format("{:.4f}", value) : fmt::format("{:.2f}", value);
}

std::string short_count(double value) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T"};
  if (!std::isfinite(value)) return not_finite_text(value);
  int unit = 0;
  // 999.95 would print as 1000.0
  while (std::fabs(value) >= 999.95 && unit < 4) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 && value == std::floor(value) ? fmt::format("{:.0f}", value)
                                                 : fmt::format("{:.1f}{}", value, kUnits[unit]);
}

std::string grouped(std::int64_t value) {
  std::string text = fmt::format("{}", value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t i = text.size(); i > first + 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string clock_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e10) return "?";
  const auto total = static_cast<std::int64_t>(seconds);
  const std::int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{}d {:02}:{:02}:{:02}", days, hours, minutes, total % 60);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{:02}:{:02}", minutes, total % 60);
}

std::string byte_text(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1023.95 && unit < 4) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

}  // namespace qkv
