#include "qkv/data/tokenizer.h"

#include <algorithm>
#include <numeric>

#include "qkv/base/error.h"
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
  if (max_size != 0) order.resize(std::min(order.size(), static_cast<std::size_t>(max_size - n_specials_)));
  for (auto* entry : order) tokens_.push_back(entry->first);
  index();
}

Vocab Vocab::from_tokens(std::vector<std::string> tokens, int n_specials) {
  std::vector<int> specials(static_cast<std::size_t>(n_specials));
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
    vocab.special_[static_cast<std::size_t>(id)] = true;
  }
  while (vocab.n_specials_ < vocab.size() && vocab.special_[static_cast<std::size_t>(vocab.n_specials_)])
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
  return tokens_[static_cast<std::size_t>(id)];
}

}  // namespace qkv
