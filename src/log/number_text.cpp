#include "log/number_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "qkv/base/text.h"

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

std::string metric_title(const std::string& key) {
  static const std::map<std::string, std::string> kNames = {{"bleu", "BLEU"},
                                                            {"chrf", "chrF"},
                                                            {"macro_f1", "macro-F1"},
                                                            {"rouge1", "ROUGE-1"},
                                                            {"rouge2", "ROUGE-2"},
                                                            {"rougeL", "ROUGE-L"},
                                                            {"lr", "learning rate"},
                                                            {"grad_norm", "gradient norm"},
                                                            {"answer_loss", "loss of the answer"},
                                                            {"step_ms", "milliseconds per step"},
                                                            {"tokens_per_s", "tokens per second"},
                                                            {"bits_per_char", "bits per character"},
                                                            {"skipped", "skipped steps"}};
  if (const auto found = kNames.find(key); found != kNames.end()) return found->second;
  if (starts_with(key, "train_")) return metric_title(key.substr(6)) + " on training examples";
  return replace_all(key, "_", " ");
}

std::vector<std::string> tick_texts(const std::vector<double>& ticks) {
  double most = 0;
  for (double v : ticks) most = std::max(most, std::fabs(v));
  const auto power = [](double v) {
    return std::floor(std::log10(std::fabs(v)) + 1e-9);
  };
  const double step = ticks.size() > 1 ? ticks[1] - ticks[0] : std::pow(10, power(most));
  const double unit = most >= 1e9 ? 1e9 : most >= 1e6 ? 1e6 : most >= 1e4 ? 1e3 : 1;
  const char* name = most >= 1e9 ? "G" : most >= 1e6 ? "M" : most >= 1e4 ? "k" : "";
  int digits = 0;  // that the step has
  for (double scale = 1; digits < 7; digits++, scale *= 10)
    if (std::fabs(std::round(step / unit * scale) / scale - step / unit) <= 1e-6 * step / unit) break;
  const bool plain = step >= 1e-4 * (1 - 1e-9) && most < 1e12 && digits <= 6;
  std::vector<std::string> texts;
  for (double v : ticks)
    texts.push_back(v == 0  ? "0"
                    : plain ? fmt::format("{:.{}f}{}", v / unit, digits, name)
                            : fmt::format("{:.{}e}", v, std::clamp(int(power(v) - power(step)), 0, 15)));
  return texts;
}

// Divides until the value is below the limit, which is what would be printed as the next unit; gives the
// unit.
static const char* take_unit(double& value, double base, double limit, const char* const (&units)[5]) {
  int unit = 0;
  for (; std::fabs(value) >= limit && unit < 4; unit++) value /= base;
  return units[unit];
}

std::string short_count(double value) {
  if (!std::isfinite(value)) return not_finite_text(value);
  const bool whole = value == std::floor(value) && std::fabs(value) < 999.95;
  const char* unit = take_unit(value, 1000, 999.95, {"", "k", "M", "G", "T"});
  return whole ? fmt::format("{:.0f}", value) : fmt::format("{:.1f}{}", value, unit);
}

std::string grouped(std::int64_t value) {
  std::string text = fmt::format("{}", value);
  const std::size_t first = value < 0 ? 1 : 0;
  for (std::size_t i = text.size(); i > first + 3; i -= 3) text.insert(i - 3, 1, ',');
  return text;
}

std::string clock_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e10) return "?";
  const auto total = std::int64_t(seconds);
  const std::int64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{}d {:02}:{:02}:{:02}", days, hours, minutes, total % 60);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, total % 60);
  return fmt::format("{:02}:{:02}", minutes, total % 60);
}

std::string byte_text(double bytes) {
  const bool small = bytes < 1023.95;
  const char* unit = take_unit(bytes, 1024, 1023.95, {"B", "KiB", "MiB", "GiB", "TiB"});
  return small ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, unit);
}

}  // namespace qkv
