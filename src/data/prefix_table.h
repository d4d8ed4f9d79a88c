// PrefixTable: the longest of many strings that a text begins with.
#pragma once
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qkv {

class PrefixTable {
 public:
  struct Hit {
    std::size_t size = 0;
    int id = -1;  ///< of the string, -1 where none fits
  };
  PrefixTable() = default;
  /// Strings and their ids; of equal strings the first counts, empty ones are left out.
  explicit PrefixTable(std::vector<std::pair<std::string, int>> entries);
  /// The longest string that the text begins with, in steps as many as it has bytes.
  Hit longest(std::string_view text) const;
  bool empty() const { return entries_.empty(); }

 private:
  std::vector<std::pair<std::string, int>> entries_;  // sorted
  std::array<std::size_t, 257> first_{};              // entry of each first byte
};

/// Calls between(text) for what lies between the strings of the table and found(id) for those, leftmost and
/// longest first. Strings with an id below 0 hide what is inside them and belong to the text.
template <class Between, class Found>
void cut_at(std::string_view text, const PrefixTable& table, Between between, Found found) {
  std::size_t from = 0;
  for (std::size_t at = 0; !table.empty() && at < text.size();) {
    const PrefixTable::Hit hit = table.longest(text.substr(at));
    if (hit.size > 0 && hit.id >= 0) {
      if (at > from) between(text.substr(from, at - from));
      found(hit.id);
      from = at + hit.size;
    }
    at += hit.size > 0 ? hit.size : 1;
  }
  if (from < text.size()) between(text.substr(from));
}

}  // namespace qkv
