#include "data/split.h"

#include "data/pipeline/pattern.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// Members of a class of characters. What is neither white space nor a control, punctuation or a symbol is W.
constexpr char kSpaces[] =
    "\\x09-\\x0d\\x20\u0085\u00a0\u1680\u2000-\u200b\u2028-\u2029\u202f\u205f\u3000\ufeff";
constexpr char kMarks[] =
    "\\x00-\\x08\\x0e-\\x1f\\x21-\\x2f\\x3a-\\x40\\x5b-\\x60\\x7b-\u0084\u0086-\u009f\u00a1-\u00a9"
    "\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u200e-\u2027\u202a-\u202e\u2030-\u205e"
    "\u2060-\u206f\u20a0-\u20cf\u2190-\u2bff\u2e00-\u2e7f\u3001-\u3004\u3008-\u3020\u3030"
    "\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\ufffc-\ufffd"
    "\U0001f000-\U0001faff";

}  // namespace

const std::string& split_regex() {
  static const std::string w = std::string("[^") + kSpaces + kMarks + "]", s = "['\u2019][sS](?!" + w + ")";
  static const std::string regex = "(?:[A-Za-z]\\.){2,}|[0-9]+(?:[.,][0-9]+)+|" + s + "|" + w + "+(?:(?!" +
                                   s + ")['\u2019]" + w + "+)*|([^" + kSpaces + "])\\1*";
  return regex;
}

// One regular expression, run by Oniguruma.
std::vector<std::string_view> split_text(std::string_view text) {
  check_utf8(text, "split");
  static const Pattern pattern(split_regex(), Pattern::Kind::regex, "split");
  std::vector<std::string_view> tokens;
  thread_local Remembered<std::vector<Span>> known;
  for (std::string_view part : word_views(text))  // no token holds white space
    for (const Span& match : known(part, [&] { return pattern.matches(part); }))
      tokens.push_back(part.substr(match.begin, match.end - match.begin));
  return tokens;
}

std::uint32_t fnv1a(std::string_view bytes) {
  // h = (h xor byte) * 16777619 (Fowler, Noll, Vo; draft-eastlake-fnv)
  std::uint32_t hash = 2166136261u;
  for (char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  return hash;
}

void append_ngrams(std::string_view word, const NgramConfig& config, std::vector<int>& ids) {
  if (config.min < 1 || config.max < config.min || config.buckets < 1)
    fail(Fault::usage, "ngrams: must have 1 <= min <= max and buckets >= 1; got min {}, max {}, buckets {}",
         config.min, config.max, config.buckets);
  thread_local std::string buffer;
  buffer.assign("<").append(word).append(">");
  const std::string_view text = buffer;
  for (std::size_t start = 0; start < text.size(); next_code_point(text, start)) {
    std::size_t end = start;
    for (int n = 1; n <= config.max && end < text.size(); n++) {
      next_code_point(text, end);
      const bool bracket = n == 1 && (start == 0 || end == text.size());
      if (n >= config.min && !bracket)
        ids.push_back(int(fnv1a(text.substr(start, end - start)) % std::uint32_t(config.buckets)));
    }
  }
}

}  // namespace qkv
