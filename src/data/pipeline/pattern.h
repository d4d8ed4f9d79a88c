// Pattern: a regular expression over UTF-8 in the dialect of Oniguruma, which tokenizer.json is written in.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

/// Part of a text, in bytes.
struct Span {
  std::size_t begin, end;
};

/// While it lives, the patterns of this thread share the CPU time that a text of this size may take; inside
/// another one it changes nothing.
class PatternTime {
 public:
  explicit PatternTime(std::size_t bytes);
  ~PatternTime();
  PatternTime(const PatternTime&) = delete;
  PatternTime& operator=(const PatternTime&) = delete;

 private:
  bool outermost_;
};

class Pattern {
 public:
  enum class Kind { regex, text };
  /// An expression that Oniguruma does not accept is a data error; a text stands for itself.
  Pattern(const std::string& expression, Kind kind, std::string where);
  /// Every match, also empty ones that do not follow a match at once; none in an empty text. `text` must be
  /// UTF-8. An expression that takes more time than PatternTime grants is a data error.
  std::vector<Span> matches(std::string_view text) const;

 private:
  struct Code;
  std::vector<Span> places(std::string_view text) const;
  std::shared_ptr<const Code> code_;
  bool names_kinds_ = false;  // of characters, such as letters: the version of Unicode matters
  std::string where_, text_;  // text_: what is looked for in place of a pattern
};

/// What has been made of short texts, since words come again and again; for one thread. Each text has one
/// place, which it takes from the one before: what is frequent is soon back.
template <class Value>
class Remembered {
 public:
  /// The value that make() gives for this text, good until the next call.
  template <class Make>
  const Value& operator()(std::string_view text, Make make) {
    if (text.empty() || text.size() > kLongest) return spare_ = make();
    if (known_.empty()) known_.resize(kPlaces);
    Known& known = known_[std::hash<std::string_view>()(text) % kPlaces];
    if (known.text != text) {
      known.value = make();
      known.text = text;
    }
    return known.value;
  }

 private:
  static constexpr std::size_t kLongest = 64, kPlaces = std::size_t{1} << 16;
  struct Known {
    std::string text;
    Value value;
  };
  std::vector<Known> known_;
  Value spare_;
};

}  // namespace qkv
