#include "data/unicode.h"
#include "parts.h"

namespace qkv {
namespace {

// edit(character, its bytes, result) along the text.
template <class Edit>
std::string edited(std::string_view text, Edit edit) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    edit(c, text.substr(begin, at - begin), result);
  }
  return result;
}

template <class Drop>
std::string without(std::string_view text, Drop drop) {
  return edited(text, [&](char32_t c, std::string_view bytes, std::string& result) {
    if (!drop(c)) result += bytes;
  });
}

// ---- BERT: Devlin et al., "BERT" (2019), the "basic tokenizer" of the published code

std::string cleaned(std::string_view text) {
  return edited(text, [](char32_t c, std::string_view bytes, std::string& result) {
    if (c == '\t' || c == '\n' || c == '\r' || (unicode::is_white(c) && !unicode::is_other(c)))
      result += ' ';
    else if (c != 0 && c != 0xFFFD && !unicode::is_other(c))
      result += bytes;
  });
}

std::string with_ideographs_apart(std::string_view text) {
  return edited(text, [](char32_t c, std::string_view bytes, std::string& result) {
    const char* apart = unicode::is_ideograph(c) ? " " : "";
    result.append(apart).append(bytes).append(apart);
  });
}

Normalizer normalize_bert(const Json& part, const std::string& where) {
  const bool clean = bool_member_or(part, "clean_text", true, where),
             chinese = bool_member_or(part, "handle_chinese_chars", true, where),
             lowercase = bool_member_or(part, "lowercase", true, where),
             accents = bool_member_or(part, "strip_accents", lowercase, where);
  return [=](std::string text) {
    if (clean) text = cleaned(text);
    if (chinese) text = with_ideographs_apart(text);
    if (accents) text = without(unicode::normal_form(text, "NFD"), unicode::is_nonspacing_mark);
    return lowercase ? unicode::lower(text) : text;
  };
}

// ---- the others

Normalizer replace(const Json& part, const std::string& where) {
  const Pattern pattern = pattern_member(part, where);
  const std::string content = string_member(part, "content", where);
  return [=](std::string text) {
    std::string result;
    std::size_t end = 0;
    for (const Span& match : pattern.matches(text)) {
      result.append(text, end, match.begin - end).append(content);
      end = match.end;
      check_growth(result.size(), text.size(), where);
    }
    return result.append(text, end);
  };
}

StepKind<Normalizer> form(const char* name) {
  return fixed_step<Normalizer>(name,
                                [name](const std::string& text) { return unicode::normal_form(text, name); });
}

}  // namespace

Normalizer make_normalizer(const Json& part, const std::string& where) {
  static const std::vector<StepKind<Normalizer>> kinds{
      {"BertNormalizer",
       {"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"},
       normalize_bert},
      fixed_step<Normalizer>("Lowercase", unicode::lower),
      fixed_step<Normalizer>("StripAccents",
                             [](const std::string& text) { return without(text, unicode::is_mark); }),
      form("NFC"),
      form("NFD"),
      form("NFKC"),
      form("NFKD"),
      {"Replace", {"pattern", "content"}, replace}};
  return make_step<Normalizer>(part, where, kinds, "normalizers", [](std::string text) { return text; });
}

}  // namespace qkv
