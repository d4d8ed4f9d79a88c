#include <algorithm>

#include "data/unicode.h"
#include "parts.h"

namespace qkv {
namespace {

// \w+|[^\w\s]+ with the \w of Unicode, which is not Oniguruma's.
constexpr const char* kWords =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\s]+)";

// How GPT-2 cuts: contractions, letters, numbers, other characters (each with the space before), white space.
constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

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

// A part of a piece, and whether it is one that separates: what the pattern matches, or with "invert" the
// rest.
struct Part {
  Span span;
  bool separates;
};

std::vector<Part> parts_of(const Pattern& pattern, bool invert, std::string_view text) {
  std::vector<Part> parts;
  std::size_t end = 0;
  for (const Span& match : pattern.matches(text)) {
    if (match.begin > end) parts.push_back({{end, match.begin}, invert});
    parts.push_back({match, !invert});
    end = match.end;
  }
  if (end < text.size()) parts.push_back({{end, text.size()}, invert});
  return parts;
}

// A separator joins the piece before or after it, but no other separator does.
void merge(std::vector<Part>& parts, const std::string& behavior) {
  std::vector<Part> merged;
  auto extend = [&](const Part& part) {
    Span& last = merged.back().span;
    last = {std::min(last.begin, part.span.begin), std::max(last.end, part.span.end)};
  };
  const bool next = behavior == "MergedWithNext", contiguous = behavior == "Contiguous";
  if (next) std::reverse(parts.begin(), parts.end());
  bool before = false;
  for (const Part& part : parts) {
    const bool joins = contiguous ? part.separates == before : part.separates && !before;
    before = part.separates;
    if (joins && !merged.empty())
      extend(part);
    else
      merged.push_back(part);
  }
  if (next) std::reverse(merged.begin(), merged.end());
  parts = std::move(merged);
}

// By the pattern, as one of the behaviours says.
Cutter by_pattern(const Pattern& pattern, const std::string& behavior, bool invert) {
  return [=](const std::string& piece, Strings& out) {
    std::vector<Part> parts = parts_of(pattern, invert, piece);
    if (behavior != "Removed" && behavior != "Isolated") merge(parts, behavior);
    for (const Part& part : parts)
      if (behavior != "Removed" || !part.separates)
        add(std::string_view(piece).substr(part.span.begin, part.span.end - part.span.begin), out);
  };
}

PreTokenizer cut_byte_level(const Json& part, const std::string& where) {
  const bool prefix = bool_member_or(part, "add_prefix_space", true, where);
  const bool cuts = bool_member_or(part, "use_regex", true, where);
  static const Pattern gpt2(kGpt2, Pattern::Kind::regex, "pre_tokenizer");
  return each([=](const std::string& piece, Strings& out) {
    const std::string text = prefix && piece[0] != ' ' ? " " + piece : piece;
    if (!cuts) return out.push_back(to_letters(text));
    thread_local Remembered<Strings> known;
    for_each_word(text, [&](std::string_view word) {
      const Strings& pieces = known(word, [&] {
        Strings result;
        for (const Span& match : gpt2.matches(word))
          result.push_back(to_letters(word.substr(match.begin, match.end - match.begin)));
        return result;
      });
      out.insert(out.end(), pieces.begin(), pieces.end());
    });
  });
}

// White space is dropped; punctuation stands alone. BERT also counts ASCII symbols such as $ as punctuation.
void cut_bert(const std::string& piece, Strings& out) {
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

PreTokenizer cut_by_pattern(const Json& part, const std::string& where) {
  const Pattern separators = pattern_member(part, where);
  const std::string behavior = string_member(part, "behavior", where);
  const Strings known{"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
  if (!std::count(known.begin(), known.end(), behavior))
    fail(Fault::data, "{}: 'behavior' must be one of {}; got {}", where, join(known, ", "),
         in_quotes(behavior));
  return each(by_pattern(separators, behavior, bool_member_or(part, "invert", false, where)));
}

// Cuts by a fixed pattern, and drops what separates.
StepKind<PreTokenizer> words(const char* type, const char* regex, bool invert) {
  return {type, {}, [=](const Json&, const std::string& where) {
            return each(by_pattern({regex, Pattern::Kind::regex, where}, "Removed", invert));
          }};
}

}  // namespace

PreTokenizer make_pre_tokenizer(const Json& part, const std::string& where) {
  static const std::vector<StepKind<PreTokenizer>> kinds{
      {"ByteLevel", {"add_prefix_space", "trim_offsets", "use_regex"}, cut_byte_level},
      fixed_step<PreTokenizer>("BertPreTokenizer", each(cut_bert)),
      words("Whitespace", kWords, true),
      words("WhitespaceSplit", R"(\s+)", false),
      {"Split", {"pattern", "behavior", "invert"}, cut_by_pattern}};
  return make_step<PreTokenizer>(part, where, kinds, "pretokenizers", [](Strings pieces) { return pieces; });
}

// ---- what all steps have in common

std::size_t size_of(const Strings& pieces) {
  std::size_t size = 0;
  for (const std::string& piece : pieces) size += piece.size();
  return size;
}

void check_growth(std::size_t size, std::size_t before, const std::string& where) {
  constexpr std::size_t kMostGrowth = 16, kMostGrown = std::size_t{4} << 20;
  if (size > kMostGrown && size / kMostGrowth > before)
    fail(Fault::data, "{}: a text may grow {} times, or to {} bytes; got {} of {} bytes", where, kMostGrowth,
         kMostGrown, size, before);
}

Pattern pattern_member(const Json& part, const std::string& where) {
  const Json& pattern = object_member(part, "pattern", where);
  const bool is_regex = pattern.contains("Regex");
  return {string_member(pattern, is_regex ? "Regex" : "String", where),
          is_regex ? Pattern::Kind::regex : Pattern::Kind::text, where};
}

}  // namespace qkv
