// Properties and mappings of Unicode characters, by utf8proc.
#pragma once
#include <string>
#include <string_view>

namespace qkv::unicode {

bool is_white(char32_t c);
/// Categories C*: controls, formats, private use, but not what is unassigned. This and the next two as BERT's
/// published code has them, whose tables are those of Unicode 8.
bool is_other(char32_t c);
/// Categories P*.
bool is_punctuation(char32_t c);
/// Category Mn.
bool is_nonspacing_mark(char32_t c);
/// Categories M* of Unicode 9, which StripAccents drops.
bool is_mark(char32_t c);
/// The blocks of Chinese ideographs that BERT sets apart.
bool is_ideograph(char32_t c);

/// The text with older characters of the same kind and length in place of those that Unicode 15 to 16 have
/// added: for patterns, as Oniguruma does not know them.
std::string with_stand_ins(std::string_view text);

/// Lower case, character by character. Text must be UTF-8 here and below.
std::string lower(std::string_view text);
/// Normal form `form`: "NFC", "NFD", "NFKC" or "NFKD".
std::string normal_form(std::string_view text, std::string_view form);

}  // namespace qkv::unicode
