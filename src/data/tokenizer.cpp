#include "qkv/data/tokenizer.h"

#include <algorithm>
#include <numeric>

#include "prefix_table.h"
#include "qkv/base/text.h"

namespace qkv {

Vocab::Vocab(const std::vector<std::string>& more_specials) : tokens_{"<pad>", "<unk>"} {
  tokens_.insert(tokens_.end(), more_specials.begin(), more_specials.end());
  n_specials_ = size();
  index();
}

Vocab::Vocab(const TokenCounts& counts, long min_freq, int max_size,
             const std::vector<std::string>& more_specials)
    : Vocab(more_specials) {
  if (min_freq < 1) fail(Fault::usage, "vocab: min_freq must be at least 1; got {}", min_freq);
  if (max_size != 0 && max_size < n_specials_)
    fail(Fault::usage, "vocab: size must be 0 (no limit) or at least {}, the special tokens; got {}",
         n_specials_, max_size);
  std::vector<const TokenCounts::value_type*> order;
  for (const auto& entry : counts)
    if (entry.second >= min_freq && !entry.first.empty() && find(entry.first) < 0) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) {
    return a->second != b->second ? a->second > b->second : a->first < b->first;
  });
  if (max_size != 0) order.resize(std::min(order.size(), std::size_t(max_size - n_specials_)));
  for (auto* entry : order) tokens_.push_back(entry->first);
  index();
}

Vocab Vocab::from_tokens(std::vector<std::string> tokens, int n_specials) {
  auto specials = std::vector<int>(std::size_t(n_specials));
  std::iota(specials.begin(), specials.end(), 0);
  return from_table(std::move(tokens), specials, kPad, kUnk);
}

Vocab Vocab::from_table(std::vector<std::string> tokens, const std::vector<int>& specials, int pad, int unk) {
  Vocab vocab;
  vocab.tokens_ = std::move(tokens);
  vocab.n_specials_ = 0;
  vocab.pad_ = pad, vocab.unk_ = unk;
  vocab.index();
  for (int id : {pad, unk})
    if (id < -1 || id >= vocab.size())
      fail(Fault::data, "vocab: pad and unk must be in [-1, {}); got {}", vocab.size(), id);
  for (int id : specials) {
    (void)vocab.token(id);
    vocab.special_[std::size_t(id)] = true;
  }
  while (vocab.n_specials_ < vocab.size() && vocab.special_[std::size_t(vocab.n_specials_)])
    ++vocab.n_specials_;
  return vocab;
}

void Vocab::index() {
  special_.assign(tokens_.size(), false);
  std::fill_n(special_.begin(), n_specials_, true);
  ids_.clear();
  for (int id = 0; id < size(); ++id) {
    if (token(id).empty()) fail(Fault::data, "vocab: tokens must not be empty; got id {}", id);
    if (const auto [same, is_new] = ids_.emplace(token(id), id); !is_new)
      fail(Fault::data, "vocab: tokens must be unique; got {} for ids {} and {}", in_quotes(token(id)),
           same->second, id);
  }
}

int Vocab::find(std::string_view token) const {
  const auto found = ids_.find(std::string(token));
  return found == ids_.end() ? -1 : found->second;
}

int Vocab::id(std::string_view token) const {
  const int found = find(token);
  return found < 0 || is_special(found) ? unk_ : found;
}

const std::string& Vocab::token(int id) const {
  if (id < 0 || id >= size()) fail(Fault::data, "vocab: id must be in [0, {}); got {}", size(), id);
  return tokens_[std::size_t(id)];
}

// ---- Tokenizer

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

std::vector<int> Tokenizer::unwritten() const {
  if (config_.type == "file") return {};
  return {pad_id(), unk_id()};
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
