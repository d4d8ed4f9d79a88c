// Pattern: a regular expression over UTF-8 in the dialect of Oniguruma, which tokenizer.json is written in.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

/// Part of a text, in bytes.
struct Span {
  std::size_t begin, end;
};

class Pattern {
 public:
  /// An expression that Oniguruma does not accept is a data error.
  Pattern(const std::string& expression, std::string where);
  /// Every match, also empty ones that do not follow a match at once; none in an empty text. `text` must be
  /// UTF-8. An expression that takes more than about a second of CPU time on a text is a data error.
  std::vector<Span> matches(std::string_view text) const;
  /// The expression that matches just this text.
  static std::string quoted(std::string_view text);

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
  std::string where_;
};

}  // namespace qkv
