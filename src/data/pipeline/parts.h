// The steps around a model of tokens, made from the members of tokenizer.json. A part that is not known here
// is a data error that names it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "data/json_members.h"
#include "pattern.h"
#include "qkv/base/text.h"

namespace qkv {

using Strings = std::vector<std::string>;
using Normalizer = std::function<std::string(std::string)>;
using PreTokenizer = std::function<Strings(Strings)>;
using Decoder = std::function<Strings(Strings)>;

/// null, BertNormalizer, Lowercase, StripAccents, NFC, NFD, NFKC, NFKD, Replace, Sequence.
Normalizer make_normalizer(const Json& part, const std::string& where);
/// null, ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit, Split, Sequence: pieces into smaller ones.
PreTokenizer make_pre_tokenizer(const Json& part, const std::string& where);
/// null (one space between tokens), ByteLevel, WordPiece, BPEDecoder, Fuse, Sequence. The text is what the
/// strings give in a row.
Decoder make_decoder(const Json& part, const std::string& where);

/// The byte-level alphabet of GPT-2, a printable letter for each byte: 33-126, 161-172 and 174-255 stand for
/// themselves, the others for U+0100 upward in their order.
const Strings& byte_letters();
/// Each byte as its letter.
std::string to_letters(std::string_view bytes);

/// Calls take(part) for parts that GPT-2 cuts alike wherever they stand: they begin with the space before a
/// word.
template <class Take>
void for_each_word(std::string_view text, Take take) {
  for (std::size_t end = 1; !text.empty(); end++) {
    const bool before_word = end + 1 < text.size() && text[end] == ' ' && text[end + 1] > ' ';
    if (end < text.size() && !before_word) continue;
    take(text.substr(0, end));
    text.remove_prefix(end);
    end = 0;
  }
}

// ---- what the three have in common

/// One kind of step: its "type", its other members, and what makes the step of them.
template <class Step>
struct StepKind {
  const char* type;
  Strings members;
  std::function<Step(const Json& part, const std::string& where)> make;
};

/// One that is the same whatever its members say.
template <class Step>
StepKind<Step> fixed_step(const char* type, Step step, Strings members = {}) {
  return {type, std::move(members), [step](const Json&, const std::string&) {
            return step;
          }};
}

/// A data error where a text has grown by what no real step does, so that no file fills the memory.
void check_growth(std::size_t size, std::size_t before, const std::string& where);

inline std::size_t size_of(const std::string& text) {
  return text.size();
}
std::size_t size_of(const Strings& pieces);

/// The step that a part says: of one of the kinds, "Sequence" with the steps in the member `list`, or null,
/// which is `nothing`.
template <class Step>
Step make_step(const Json& part, const std::string& where, const std::vector<StepKind<Step>>& kinds,
               const char* list, Step nothing) {
  if (part.is_null()) return nothing;
  if (!part.is_object()) fail(Fault::data, "{}: must be an object or null; got {}", where, brief(part));
  const std::string type = string_member(part, "type", where);
  Strings known;
  for (const StepKind<Step>& kind : kinds) {
    known.push_back(kind.type);
    if (type != kind.type) continue;
    Strings members{"type"};
    members.insert(members.end(), kind.members.begin(), kind.members.end());
    check_members(part, members, where);
    return kind.make(part, where);
  }
  if (type != "Sequence")
    fail(Fault::data, "{}: must be {} or Sequence; got {}", where, join(known, ", "), in_quotes(type));
  check_members(part, {"type", list}, where);
  std::vector<Step> steps;
  for (const Json& step : list_member(part, list, where))
    steps.push_back(make_step(step, where, kinds, list, nothing));
  return [=](auto text) {
    const std::size_t size = size_of(text);
    for (const Step& step : steps) {
      text = step(std::move(text));
      check_growth(size_of(text), size, where);
    }
    return text;
  };
}

/// The member "pattern": {"Regex": ..} or {"String": ..}.
Pattern pattern_member(const Json& part, const std::string& where);

}  // namespace qkv
