#include "qkv/data/tokenizer.h"

#include "qkv/base/text.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Tokenizer);

void Tokenizer::count(UnknownCount* counts, int id) {
  if (!counts) return;
  ++counts->tokens;
  counts->unknown += id == Vocab::kUnk;
}

void Tokenizer::check_utf8(std::string_view text) {
  const std::size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos)
    fail(Fault::data, "tokenizer: text must be UTF-8; got byte 0x{:02x} at byte {}",
         static_cast<unsigned char>(text[bad]), bad);
}

void read_tokenizer(const Section& section, TokenizerConfig& config) {
  const std::string type = section.type(config.type, Registry<Tokenizer>::instance().names());
  if (type != "word") section.drop_inherited("split");
  section.read(config);
}

Tokenizer::Tokenizer(TokenizerConfig config) : config_(std::move(config)), vocab_(config_.specials) {}

std::unique_ptr<Tokenizer> Tokenizer::make(const TokenizerConfig& config) {
  return Registry<Tokenizer>::instance().at(config.type, "tokenizer").make(config);
}

void Tokenizer::train(const std::vector<std::string>& texts) {
  TokenCounts counts;
  for (const std::string& text : texts) {
    check_utf8(text);
    for (std::string& token : split(text)) ++counts[std::move(token)];
  }
  vocab_ = Vocab(counts, config_.min_freq, config_.vocab_size, config_.specials);
}

void Tokenizer::train_words(const std::vector<std::vector<std::string>>& sentences) {
  TokenCounts counts;
  for (const auto& words : sentences)
    for (const std::string& word : words) {
      check_utf8(word);
      ++counts[normalize(word)];
    }
  vocab_ = Vocab(counts, config_.min_freq, config_.vocab_size, config_.specials);
}

std::vector<int> Tokenizer::encode(std::string_view text, UnknownCount* counts) const {
  check_utf8(text);
  std::vector<int> ids;
  for (const std::string& token : split(text)) {
    ids.push_back(vocab_.id(token));
    count(counts, ids.back());
  }
  return ids;
}

std::vector<int> Tokenizer::encode_words(const std::vector<std::string>& words, UnknownCount* counts) const {
  std::vector<int> ids;
  for (std::size_t i = 0; i < words.size(); ++i) append_word(words[i], i == 0, ids, counts);
  return ids;
}

void Tokenizer::append_word(std::string_view word, bool, std::vector<int>& ids, UnknownCount* counts) const {
  check_utf8(word);
  ids.push_back(id_of(word));
  count(counts, ids.back());
}

std::string Tokenizer::canonical(std::string_view text) const {
  return std::string(text);
}

}  // namespace qkv
