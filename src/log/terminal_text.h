// Text on a terminal: how wide it is, cutting, colouring, and escaping of control characters.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

/// Columns of UTF-8 text that may hold colour codes.
int visible_width(std::string_view text);

/// The longest prefix of at most `width` columns, never cutting a character; ends in "…" ("~" in ASCII) if
/// cut.
std::string fit_width(std::string_view text, int width, bool unicode = true);

/// The text in lines of at most `width` columns, cut at spaces; a longer word stays whole.
std::vector<std::string> wrapped(std::string_view text, int width);

/// Text padded with spaces on the right (or the left) to `width` columns.
std::string pad_right(std::string_view text, int width);
std::string pad_left(std::string_view text, int width);

enum class Style { bold, dim, red, green, yellow, cyan };
/// Text between colour codes. A console takes them out again wherever colour is not wanted.
std::string styled(Style style, std::string_view text);

/// One character that darkens with `fraction`: ' ' ░ ▒ ▓ █, in ASCII ' ' . : * #. Not finite counts as 0.
std::string shade(double fraction, bool unicode = true);

/// Text without colour codes (unless `keep_color`) and with other control characters and malformed UTF-8
/// shown as
/// '?': text from data files cannot move the cursor. Newline and tab stay.
std::string harmless(std::string_view text, bool keep_color);

}  // namespace qkv
