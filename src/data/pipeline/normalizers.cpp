#include "data/json_members.h"
#include "data/unicode.h"
#include "parts.h"
#include "pattern.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

constexpr std::size_t kMostGrowth = 16, kMostGrown = std::size_t{4} << 20;

template <class Keep>
std::string filtered(std::string_view text, Keep keep) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (keep(next_code_point(text, at))) result += text.substr(begin, at - begin);
  }
  return result;
}

// ---- BERT: Devlin et al., "BERT" (2019), the "basic tokenizer" of the published code

std::string cleaned(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    if (c == '\t' || c == '\n' || c == '\r' || (unicode::is_white(c) && !unicode::is_other(c)))
      result += ' ';
    else if (c != 0 && c != 0xFFFD && !unicode::is_other(c))
      result += text.substr(begin, at - begin);
  }
  return result;
}

std::string with_ideographs_apart(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const bool apart = unicode::is_ideograph(next_code_point(text, at));
    if (apart) result += ' ';
    result += text.substr(begin, at - begin);
    if (apart) result += ' ';
  }
  return result;
}

Normalizer bert(const Json& part, const std::string& where) {
  check_members(part, {"type", "clean_text", "handle_chinese_chars", "strip_accents", "lowercase"}, where);
  const bool clean = bool_member_or(part, "clean_text", true, where),
             chinese = bool_member_or(part, "handle_chinese_chars", true, where),
             lowercase = bool_member_or(part, "lowercase", true, where),
             accents = bool_member_or(part, "strip_accents", lowercase, where);
  return [=](std::string text) {
    if (clean) text = cleaned(text);
    if (chinese) text = with_ideographs_apart(text);
    if (accents)
      text = filtered(unicode::normal_form(text, "NFD"),
                      [](char32_t c) { return !unicode::is_nonspacing_mark(c); });
    return lowercase ? unicode::lower(text) : text;
  };
}

// ---- replacing

Normalizer replace(const Json& part, const std::string& where) {
  check_members(part, {"type", "pattern", "content"}, where);
  const Json& pattern = object_member(part, "pattern", where);
  const std::string content = string_member(part, "content", where);
  const bool is_regex = pattern.contains("Regex");
  const std::string expression = string_member(pattern, is_regex ? "Regex" : "String", where);
  const Pattern regex(expression, is_regex ? Pattern::Kind::regex : Pattern::Kind::text, where);
  return [=](std::string text) {
    std::string result;
    std::size_t end = 0;
    for (const Span& match : regex.matches(text)) {
      result.append(text, end, match.begin - end).append(content);
      end = match.end;
      check_growth(result.size(), text.size(), where);
    }
    return result.append(text, end);
  };
}

}  // namespace

void check_growth(std::size_t size, std::size_t before, const std::string& where) {
  if (size > kMostGrown && size / kMostGrowth > before)
    fail(Fault::data, "{}: a text may grow {} times, or to {} bytes; got {} of {} bytes", where, kMostGrowth,
         kMostGrown, size, before);
}

Normalizer make_normalizer(const Json& part, const std::string& where) {
  if (part.is_null())
    return [](std::string text) {
      return text;
    };
  if (!part.is_object()) fail(Fault::data, "{}: must be an object or null; got {}", where, brief(part));
  const std::string type = string_member(part, "type", where);
  if (type == "BertNormalizer") return bert(part, where);
  if (type == "Replace") return replace(part, where);
  if (type == "Sequence") {
    check_members(part, {"type", "normalizers"}, where);
    std::vector<Normalizer> steps;
    for (const Json& step : list_member(part, "normalizers", where))
      steps.push_back(make_normalizer(step, where));
    return [=](std::string text) {
      const std::size_t size = text.size();
      for (const Normalizer& step : steps) {
        text = step(std::move(text));
        check_growth(text.size(), size, where);
      }
      return text;
    };
  }
  const bool is_form = type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD";
  if (is_form || type == "Lowercase" || type == "StripAccents") check_members(part, {"type"}, where);
  if (is_form)
    return [type](std::string text) {
      return unicode::normal_form(text, type);
    };
  if (type == "Lowercase")
    return [](std::string text) {
      return unicode::lower(text);
    };
  if (type == "StripAccents")
    return [](std::string text) {
      return filtered(text, [](char32_t c) { return !unicode::is_mark(c); });
    };
  fail(Fault::data,
       "{}: must be BertNormalizer, Lowercase, StripAccents, NFC, NFD, NFKC, NFKD, Replace or Sequence; got "
       "{}",
       where, in_quotes(type));
}

}  // namespace qkv
