// Byte-pair encoding: a piece starts as its characters, and the pair with the lowest rank is merged until no
// pair has one.
#include <algorithm>
#include <numeric>
#include <queue>
#include <unordered_map>

#include "base/at.h"
#include "data/pipeline_tokenizer.h"
#include "merges.h"

namespace qkv {
namespace {

constexpr std::ptrdiff_t kTrainingSymbols = 256;  // longer pieces are learned from in parts

struct Merge {
  int rank, id;
};

// The merges by their pairs, in a table with linear probing: each character of a text looks for one.
class Merges {
 public:
  explicit Merges(std::size_t n) {
    while (entries_.size() < 2 * n) entries_.resize(2 * entries_.size());
  }
  // Nothing where the pair is there already.
  void add(int left, int right, Merge merge) {
    const std::size_t i = place(pair_key(left, right));
    if (entries_[i].key == kFree) entries_[i] = {pair_key(left, right), merge};
  }
  const Merge* find(int left, int right) const {
    const Entry& entry = entries_[place(pair_key(left, right))];
    return entry.key == kFree ? nullptr : &entry.merge;
  }

 private:
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};  // no pair of tokens
  struct Entry {
    std::uint64_t key = kFree;
    Merge merge = {};
  };
  // Where the pair is or would be. Fibonacci hashing (Knuth, vol. 3, 6.4).
  std::size_t place(std::uint64_t key) const {
    std::size_t i = key * 0x9e3779b97f4a7c15u >> 32;
    while (entries_[i &= entries_.size() - 1].key != key && entries_[i].key != kFree) i++;
    return i;
  }
  std::vector<Entry> entries_{2};
};

class Bpe : public TokenModel {
 public:
  Bpe(const Json& model, const Vocab& vocab, const std::string& where) : TokenModel(model, vocab, where) {
    check_members(model,
                  {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                   "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"},
                  where);
    if (const Json& dropout = member_or_null(model, "dropout"); !dropout.is_null() && dropout != 0)
      fail(Fault::data, "{}: 'dropout' must be null; got {}", where, brief(dropout));
    if (bool_member_or(model, "byte_fallback", false, where))
      fail(Fault::data, "{}: 'byte_fallback' must be false; got true", where);
    const std::string unk = string_member_or(model, "unk_token", "", where);
    prefix_ = string_member_or(model, "continuing_subword_prefix", "", where);
    suffix_ = string_member_or(model, "end_of_word_suffix", "", where);
    fuse_unk_ = bool_member_or(model, "fuse_unk", false, where);
    ignore_merges_ = bool_member_or(model, "ignore_merges", false, where);
    unk_id_ = unk.empty() ? -1 : vocab.find(unk);
    if (!unk.empty() && unk_id_ < 0)
      fail(Fault::data, "{}: 'unk_token' must be a token; got {}", where, in_quotes(unk));
    const Json& merges = list_member(model, "merges", where);
    merges_ = Merges(merges.size() + 1);
    int rank = 0;
    for (const Json& merge : merges) read_merge(rank++, merge, vocab, where);
  }

  void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& ids) const override {
    if (ignore_merges_)
      if (const int whole = vocab.find(piece); has(whole)) return ids.push_back(whole);
    merge(symbols_of(vocab, piece), ids);
  }

 private:
  using Symbols = std::vector<int>;

  // "a b" or ["a", "b"]; both and what they give must be tokens.
  void read_merge(int rank, const Json& merge, const Vocab& vocab, const std::string& where) {
    std::string left, right;
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    } else if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const std::size_t space = std::min(text.find(' '), text.size());
      left = text.substr(0, space), right = text.substr(std::min(space + 1, text.size()));
    }
    const bool continues = !prefix_.empty() && starts_with(right, prefix_);
    const int l = vocab.find(left), r = vocab.find(right),
              m = vocab.find(left + (continues ? right.substr(prefix_.size()) : right));
    if (left.empty() || right.empty() || l < 0 || r < 0 || m < 0)
      fail(Fault::data, "{}: merges must be pairs of tokens that give a token; got {} as number {}", where,
           brief(merge), rank);
    merges_.add(l, r, {rank, m});
  }

  // The characters of a piece; unknown ones are unk, or dropped where there is none.
  Symbols symbols_of(const Vocab& vocab, std::string_view piece) const {
    Symbols symbols;
    std::string token;
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t begin = at;
      next_code_point(piece, at);
      token = begin > 0 ? prefix_ : "";
      token += piece.substr(begin, at - begin);
      if (at == piece.size()) token += suffix_;
      const int id = vocab.find(token);
      const bool again = fuse_unk_ && !symbols.empty() && symbols.back() == unk_id_;
      if (has(id) || (unk_id_ >= 0 && !again)) symbols.push_back(has(id) ? id : unk_id_);
    }
    return symbols;
  }

  // Symbols as a linked list, candidates in a heap: a piece of n characters costs n log n.
  void merge(Symbols symbols, std::vector<int>& ids) const {
    struct Candidate {
      int rank, at, left, right;
      bool operator<(const Candidate& other) const {  // the first one is the greatest
        return rank != other.rank ? rank > other.rank : at > other.at;
      }
    };
    constexpr int kGone = -1;
    const int n = int(symbols.size());
    Symbols next(symbols.size()), previous(symbols.size());
    std::iota(next.begin(), next.end(), 1);
    std::iota(previous.begin(), previous.end(), -1);
    std::priority_queue<Candidate> heap;
    auto offer = [&](int i) {
      if (i < 0 || at(next, i) >= n) return;
      const int left = at(symbols, i), right = at(symbols, at(next, i));
      if (const Merge* found = merges_.find(left, right)) heap.push({found->rank, i, left, right});
    };
    for (int i = 0; i + 1 < n; ++i) offer(i);
    while (!heap.empty()) {
      const Candidate best = heap.top();
      heap.pop();
      const int right = at(next, best.at);
      if (at(symbols, best.at) != best.left || right >= n || at(symbols, right) != best.right) continue;
      at(symbols, best.at) = merges_.find(best.left, best.right)->id;
      at(symbols, right) = kGone;
      const int after = at(next, best.at) = at(next, right);
      if (after < n) at(previous, after) = best.at;
      offer(at(previous, best.at));
      offer(best.at);
    }
    for (int i = 0; i < n; i = at(next, i)) ids.push_back(at(symbols, i));
  }

  std::string prefix_, suffix_;
  int unk_id_ = -1;
  bool fuse_unk_ = false, ignore_merges_ = false;
  Merges merges_{1};
};

/// `[tokenizer] type = "bpe"`: byte-level byte-pair encoding of GPT-2 (Radford et al., 2019). Every text has
/// ids and decodes to itself.
class BpeTokenizer : public PipelineTokenizer {
 public:
  explicit BpeTokenizer(const TokenizerConfig& config)
      : PipelineTokenizer(config, {{"pre_tokenizer", byte_level(false)}, {"decoder", byte_level(true)}},
                          "tokenizer") {
    refuse_split(config);
    const int least = vocab_.size() + int(byte_letters().size());
    if (config.vocab_size > 0 && config.vocab_size < least)
      fail(Fault::usage,
           "tokenizer: vocab_size must be at least {} with 'bpe', special tokens and bytes; got {}", least,
           config.vocab_size);
    take(vocab_, model_of(Json::array()));
  }

 protected:
  // The byte-level alphabet, so that no text is unknown, then merges until the vocabulary is full.
  Json learn(const TokenCounts& pieces, Strings& tokens) const override {
    Strings alphabet = byte_letters();
    std::sort(alphabet.begin(), alphabet.end());
    std::unordered_map<std::string, int> ids;
    for (const std::string& letter : alphabet) {
      ids[letter] = int(tokens.size());
      tokens.push_back(letter);
    }
    std::vector<SpeltWord> words;
    for (const auto& [piece, count] : pieces) {
      const Strings letters = split_code_points(piece);
      for (auto at = letters.begin(); at != letters.end();) {
        const auto end = at + std::min(kTrainingSymbols, letters.end() - at);
        words.push_back({{at, end}, count});
        at = end;
      }
    }
    Json merges = Json::array();
    learn_merges(words, config_, 0, ids, tokens, [&](int left, int right) {
      merges.push_back({at(tokens, left), at(tokens, right)});
    });
    return model_of(std::move(merges));
  }

 private:
  static Json byte_level(bool prefix_space) {
    return {{"type", "ByteLevel"},
            {"add_prefix_space", prefix_space},
            {"trim_offsets", true},
            {"use_regex", true}};
  }
  static Json model_of(Json merges) {
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", false},
            {"byte_fallback", false},
            {"ignore_merges", false},
            {"merges", std::move(merges)}};
  }
};

QKV_REGISTER(Tokenizer, "bpe", BpeTokenizer, "byte-level byte-pair encoding, as GPT-2's; no text is unknown");

}  // namespace

std::unique_ptr<TokenModel> make_bpe(const Json& model, const Vocab& vocab, const std::string& where) {
  return std::make_unique<Bpe>(model, vocab, where);
}

}  // namespace qkv
