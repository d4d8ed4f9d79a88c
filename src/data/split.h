// How text is cut into words, by rules that the word tokenizer and the corpus readers share, and words into
// n-grams.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

/// Words and punctuation of UTF-8 text, in order, as parts of `text`. White space separates and disappears.
/// The first rule that fits at a position wins (W: letter, digit, or any non-ASCII character that is
/// neither space nor punctuation nor symbol):
///
///     abbreviation   two or more times ASCII letter + "."       a.m.  U.S.
///     number         digits with inner "," or "."               1,000.50   3.14
///     possessive     "'s" before a non-W, a separate token    bank's -> bank 's
///     word           W..., with inner apostrophes               can't  O'Brien  rock'n'roll  3rd  größe
///     punctuation    a run of one and the same character        ,  ...  --  !!
///
/// Hyphens separate (`long-term` is three tokens), ' and U+2019 are both apostrophes. Cutting tokens joined
/// with spaces gives the same tokens again. Throws a data error for text that is not UTF-8.
std::vector<std::string_view> split_text(std::string_view text);

/// The same rules as a regular expression for other toolkits: it matches the tokens. Syntax common to
/// Oniguruma and ECMAScript.
const std::string& split_regex();

/// Character n-grams of words, after fastText (Bojanowski et al., "Enriching word vectors with subword
/// information", TACL 2017): what an encoder knows of a word it has never seen.
struct NgramConfig {
  int min = 3, max = 6;  ///< lengths of the n-grams in characters, word borders included
  int buckets = 50000;   ///< number of ids they are hashed to
};

/// 32-bit FNV-1a.
std::uint32_t fnv1a(std::string_view bytes);

/// Appends the ids of the n-grams of `<word>` (with the brackets), by start, then by length: fnv1a(n-gram)
/// mod buckets. A single bracket is no n-gram. Does not allocate when `ids` has room.
void append_ngrams(std::string_view word, const NgramConfig& config, std::vector<int>& ids);

}  // namespace qkv
