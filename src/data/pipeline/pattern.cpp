#include "pattern.h"

#include <oniguruma.h>

#include <cctype>
#include <climits>
#include <ctime>

#include "../replaced.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"
#include "unicode.h"

namespace qkv {
namespace {

constexpr unsigned kMostWaiting = 2'000'000;  // choices that a match may come back to, 48 bytes each

std::string message(int code, OnigErrorInfo* info = nullptr) {
  OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int n = info ? onig_error_code_to_str(text, code, info) : onig_error_code_to_str(text, code);
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(n)};
}

const OnigUChar* bytes(std::string_view text) {
  return reinterpret_cast<const OnigUChar*>(text.data());
}

// Since Oniguruma 6.9.9, [:punct:] holds all symbols and \p{Word} is \w: later patterns mean that.
std::string modern(std::string text) {
  for (auto [old, now] :
       {std::pair{"[:punct:]", "\\p{P}\\p{S}"}, {"[:^punct:]", "[^\\p{P}\\p{S}]"}, {"\\p{Word}", "\\w"}})
    text = replaced(text, old, now);
  return text;
}

// The CPU time that a text may take. Counting steps is not enough: a step may read the whole text.
class Budget {
 public:
  explicit Budget(std::size_t size) : end_(now() + 0.5 + 2e-6 * static_cast<double>(size)) {}
  bool spent() const { return now() > end_; }

 private:
  static double now() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
  double end_;
};

}  // namespace

struct Pattern::Code {
  OnigRegex regex = nullptr;
  ~Code() { onig_free(regex); }
};

Pattern::Pattern(const std::string& expression, std::string where) : where_(std::move(where)) {
  static const int ready = [] {
    OnigEncoding utf8 = ONIG_ENCODING_UTF8;
    return onig_initialize(&utf8, 1);
  }();
  QKV_CHECK(ready == ONIG_NORMAL, "pattern: Oniguruma must start; got {}", ready);
  const std::string text = modern(expression);
  auto made = std::make_shared<Code>();
  OnigErrorInfo info;
  const int code = onig_new(&made->regex, bytes(text), bytes(text) + text.size(), ONIG_OPTION_NONE,
                            ONIG_ENCODING_UTF8, ONIG_SYNTAX_ONIGURUMA, &info);
  if (code != ONIG_NORMAL) {
    made->regex = nullptr;
    fail(Fault::data, "{}: must be a regular expression; got {} ({})", where_, in_quotes(expression),
         message(code, &info));
  }
  code_ = std::move(made);
}

std::string Pattern::quoted(std::string_view text) {
  std::string result;
  for (char c : text) {
    if (c > 0 && std::ispunct(static_cast<unsigned char>(c))) result += '\\';
    result += c;
  }
  return result;
}

std::vector<Span> Pattern::matches(std::string_view text) const {
  std::vector<Span> found;
  if (text.empty()) return found;
  constexpr std::size_t kBetweenLooks = 64;  // at the clock
  const auto few = static_cast<unsigned long>(100 + 50'000'000 / text.size());
  const Budget budget(text.size());
  const auto release = [](OnigRegion* region) {
    onig_region_free(region, 1);
  };
  const std::unique_ptr<OnigRegion, decltype(release)> region(onig_region_new(), release);
  const std::unique_ptr<OnigMatchParam, decltype(&onig_free_match_param)> limits(onig_new_match_param(),
                                                                                 &onig_free_match_param);
  if (!region || !limits) fail(Fault::runtime, "{}: no memory for a match", where_);
  onig_initialize_match_param(limits.get());
  onig_set_match_stack_limit_size_of_match_param(limits.get(), kMostWaiting);
  onig_set_retry_limit_in_match_of_match_param(limits.get(), ULONG_MAX);  // 0 is no match at all
  const std::string known = unicode::with_stand_ins(text);
  const OnigUChar *begin = bytes(known), *end = begin + text.size();
  std::size_t last = std::string_view::npos;  // end of the match before
  for (std::size_t from = 0; from <= text.size();) {
    int code = ONIG_MISMATCH;
    for (unsigned long tries = few;; tries *= 2) {
      onig_set_retry_limit_in_search_of_match_param(limits.get(), tries);
      code = onig_search_with_param(code_->regex, begin, end, begin + from, end, region.get(),
                                    ONIG_OPTION_NONE, limits.get());
      const bool over =
          code == ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER || code == ONIGERR_RETRY_LIMIT_IN_MATCH_OVER;
      if (!over || budget.spent()) break;
    }
    if (code == ONIG_MISMATCH) break;
    if (code >= 0 && found.size() % kBetweenLooks == 0 && budget.spent())
      code = ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER;
    if (code < 0)
      fail(Fault::data, "{}: the expression must end soon on every text; got {} with {} bytes", where_,
           message(code), text.size());
    const Span match{static_cast<std::size_t>(region->beg[0]), static_cast<std::size_t>(region->end[0])};
    if (match.begin == match.end && match.end == last) {
      if (from < text.size())
        next_code_point(text, from);
      else
        break;
      continue;
    }
    if (match.begin < (found.empty() ? 0 : found.back().end) || match.end < match.begin)  // by \K
      fail(Fault::data, "{}: matches must lie behind each other; got [{}, {})", where_, match.begin,
           match.end);
    found.push_back(match);
    from = last = match.end;
  }
  return found;
}

}  // namespace qkv
