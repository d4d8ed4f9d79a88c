// Formats numbers for logs: short, of constant width, with units.
#pragma once
#include <cstdint>
#include <string>

namespace qkv {

/// 0.6123, 12.3400, 512.25, 3.20e-05; "nan", "inf": a loss or a score.
std::string metric_text(double value);
/// 91.0k, 1.23M, 4.56G: rates and sizes.
std::string short_count(double value);
/// 1,234,567.
std::string grouped(std::int64_t value);
/// 00:07, 12:34, 1:02:03, 2d 01:02:03; "?" where unknown (negative or not finite).
std::string clock_text(double seconds);
/// 512 B, 1.5 KiB, 139.0 GiB.
std::string byte_text(double bytes);

}  // namespace qkv
