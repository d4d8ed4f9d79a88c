#include "prefix_table.h"

#include <algorithm>

namespace qkv {

PrefixTable::PrefixTable(std::vector<std::pair<std::string, int>> entries) : entries_(std::move(entries)) {
  std::stable_sort(entries_.begin(), entries_.end(), [](auto& a, auto& b) { return a.first < b.first; });
  entries_.erase(
      std::unique(entries_.begin(), entries_.end(), [](auto& a, auto& b) { return a.first == b.first; }),
      entries_.end());
  if (!entries_.empty() && entries_[0].first.empty()) entries_.erase(entries_.begin());
  for (auto& [text, id] : entries_) ++first_[static_cast<unsigned char>(text[0]) + 1U];
  for (std::size_t byte = 1; byte < first_.size(); ++byte) first_[byte] += first_[byte - 1];
}

// [low, high) are the entries that begin with the first n bytes of the text.
PrefixTable::Hit PrefixTable::longest(std::string_view text) const {
  Hit hit;
  const auto first = static_cast<unsigned char>(text[0]);
  auto low = entries_.begin() + std::ptrdiff_t(first_[first]);
  auto high = entries_.begin() + std::ptrdiff_t(first_[first + 1U]);
  for (std::size_t n = 1; low != high; ++n) {
    if (low->first.size() == n) hit = {n, low->second}, ++low;
    if (n == text.size()) break;
    const auto next = static_cast<unsigned char>(text[n]);
    auto byte = [n](auto& entry) {
      return static_cast<unsigned char>(entry.first[n]);
    };
    low = std::partition_point(low, high, [&](auto& entry) { return byte(entry) < next; });
    high = std::partition_point(low, high, [&](auto& entry) { return byte(entry) <= next; });
  }
  return hit;
}

}  // namespace qkv
