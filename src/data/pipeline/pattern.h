// Pattern: a regular expression over UTF-8, by PCRE2 with Unicode properties.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qkv {

class Pattern {
 public:
  /// An expression that PCRE2 does not accept is a data error.
  Pattern(const std::string& expression, std::string where);
  /// Every match, as [begin, end) in bytes; empty ones are left out. `text` must be UTF-8. An expression that
  /// needs more than some million steps on one match is a data error, not a wait.
  std::vector<std::pair<std::size_t, std::size_t>> matches(std::string_view text) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

}  // namespace qkv
