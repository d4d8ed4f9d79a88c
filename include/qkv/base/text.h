// Text: nearest names for error messages, UTF-8, splitting, numbers that read back to the same bits.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

/// Damerau-Levenshtein distance (optimal string alignment) in bytes.
std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `name`, or "" when none is within max(1, length / 3); ASCII case is ignored.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// A hint to append to an error: " (did you mean 'x'?)", else " (known: a, b)" when there are few, else "".
std::string suggest(std::string_view name, const std::vector<std::string>& candidates);

/// `text` in single quotes, cut to `limit` bytes, control characters and invalid UTF-8 as \xNN: safe in a
/// message.
std::string in_quotes(std::string_view text, std::size_t limit = 60);

/// Position of the first byte that is not part of valid UTF-8, or npos (overlong forms and surrogates are
/// invalid).
std::size_t first_invalid_utf8(std::string_view text);
bool is_utf8(std::string_view text);
/// A data error that starts with `where` for text that is not.
void check_utf8(std::string_view text, std::string_view where);

/// The code point at `position`, which moves past it. Invalid bytes give U+FFFD one by one.
char32_t next_code_point(std::string_view text, std::size_t& position);
std::vector<char32_t> code_points(std::string_view utf8);
std::size_t count_code_points(std::string_view utf8);
/// The text cut into its code points, each as a string. Invalid bytes stay as single bytes.
std::vector<std::string> split_code_points(std::string_view utf8);
/// Appends one code point as UTF-8.
void append_utf8(std::string& text, char32_t code_point);

/// Terminal columns: 0 for controls and combining marks, 2 for East Asian wide characters and emoji.
int display_width(char32_t code_point);
int display_width(std::string_view utf8);

/// Cuts at every separator: "a,,b" gives "a", "", "b"; "" gives one empty field.
std::vector<std::string> split(std::string_view text, char separator);
/// Cuts at runs of ASCII white space, without empty fields.
std::vector<std::string> split_words(std::string_view text);
/// The same words as views of the text.
std::vector<std::string_view> word_views(std::string_view text);
std::string_view trim(std::string_view text);
/// Of more parts than `most`, the first ones, and how many more there are: "a, b, 7 more".
std::string join(const std::vector<std::string>& parts, std::string_view separator,
                 std::size_t most = std::size_t(-1));
/// `to` for every `from`, left to right; in a time that grows as the text does.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);
/// Lower case of A-Z; all other bytes stay.
std::string lower_ascii(std::string_view text);
/// Whether a text is one or more of 0-9.
bool all_digits(std::string_view text);
bool starts_with(std::string_view text, std::string_view prefix);
bool ends_with(std::string_view text, std::string_view suffix);

/// The shortest decimal that reads back to the same value of the same type. Always has a point or an
/// exponent, so it stays a float in TOML and JSON. Non-finite values are `nan`, `inf`, `-inf` (TOML; JSON
/// needs strings, see json.h).
std::string shortest(float value);
std::string shortest(double value);

}  // namespace qkv
