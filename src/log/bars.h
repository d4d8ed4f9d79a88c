// Small drawings in text: a bar of eighths, a sparkline, a shade.
#pragma once
#include <string>
#include <vector>

namespace qkv {

/// A bar of exactly `width` columns filled to `fraction`: "████▌     ", in ASCII "####5     " (tenths).
/// Not finite counts as 0.
std::string bar(double fraction, int width, bool unicode = true);

/// One character per value, scaled to the smallest and largest finite one: "▁▂▅█". Not finite is a blank.
/// Longer series than `width` are averaged in equal parts.
std::string sparkline(const std::vector<double>& values, int width, bool unicode = true);

/// One character that darkens with `fraction`: ' ' ░ ▒ ▓ █, in ASCII ' ' . : * #.
std::string shade(double fraction, bool unicode = true);

}  // namespace qkv
