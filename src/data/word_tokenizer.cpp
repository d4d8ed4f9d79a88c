#include "qkv/data/word_tokenizer.h"

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/data/split.h"

namespace qkv {

QKV_REGISTER(Tokenizer, "word", WordTokenizer, "one id per word and punctuation mark");

WordTokenizer::WordTokenizer(const TokenizerConfig& config) : Tokenizer(config) {}

std::vector<std::string> WordTokenizer::split(std::string_view text) const {
  const auto cut = config_.split == "spaces" ? word_views(text) : split_text(text);
  std::vector<std::string> words;
  words.reserve(cut.size());
  for (std::string_view word : cut) words.push_back(normalize(word));
  return words;
}

std::string WordTokenizer::canonical(std::string_view text) const {
  return join(split(text), " ");
}

std::string WordTokenizer::normalize(std::string_view word) const {
  std::string result = config_.lowercase ? lower_ascii(word) : std::string(word);
  if (config_.split != "spaces")
    for (std::size_t at; (at = result.find("\u2019")) != std::string::npos;) result.replace(at, 3, "'");
  return result;
}

std::string WordTokenizer::decode(const std::vector<int>& ids) const {
  std::string text;
  for (int id : ids) {
    const std::string& word = token(id);
    if (vocab_.is_special(id) && id != unk_id()) continue;
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

Json WordTokenizer::pipeline() const {
  const bool words = config_.split != "spaces";
  Json steps = Json::array();
  if (words) steps.push_back({{"type", "Replace"}, {"pattern", {{"String", "\u2019"}}}, {"content", "'"}});
  if (config_.lowercase) steps.push_back({{"type", "Lowercase"}});
  Json normalizer;
  if (steps.size() == 1) normalizer = steps[0];
  if (steps.size() == 2) normalizer = {{"type", "Sequence"}, {"normalizers", steps}};
  // The pattern matches tokens in one case (invert) and what is between them in the other.
  Json cut = {{"type", "Split"},
              {"pattern", {{"Regex", words ? split_regex() : "[\\t-\\r ]+"}}},
              {"behavior", "Removed"},
              {"invert", words}};
  return {{"normalizer", normalizer}, {"pre_tokenizer", cut}};
}

}  // namespace qkv
