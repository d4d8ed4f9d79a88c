// The steps around a model of tokens, made from the members of tokenizer.json. A part that is not known here
// is a data error that names it.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"

namespace qkv {

using Normalizer = std::function<std::string(std::string)>;
using PreTokenizer = std::function<std::vector<std::string>(std::vector<std::string>)>;
using Decoder = std::function<std::vector<std::string>(std::vector<std::string>)>;

/// A data error where a text has grown by what no real step does, so that no file fills the memory.
void check_growth(std::size_t size, std::size_t before, const std::string& where);

/// null, BertNormalizer, Lowercase, StripAccents, NFC, NFD, NFKC, NFKD, Replace, Sequence.
Normalizer make_normalizer(const Json& part, const std::string& where);
/// null, ByteLevel, BertPreTokenizer, Whitespace, WhitespaceSplit, Split, Sequence: pieces into smaller ones.
PreTokenizer make_pre_tokenizer(const Json& part, const std::string& where);
/// null (one space between tokens), ByteLevel, WordPiece, BPEDecoder, Fuse, Sequence. The text is what the
/// strings give in a row.
Decoder make_decoder(const Json& part, const std::string& where);

}  // namespace qkv
