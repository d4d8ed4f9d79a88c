// Pattern: a regular expression over UTF-8 in the dialect of Oniguruma, which tokenizer.json is written in.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
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

/// What has been made of short texts, since words come again and again; for one thread.
template <class Value>
class Remembered {
 public:
  /// The value that make() gives for this text, good until the next call.
  template <class Make>
  const Value& operator()(std::string_view text, Make make) {
    if (text.size() > kLongest) return spare_ = make();
    if (known_.size() >= kMost) known_.clear();
    const auto found = known_.find(key_.assign(text));
    return found != known_.end() ? found->second : known_.emplace(key_, make()).first->second;
  }

 private:
  static constexpr std::size_t kLongest = 64, kMost = 65536;
  std::unordered_map<std::string, Value> known_;
  std::string key_;
  Value spare_;
};

}  // namespace qkv
