// The byte-level alphabet of GPT-2: a printable letter for each byte.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace qkv {

/// The letter of each byte: 33-126, 161-172 and 174-255 stand for themselves, the others for U+0100 upward
/// in their order.
const std::vector<std::string>& byte_letters();
/// Each byte as its letter.
std::string to_letters(std::string_view bytes);
/// Letters back to bytes; characters that are no letters stay as they are.
std::string from_letters(std::string_view letters);
/// U+FFFD for every byte that is not part of valid UTF-8; one for a cut-off character.
std::string repaired(std::string_view bytes);

}  // namespace qkv
