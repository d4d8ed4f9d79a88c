// Byte-pair encoding: a piece starts as its characters, and the pair with the lowest rank is merged until no
// pair has one.
#include <algorithm>
#include <queue>
#include <unordered_map>

#include "byte_level.h"
#include "data/json_members.h"
#include "merges.h"
#include "qkv/base/text.h"
#include "token_model.h"

namespace qkv {
namespace {

constexpr std::size_t kTrainingSymbols = 256;  // longer pieces are learned from in parts

struct Merge {
  int rank, id;
};

class Bpe : public TokenModel {
 public:
  void encode(const Vocab& vocab, std::string_view piece, std::vector<int>& ids) const override {
    if (ignore_merges_)
      if (const int whole = known(vocab, piece); whole >= 0) return ids.push_back(whole);
    merge(symbols_of(vocab, piece), ids);
  }

  Json json(const Vocab& vocab) const override {
    Json merges = Json::array();
    for (const auto& [left, right] : pairs_) merges.push_back({vocab.token(left), vocab.token(right)});
    auto text_or_null = [](const std::string& text) {
      return text.empty() ? Json(nullptr) : Json(text);
    };
    return {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", text_or_null(unk_)},
            {"continuing_subword_prefix", text_or_null(prefix_)},
            {"end_of_word_suffix", text_or_null(suffix_)},
            {"fuse_unk", fuse_unk_},
            {"byte_fallback", false},
            {"ignore_merges", ignore_merges_},
            {"merges", std::move(merges)}};
  }

  // The byte-level alphabet, so that no text is unknown, then merges until the vocabulary is full.
  void train(const TokenCounts& pieces, const TokenizerConfig& config,
             std::vector<std::string>& tokens) override {
    std::vector<std::string> alphabet = byte_letters();
    std::sort(alphabet.begin(), alphabet.end());
    std::unordered_map<std::string, int> ids;
    for (const std::string& letter : alphabet) {
      ids[letter] = static_cast<int>(tokens.size());
      tokens.push_back(letter);
    }
    std::vector<CountedWord> words;
    for (const auto& [piece, count] : pieces) {
      std::vector<std::string> letters = split_code_points(piece);
      for (std::size_t at = 0; at < letters.size(); at += kTrainingSymbols) {
        words.push_back({{}, count});
        for (std::size_t i = at; i < std::min(at + kTrainingSymbols, letters.size()); ++i)
          words.back().symbols.push_back(ids.at(letters[i]));
      }
    }
    const auto size = static_cast<std::size_t>(wanted_size(config));
    pairs_.clear(), merges_.clear();
    learn_merges(words, config.min_freq, [&](int left, int right) {
      if (tokens.size() >= size) return -1;
      const std::string token =
          tokens[static_cast<std::size_t>(left)] + tokens[static_cast<std::size_t>(right)];
      const auto [at, is_new] = ids.emplace(token, static_cast<int>(tokens.size()));
      if (is_new) tokens.push_back(token);
      add(left, right, at->second);
      return at->second;
    });
  }

  void read(const Json& model, const Vocab& vocab, const std::string& where) override {
    check_members(model,
                  {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
                   "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"},
                  where);
    if (model.contains("dropout") && !model["dropout"].is_null() && model["dropout"] != 0)
      fail(Fault::data, "{}: 'dropout' must be null; got {}", where, brief(model["dropout"]));
    if (bool_member_or(model, "byte_fallback", false, where))
      fail(Fault::data, "{}: 'byte_fallback' must be false; got true", where);
    unk_ = string_member_or(model, "unk_token", "", where);
    prefix_ = string_member_or(model, "continuing_subword_prefix", "", where);
    suffix_ = string_member_or(model, "end_of_word_suffix", "", where);
    fuse_unk_ = bool_member_or(model, "fuse_unk", false, where);
    ignore_merges_ = bool_member_or(model, "ignore_merges", false, where);
    unk_id_ = unk_.empty() ? -1 : vocab.find(unk_);
    if (!unk_.empty() && unk_id_ < 0)
      fail(Fault::data, "{}: 'unk_token' must be a token; got {}", where, in_quotes(unk_));
    pairs_.clear(), merges_.clear();
    for (const Json& merge : list_member(model, "merges", where)) read_merge(merge, vocab, where);
  }

 private:
  using Symbols = std::vector<int>;

  int known(const Vocab& vocab, std::string_view token) const {
    const int id = vocab.find(token);
    return has(vocab, id) ? id : -1;
  }

  void add(int left, int right, int merged) {
    merges_.emplace(pair_key(left, right), Merge{static_cast<int>(pairs_.size()), merged});
    pairs_.emplace_back(left, right);
  }

  // "a b" or ["a", "b"]; both and what they give must be tokens.
  void read_merge(const Json& merge, const Vocab& vocab, const std::string& where) {
    std::string left, right;
    const bool is_list =
        merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (is_list) {
      left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    } else if (merge.is_string()) {
      const auto text = merge.get<std::string>();
      const std::size_t space = text.find(' ');
      left = text.substr(0, space);
      if (space != std::string::npos) right = text.substr(space + 1);
    }
    const bool continues = !prefix_.empty() && starts_with(right, prefix_);
    const int l = vocab.find(left), r = vocab.find(right),
              m = vocab.find(left + (continues ? right.substr(prefix_.size()) : right));
    if (left.empty() || right.empty() || l < 0 || r < 0 || m < 0)
      fail(Fault::data, "{}: merges must be pairs of tokens that give a token; got {} as number {}", where,
           brief(merge), pairs_.size());
    add(l, r, m);
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
      const int id = known(vocab, token);
      const bool again = fuse_unk_ && !symbols.empty() && symbols.back() == unk_id_;
      if (id >= 0 || (unk_id_ >= 0 && !again)) symbols.push_back(id >= 0 ? id : unk_id_);
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
    const int n = static_cast<int>(symbols.size());
    std::vector<int> next(symbols.size()), previous(symbols.size());
    for (int i = 0; i < n; ++i)
      next[static_cast<std::size_t>(i)] = i + 1, previous[static_cast<std::size_t>(i)] = i - 1;
    auto symbol = [&](int i) -> int& {
      return symbols[static_cast<std::size_t>(i)];
    };
    std::priority_queue<Candidate> heap;
    auto offer = [&](int at) {
      if (at < 0 || next[static_cast<std::size_t>(at)] >= n) return;
      const int left = symbol(at), right = symbol(next[static_cast<std::size_t>(at)]);
      if (const auto found = merges_.find(pair_key(left, right)); found != merges_.end())
        heap.push({found->second.rank, at, left, right});
    };
    for (int i = 0; i + 1 < n; ++i) offer(i);
    constexpr int kGone = -1;
    while (!heap.empty()) {
      const Candidate best = heap.top();
      heap.pop();
      if (symbol(best.at) != best.left) continue;
      const int right = next[static_cast<std::size_t>(best.at)];
      if (right >= n || symbol(right) != best.right) continue;
      symbol(best.at) = merges_.at(pair_key(best.left, best.right)).id;
      symbol(right) = kGone;
      const int after = next[static_cast<std::size_t>(right)];
      next[static_cast<std::size_t>(best.at)] = after;
      if (after < n) previous[static_cast<std::size_t>(after)] = best.at;
      offer(previous[static_cast<std::size_t>(best.at)]);
      offer(best.at);
    }
    for (int i = 0; i < n; i = next[static_cast<std::size_t>(i)]) ids.push_back(symbol(i));
  }

  std::string unk_, prefix_, suffix_;
  int unk_id_ = -1;
  bool fuse_unk_ = false, ignore_merges_ = false;
  std::vector<std::pair<int, int>> pairs_;  // by rank
  std::unordered_map<std::uint64_t, Merge> merges_;
};

}  // namespace

std::unique_ptr<TokenModel> make_bpe() {
  return std::make_unique<Bpe>();
}

}  // namespace qkv
