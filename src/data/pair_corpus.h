// Corpora of text pairs: a source and what it becomes (a translation, a summary, a sequence of commands).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace qkv {

struct TextPair {
  std::string source, target;
};

/// Lines `source<TAB>target`; empty ones are skipped. Errors of all readers are data errors `file:line: rule;
/// got
/// ..`.
std::vector<TextPair> read_pair_tsv(const std::string& path);

/// Lines of JSON objects {"prompt": "..", "answer": ".."}.
std::vector<TextPair> read_pair_jsonl(const std::string& path);

/// Two files: line i of one belongs to line i of the other.
std::vector<TextPair> read_aligned(const std::string& source, const std::string& target);

/// Lines `IN: .. OUT: ..` as in SCAN (Lake and Baroni 2018).
std::vector<TextPair> read_scan(const std::string& path);

/// Parameters of generated pairs.
struct MadeUpPairs {
  bool reverse = true;  ///< the target is the source backwards; else it is also random
  int symbols = 26, min_length = 1, max_length = 25;
};

/// The words of generated pairs: a ... z, or w0, w1, ... where there are more.
std::vector<std::string> made_up_symbols(int count);

/// Pair number `index` of part 0, 1 or 2 (train, val, test), drawn from Stream(seed, "pairs", part, index): a
/// length, then symbols. No source of one part occurs in another: a hash of the source says whose it is (18
/// of 20 are for training), and what falls to another part is drawn again.
TextPair made_up_pair(const MadeUpPairs& options, std::uint64_t seed, int part, std::int64_t index);

}  // namespace qkv
