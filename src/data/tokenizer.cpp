#include "qkv/data/tokenizer.h"

#include "prefix_table.h"
#include "qkv/base/text.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Tokenizer);

void Tokenizer::count(UnknownCount* counts, int id) {
  if (!counts) return;
  ++counts->tokens;
  counts->unknown += id == Vocab::kUnk;
}

void read_tokenizer(const Section& section, TokenizerConfig& config) {
  const Registry<Tokenizer>& registry = Registry<Tokenizer>::instance();
  const std::string type = section.given<std::string>("type").value_or(config.type);
  if (!registry.contains(type)) section.type(config.type, registry.names());  // reports it
  const bool keeps_case = type == "char" || type == "bpe" || type == "file";
  if (type != "word") section.drop_inherited("split");
  if (keeps_case) section.drop_inherited("lowercase");
  section.read(config);
  if (keeps_case) config.lowercase = false;
}

Tokenizer::Tokenizer(TokenizerConfig config) : config_(std::move(config)), vocab_(config_.specials) {}

void Tokenizer::refuse_split(const TokenizerConfig& config) {
  if (config.split != "words")
    fail(Fault::usage, "tokenizer: 'split' concerns type 'word' only; got {} with {}",
         in_quotes(config.split), in_quotes(config.type));
}

std::unique_ptr<Tokenizer> Tokenizer::make(const TokenizerConfig& config) {
  return Registry<Tokenizer>::instance().at(config.type, "tokenizer").make(config);
}

void Tokenizer::train(const std::vector<std::string>& texts) {
  TokenCounts counts;
  for (const std::string& text : texts) {
    check_utf8(text, "tokenizer");
    for_tokens(text, [&](std::string_view token) { ++counts[std::string(token)]; });
  }
  vocab_ = Vocab(counts, config_.min_freq, config_.vocab_size, config_.specials);
}

void Tokenizer::train_words(const std::vector<std::vector<std::string>>& sentences) {
  TokenCounts counts;
  for (const auto& words : sentences)
    for (const std::string& word : words) {
      check_utf8(word, "tokenizer");
      ++counts[normalize(word)];
    }
  vocab_ = Vocab(counts, config_.min_freq, config_.vocab_size, config_.specials);
}

std::vector<int> Tokenizer::encode(std::string_view text, UnknownCount* counts) const {
  check_utf8(text, "tokenizer");
  std::vector<int> ids;
  for_tokens(text, [&](std::string_view token) {
    ids.push_back(vocab_.id(token));
    count(counts, ids.back());
  });
  return ids;
}

void Tokenizer::for_tokens(std::string_view text, const std::function<void(std::string_view)>& take) const {
  for (const std::string& token : split(text)) take(token);
}

int Tokenizer::end_id() const {
  for (const char* name : {"<eos>", "<|endoftext|>"})
    if (const int found = id(name); vocab_.is_special(found)) return found;
  return -1;
}

PrefixTable Tokenizer::marks() const {
  std::vector<std::pair<std::string, int>> names;
  for (int id = 0; id < vocab_.size(); ++id)
    if (vocab_.is_special(id) && (id == end_id() || (id != vocab_.pad_id() && id != vocab_.unk_id())))
      names.emplace_back(token(id), id);
  return PrefixTable(std::move(names));
}

std::vector<int> Tokenizer::encode_marked(std::string_view text, UnknownCount* counts) const {
  std::vector<int> ids;
  cut_at(
      text, marks(),
      [&](std::string_view part) {
        const std::vector<int> own = encode(part, counts);
        ids.insert(ids.end(), own.begin(), own.end());
      },
      [&](int id) {
        ids.push_back(id);
        count(counts, id);
      });
  return ids;
}

std::vector<std::string> Tokenizer::between_marks(std::string_view text) const {
  std::vector<std::string> parts;
  cut_at(
      text, marks(), [&](std::string_view part) { parts.emplace_back(part); }, [](int) {});
  return parts;
}

void Tokenizer::append_word(std::string_view word, bool, std::vector<int>& ids, UnknownCount* counts) const {
  check_utf8(word, "tokenizer");
  ids.push_back(id_of(word));
  count(counts, ids.back());
}

}  // namespace qkv
