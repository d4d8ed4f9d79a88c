#include "qkv/data/char_tokenizer.h"

#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

QKV_REGISTER(Tokenizer, "char", CharTokenizer, "one id per Unicode character");

CharTokenizer::CharTokenizer(const TokenizerConfig& config) : Tokenizer(config) {
  if (config.split != "words")
    fail(Fault::usage, "tokenizer: 'split' concerns type 'word' only; got {} with 'char'",
         in_quotes(config.split));
}

std::vector<std::string> CharTokenizer::split(std::string_view text) const {
  return split_code_points(text);
}

std::string CharTokenizer::decode(const std::vector<int>& ids) const {
  std::string text;
  for (int id : ids) {
    const std::string& character = token(id);
    if (id == unk_id())
      append_utf8(text, 0xFFFD);
    else if (!vocab_.is_special(id))
      text += character;
  }
  return text;
}

Json CharTokenizer::pipeline() const {
  Json cut = {
      {"type", "Split"}, {"pattern", {{"Regex", "[\\s\\S]"}}}, {"behavior", "Isolated"}, {"invert", false}};
  return {{"pre_tokenizer", cut}, {"decoder", {{"type", "Fuse"}}}};
}

}  // namespace qkv
