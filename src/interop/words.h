// What a folder of Hugging Face says in words: its tokenizer, the names of classes, how a text ends.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "interop/folder.h"
#include "qkv/data/tokenizer.h"

namespace qkv {

/// tokenizer.json, with as many tokens as the model: what is unused gets a name.
std::shared_ptr<Tokenizer> tokenizer_of(const HfFolder& folder, Index vocab_size);

/// The names of the classes, from config.json: LABEL_0, LABEL_1, .. where it gives none.
std::vector<std::string> labels_of(const Json& config, const std::string& where);

/// The token that ends a text: the first id of eos_token_id that the tokenizer has, or "none".
std::string end_token(const HfFolder& folder, const Tokenizer& tokenizer, std::vector<std::string>& notes);

}  // namespace qkv
