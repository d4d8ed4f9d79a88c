// The member "vocab" of a model in tokenizer.json.
#pragma once
#include <string>
#include <vector>

#include "qkv/base/json_fwd.h"
#include "qkv/data/vocab.h"

namespace qkv {

/// Tokens by id; the ids must be 0 ... n-1 without gaps.
std::vector<std::string> read_vocab_member(const Json& model, const std::string& where);
Json vocab_member(const Vocab& vocab);

}  // namespace qkv
