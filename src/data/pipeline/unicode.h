// Properties and mappings of Unicode characters, by utf8proc.
#pragma once
#include <string>
#include <string_view>

namespace qkv::unicode {

bool is_white(char32_t c);
/// Categories C*: controls, formats, surrogates, private use, unassigned.
bool is_other(char32_t c);
/// Categories P*.
bool is_punctuation(char32_t c);
/// Categories M*; `nonspacing` only Mn.
bool is_mark(char32_t c);
bool is_nonspacing_mark(char32_t c);
/// The blocks of Chinese ideographs that BERT sets apart.
bool is_ideograph(char32_t c);

/// Lower case, character by character. Text must be UTF-8 here and below.
std::string lower(std::string_view text);
/// Normal form `form`: "NFC", "NFD", "NFKC" or "NFKD".
std::string normal_form(std::string_view text, std::string_view form);

}  // namespace qkv::unicode
