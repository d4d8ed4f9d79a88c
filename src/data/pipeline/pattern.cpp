#include "pattern.h"

#include <oniguruma.h>

#include <algorithm>
#include <climits>

#include "base/clock.h"
#include "data/unicode.h"
#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr unsigned kMostWaiting = 2'000'000;  // choices that a match may come back to, 48 bytes each

std::string message(int code, OnigErrorInfo* info = nullptr) {
  OnigUChar text[ONIG_MAX_ERROR_MESSAGE_LEN];
  const int n = info ? onig_error_code_to_str(text, code, info) : onig_error_code_to_str(text, code);
  return {reinterpret_cast<const char*>(text), std::size_t(n)};
}

const OnigUChar* bytes(std::string_view text) {
  return reinterpret_cast<const OnigUChar*>(text.data());
}

// Since Oniguruma 6.9.9, [:punct:] holds all symbols and \p{Word} is \w: later patterns mean that.
std::string modern(std::string text) {
  for (auto [old, now] :
       {std::pair{"[:punct:]", "\\p{P}\\p{S}"}, {"[:^punct:]", "[^\\p{P}\\p{S}]"}, {"\\p{Word}", "\\w"}})
    text = replace_all(text, old, now);
  return text;
}

// Of the text that this thread is at. Counting steps is not enough: a step may read the whole text.
struct Allowance {
  bool active = false;
  double seconds = 0, used = 0;
};
thread_local Allowance allowance;

}  // namespace

PatternTime::PatternTime(std::size_t bytes) : outermost_(!allowance.active) {
  if (outermost_) allowance = {true, 0.25 + 2e-6 * double(bytes), 0};
}

PatternTime::~PatternTime() {
  if (outermost_) allowance.active = false;
}

struct Pattern::Code {
  OnigRegex regex = nullptr;
  ~Code() { onig_free(regex); }
};

Pattern::Pattern(const std::string& expression, Kind kind, std::string where) : where_(std::move(where)) {
  if (kind == Kind::text) text_ = expression;
  if (!text_.empty()) return;
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
  for (const char* name : {"\\p", "\\P", "\\w", "\\W", "\\d", "\\D", "\\b", "\\B", "[:"})
    names_kinds_ = names_kinds_ || text.find(name) != std::string::npos;
}

std::vector<Span> Pattern::places(std::string_view text) const {
  std::vector<Span> found;
  for (std::size_t at = 0; (at = text.find(text_, at)) != std::string_view::npos; at += text_.size())
    found.push_back({at, at + text_.size()});
  return found;
}

std::vector<Span> Pattern::matches(std::string_view text) const {
  if (!text_.empty()) return places(text);
  std::vector<Span> found;
  if (text.empty()) return found;
  constexpr std::size_t kBetweenLooks = 64, kSmall = 4096;  // matches; bytes that need no clock
  const PatternTime time(text.size());
  double start = text.size() > kSmall ? thread_cpu_seconds() : -1;
  auto is_late = [&] {
    return start >= 0 && allowance.used + thread_cpu_seconds() - start > allowance.seconds;
  };
  // So few that a step for each costs little, were each to read the whole text.
  const auto few = static_cast<unsigned long>(std::min<std::size_t>(1000, 100 + 50'000'000 / text.size()));
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
  const std::string known = names_kinds_ ? unicode::with_stand_ins(text) : "";
  const OnigUChar *begin = bytes(names_kinds_ ? known : text), *end = begin + text.size();
  std::size_t last = std::string_view::npos;  // end of the match before
  for (std::size_t from = 0; from <= text.size();) {
    int code = ONIG_MISMATCH;
    bool late = found.size() % kBetweenLooks == 0 && is_late();
    for (unsigned long tries = few; !late; tries *= 2) {
      onig_set_retry_limit_in_search_of_match_param(limits.get(), tries);
      code = onig_search_with_param(code_->regex, begin, end, begin + from, end, region.get(),
                                    ONIG_OPTION_NONE, limits.get());
      if (code != ONIGERR_RETRY_LIMIT_IN_SEARCH_OVER && code != ONIGERR_RETRY_LIMIT_IN_MATCH_OVER) break;
      if (start < 0) start = thread_cpu_seconds();
      late = is_late();
    }
    if (late)
      fail(Fault::data, "{}: the expression must process a text within {:.2f} s; got more for {} bytes",
           where_, allowance.seconds, text.size());
    if (code == ONIG_MISMATCH) break;
    if (code < 0)
      fail(Fault::data, "{}: the expression must process every text; got {} with {} bytes", where_,
           message(code), text.size());
    const Span match{std::size_t(region->beg[0]), std::size_t(region->end[0])};
    if (match.begin == match.end && match.end == last) {
      if (from == text.size()) break;
      next_code_point(text, from);
      continue;
    }
    if (match.begin < (found.empty() ? 0 : found.back().end) || match.end < match.begin)  // by \K
      fail(Fault::data, "{}: matches must follow each other; got [{}, {})", where_, match.begin, match.end);
    found.push_back(match);
    from = last = match.end;
  }
  if (start >= 0) allowance.used += thread_cpu_seconds() - start;
  return found;
}

}  // namespace qkv
