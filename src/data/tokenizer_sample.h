// The part of a text that a tokenizer is trained on.
#pragma once
#include <string>
#include <vector>

#include "data/text_source.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// At most `part` of 64 MiB: the first characters, until `end`; of a longer manifest the beginning of each
/// file, the same share of all. Cut at the ends of documents and at the special tokens that the text names.
std::vector<std::string> tokenizer_sample(TextSource& source, std::int64_t end, const Tokenizer& tokenizer,
                                          double part = 1);

}  // namespace qkv
