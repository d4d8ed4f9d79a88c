#include "../json_members.h"
#include "byte_level.h"
#include "parts.h"
#include "pattern.h"
#include "qkv/base/text.h"
#include "unicode.h"

namespace qkv {
namespace {

using Strings = std::vector<std::string>;
using Cutter = std::function<void(const std::string& piece, Strings& out)>;

// A pre-tokenizer that cuts every piece by itself.
PreTokenizer each(Cutter cut) {
  return [cut = std::move(cut)](Strings pieces) {
    Strings out;
    for (const std::string& piece : pieces) cut(piece, out);
    return out;
  };
}

void add(std::string_view piece, Strings& out) {
  if (!piece.empty()) out.emplace_back(piece);
}

// What the pattern matches and what lies between, each kept or dropped.
Cutter by_pattern(const std::string& expression, bool matches, bool gaps, const std::string& where) {
  const Pattern pattern(expression, where);
  return [=](const std::string& piece, Strings& out) {
    const std::string_view text = piece;
    std::size_t end = 0;
    for (const auto& [first, last] : pattern.matches(text)) {
      if (gaps) add(text.substr(end, first - end), out);
      if (matches) add(text.substr(first, last - first), out);
      end = last;
    }
    if (gaps) add(text.substr(end), out);
  };
}

PreTokenizer byte_level(const Json& part, const std::string& where) {
  check_members(part, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, where);
  const bool prefix = bool_member_or(part, "add_prefix_space", true, where);
  const bool cuts = bool_member_or(part, "use_regex", true, where);
  const Cutter cut = by_pattern(kGpt2Pattern, true, true, where);
  return each([=](const std::string& piece, Strings& out) {
    std::size_t at = 0;
    const bool spaced = piece.empty() || unicode::is_white(next_code_point(piece, at));
    const std::string text = prefix && !spaced ? " " + piece : piece;
    Strings parts;
    if (cuts)
      cut(text, parts);
    else
      add(text, parts);
    for (const std::string& bytes : parts) out.push_back(to_letters(bytes));
  });
}

// White space is dropped; punctuation stands alone. BERT also counts ASCII symbols such as $ as punctuation.
void bert(const std::string& piece, Strings& out) {
  std::string word;
  auto end_word = [&] {
    add(word, out);
    word.clear();
  };
  for (std::size_t at = 0; at < piece.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(piece, at);
    const bool ascii_symbol =
        (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126);
    const bool alone = ascii_symbol || unicode::is_punctuation(c), white = unicode::is_white(c);
    if (alone || white) end_word();
    if (alone) add(std::string_view(piece).substr(begin, at - begin), out);
    if (!alone && !white) word.append(piece, begin, at - begin);
  }
  end_word();
}

PreTokenizer split_by(const Json& part, const std::string& where) {
  check_members(part, {"type", "pattern", "behavior", "invert"}, where);
  const Json& pattern = object_member(part, "pattern", where);
  std::string expression = string_member_or(pattern, "Regex", "", where);
  if (!pattern.contains("Regex"))  // the text itself: quoted, where it holds no end of a quotation
    expression = "\\Q" + string_member(pattern, "String", where) + "\\E";
  if (!pattern.contains("Regex") && expression.find("\\E") != expression.size() - 2)
    fail(Fault::data, "{}: 'String' must not hold \\E; got {}", where, brief(pattern));
  const std::string behavior = string_member(part, "behavior", where);
  if (behavior != "Removed" && behavior != "Isolated")
    fail(Fault::data, "{}: 'behavior' must be 'Removed' or 'Isolated'; got {}", where, in_quotes(behavior));
  const bool invert = bool_member_or(part, "invert", false, where), isolated = behavior == "Isolated";
  return each(by_pattern(expression, isolated || invert, isolated || !invert, where));
}

}  // namespace

PreTokenizer make_pre_tokenizer(const Json& part, const std::string& where) {
  if (part.is_null())
    return [](Strings pieces) {
      return pieces;
    };
  if (!part.is_object()) fail(Fault::data, "{}: must be an object or null; got {}", where, brief(part));
  const std::string type = string_member(part, "type", where);
  if (type == "ByteLevel") return byte_level(part, where);
  if (type == "Split") return split_by(part, where);
  if (type == "Sequence") {
    check_members(part, {"type", "pretokenizers"}, where);
    std::vector<PreTokenizer> steps;
    for (const Json& step : list_member(part, "pretokenizers", where))
      steps.push_back(make_pre_tokenizer(step, where));
    return [=](Strings pieces) {
      for (const PreTokenizer& step : steps) pieces = step(std::move(pieces));
      return pieces;
    };
  }
  if (type == "BertPreTokenizer" || starts_with(type, "Whitespace")) check_members(part, {"type"}, where);
  if (type == "BertPreTokenizer") return each(bert);
  if (type == "Whitespace") return each(by_pattern(R"(\w+|[^\w\s]+)", true, false, where));
  if (type == "WhitespaceSplit") return each(by_pattern(R"(\s+)", false, true, where));
  fail(Fault::data,
       "{}: must be ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit, Split or Sequence; got {}",
       where, in_quotes(type));
}

}  // namespace qkv
