#include "merges.h"

#include <algorithm>
#include <queue>
#include <tuple>

#include "base/at.h"
#include "data/pipeline_tokenizer.h"

namespace qkv {
namespace {

struct Word {
  std::vector<int> symbols;
  long count;
};

struct Pair {
  long count = 0;
  std::vector<std::uint32_t> words;  // that held the pair when it was noted; may be stale or repeated
};

struct Candidate {
  long count;
  std::uint64_t key;
  bool operator<(const Candidate& other) const {  // the best one is the greatest
    return std::tie(count, other.key) < std::tie(other.count, key);
  }
};

class Learner {
 public:
  Learner(const std::vector<SpeltWord>& words, const std::unordered_map<std::string, int>& ids) {
    for (const SpeltWord& word : words) {
      words_.push_back({{}, word.count});
      for (const std::string& letter : word.letters) {
        const auto id = ids.find(letter);
        if (id != ids.end() && id->second >= 0)
          words_.back().symbols.push_back(id->second);
        else  // a rare letter: what stands around it counts by itself
          words_.push_back({{}, word.count});
      }
    }
    for (std::size_t w = 0; w < words_.size(); ++w) count(std::uint32_t(w), 1, kAll);
    note_changes();
  }

  void run(long min_count, const std::function<int(int, int)>& make) {
    while (!heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      const auto found = pairs_.find(best.key);
      if (found == pairs_.end() || found->second.count != best.count) continue;  // the true one is also there
      Pair& pair = found->second;
      if (pair.count < min_count) return;
      const int left = int(best.key >> 32), right = int(best.key & 0xFFFFFFFF);
      const int merged = make(left, right);
      if (merged < 0) return;
      const std::vector<std::uint32_t> holders = std::move(pair.words);
      pair.words = {};
      for (std::uint32_t w : holders) merge(w, left, right, merged);
      note_changes();
    }
  }

 private:
  static constexpr int kAll = -1, kNone = -2;

  // Adds the pairs of a word to the counts, or takes them out. Those with `noted` learn of the word.
  void count(std::uint32_t w, int sign, int noted) {
    const Word& word = words_[w];
    for (std::size_t i = 1; i < word.symbols.size(); ++i) {
      const int left = word.symbols[i - 1], right = word.symbols[i];
      const std::uint64_t key = pair_key(left, right);
      Pair& pair = pairs_[key];
      pair.count += sign * word.count;
      const bool notes = noted == kAll || left == noted || right == noted;
      if (notes && (pair.words.empty() || pair.words.back() != w)) pair.words.push_back(w);
      changed_.push_back(key);
    }
  }

  void merge(std::uint32_t w, int left, int right, int merged) {
    std::vector<int>& s = words_[w].symbols;
    auto here = [&](std::size_t i) {
      return i + 1 < s.size() && s[i] == left && s[i + 1] == right;
    };
    std::size_t at = 0;
    while (at < s.size() && !here(at)) ++at;
    if (at == s.size()) return;  // merged already, or changed since it was noted
    count(w, -1, kNone);
    std::size_t to = at;
    while (at < s.size()) {
      const bool found = here(at);
      const int symbol = found ? merged : s[at];
      at += found ? 2 : 1;
      s[to++] = symbol;
    }
    s.resize(to);
    count(w, 1, merged);
  }

  // A pair whose count has changed gets a new place in the heap; the old one is known by its count.
  void note_changes() {
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (std::uint64_t key : changed_) {
      auto found = pairs_.find(key);
      if (found->second.count > 0)
        heap_.push({found->second.count, key});
      else
        pairs_.erase(found);
    }
    changed_.clear();
  }

  std::vector<Word> words_;
  std::unordered_map<std::uint64_t, Pair> pairs_;
  std::priority_queue<Candidate> heap_;
  std::vector<std::uint64_t> changed_;
};

}  // namespace

void learn_merges(const std::vector<SpeltWord>& words, const TokenizerConfig& config, std::size_t prefix,
                  std::unordered_map<std::string, int>& ids, std::vector<std::string>& tokens,
                  const std::function<void(int left, int right)>& note) {
  Learner(words, ids).run(config.min_freq, [&](int left, int right) {
    if (tokens.size() >= std::size_t(wanted_size(config))) return -1;
    const std::string token = at(tokens, left) + at(tokens, right).substr(prefix);
    const auto [found, is_new] = ids.emplace(token, int(tokens.size()));
    if (is_new) tokens.push_back(token);
    note(left, right);
    return found->second;
  });
}

}  // namespace qkv
