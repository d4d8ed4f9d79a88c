// Formats numbers for logs: short, of constant width, with units.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace qkv {

/// 0.6123, 12.3400, 512.25, 3.20e-05; "nan", "inf": a loss or a score.
std::string metric_text(double value);
/// The numbers of an axis: all in one form, with as many digits as tell neighbours apart, and for large ones
/// k, M or G: 0, 0.25, 0.50; 0, 5k, 10k; 0, 1e-05. Those that are not evenly spaced are given one at a time.
std::vector<std::string> tick_texts(const std::vector<double>& ticks);
/// What a metric is called in a picture: "exact match", "BLEU".
std::string metric_title(const std::string& key);
/// 91.0k, 1.23M, 4.56G: rates and sizes.
std::string short_count(double value);
/// 1,234,567.
std::string grouped(std::int64_t value);
/// 00:07, 12:34, 1:02:03, 2d 01:02:03; "?" where unknown (negative or not finite).
std::string clock_text(double seconds);
/// 512 B, 1.5 KiB, 139.0 GiB.
std::string byte_text(double bytes);

}  // namespace qkv
