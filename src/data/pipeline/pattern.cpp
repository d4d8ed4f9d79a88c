#include "pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "qkv/base/error.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::uint32_t kSteps = 5'000'000;  // of one match

std::string message(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Pattern::Code {
  pcre2_code* code = nullptr;
  pcre2_match_context* limits = nullptr;
  ~Code() {
    pcre2_match_context_free(limits);
    pcre2_code_free(code);
  }
};

Pattern::Pattern(const std::string& expression, std::string where) : where_(std::move(where)) {
  int error = 0;
  std::size_t at = 0;
  auto made = std::make_shared<Code>();
  // UCP: \s, \w and \d know all of Unicode. Never backslash-C, which cuts characters.
  made->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (!made->code)
    fail(Fault::data, "{}: must be a regular expression; got {} ({} at byte {})", where_,
         in_quotes(expression), message(error), at);
  made->limits = pcre2_match_context_create(nullptr);
  if (!made->limits) fail(Fault::runtime, "{}: no memory for a pattern", where_);
  pcre2_set_match_limit(made->limits, kSteps);
  pcre2_set_depth_limit(made->limits, kSteps);
  pcre2_set_heap_limit(made->limits, 256 * 1024);     // in KiB
  pcre2_jit_compile(made->code, PCRE2_JIT_COMPLETE);  // where it fails, matching is slower
  code_ = std::move(made);
}

std::vector<std::pair<std::size_t, std::size_t>> Pattern::matches(std::string_view text) const {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code_->code, nullptr), &pcre2_match_data_free);
  if (!match) fail(Fault::runtime, "{}: no memory for a match", where_);
  const auto* bytes = reinterpret_cast<PCRE2_SPTR>(text.data());
  const std::size_t* range = pcre2_get_ovector_pointer(match.get());
  for (std::size_t from = 0; from < text.size();) {
    std::uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY;  // the text was checked by the caller
    int code = pcre2_match(code_->code, bytes, text.size(), from, options, match.get(), code_->limits);
    if (code == PCRE2_ERROR_JIT_STACKLIMIT)
      code = pcre2_match(code_->code, bytes, text.size(), from, options | PCRE2_NO_JIT, match.get(),
                         code_->limits);
    if (code == PCRE2_ERROR_NOMATCH) break;
    if (code < 0)
      fail(Fault::data, "{}: the expression must end on every text; got {}", where_, message(code));
    if (range[1] <= from || range[0] >= range[1])  // \K may turn a match around
      fail(Fault::data, "{}: matches must lie behind each other; got [{}, {}) from {}", where_, range[0],
           range[1], from);
    found.emplace_back(range[0], range[1]);
    from = range[1];
  }
  return found;
}

}  // namespace qkv
