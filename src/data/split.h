// How text is cut into words: the rules shared by the word tokenizer and the corpus readers.
#pragma once
#include <cstddef>
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

}  // namespace qkv
