// Reference levels of language models and of pairs of texts.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "data/byte_reader.h"
#include "log/number_text.h"
#include "qkv/base/text.h"
#include "task/levels.h"

namespace qkv {

std::vector<ReferenceLevel> ngram_levels(TokenSequences& task, Index vocab_size) {
  KneserNey ngrams(vocab_size);
  const Index all =
      task.sequences(Split::train, [&](auto& ids, std::size_t first) { ngrams.add(ids, first); });
  ngrams.finish();
  KneserNey::Nats sums{};
  double tokens = 0;
  const Index of_val = task.sequences(Split::val, [&](auto& ids, std::size_t first) {
    for (std::size_t t = first; t < ids.size(); t++, tokens++) {
      const KneserNey::Nats nats = ngrams.score(ids, t);
      for (std::size_t k = 0; k < nats.size(); k++) sums[k] += nats[k];
    }
  });
  if (tokens == 0) return {};
  std::string meaning = "; modified Kneser-Ney, counted on the training text";
  if (ngrams.tokens() < all)
    meaning += fmt::format(" ({} of {} tokens, evenly spread)", grouped(ngrams.tokens()), grouped(all));
  if (of_val > TokenSequences::kMost) meaning += "; on parts of the validation text";
  std::vector<ReferenceLevel> result{
      {"uniform", "loss", std::log(double(vocab_size)), "all tokens are alike"}};
  const std::pair<int, const char*> orders[] = {
      {1, "unigrams"}, {2, "bigrams"}, {3, "trigrams"}, {5, "5-grams"}};
  for (const auto& [n, name] : orders) {
    const std::string after = n == 1   ? "by their frequency"
                              : n == 2 ? "after the one before"
                                       : fmt::format("after the {} before", n - 1);
    result.push_back({name, "loss", at(sums, n - 1) / tokens, "tokens " + after + meaning});
  }
  return result;
}

ReferenceLevel gzip_level(const std::vector<TextShare>& texts, double characters_per_token) {
  constexpr std::int64_t kMost = 1 << 20;
  std::string text;
  std::int64_t left = kMost;
  for (const TextShare& one : texts) {
    const std::int64_t begin = one.source.border(one.begin),
                       n = std::min(left, one.source.border(one.end) - begin);
    TextReader reader(one.source, begin, begin + n);
    for (TextPiece piece; reader.next(piece);) text += piece.text;
    left -= n;
  }
  const double bits = 8 * double(gzip_size(text)) / double(std::max<std::int64_t>(1, kMost - left));
  return {"gzip", "loss", bits * std::log(2.0) * characters_per_token,
          fmt::format("gzip -9 makes {:.3f} bits of a character of the validation text{}", bits,
                      left == 0 ? ", of which it gets the first million" : "")};
}

// ---- pairs

namespace {

// At most so many of the pairs, evenly spread.
std::vector<TextPair> some_of(const std::vector<TextPair>& pairs, std::size_t most) {
  std::vector<TextPair> result;
  for (std::size_t i = 0, n = std::min(most, pairs.size()); i < n; i++)
    result.push_back(pairs[i * pairs.size() / n]);
  return result;
}

// The first of the most frequent ones.
std::string most_frequent_target(const std::vector<TextPair>& pairs) {
  std::unordered_map<std::string, std::size_t> counts;
  std::size_t most = 0;
  for (const TextPair& pair : pairs) most = std::max(most, ++counts[pair.target]);
  for (const TextPair& pair : pairs)
    if (counts[pair.target] == most) return pair.target;
  return "";
}

}  // namespace

std::vector<ReferenceLevel> pair_levels(const std::vector<TextPair>& train, const std::vector<TextPair>& all,
                                        const TextScores& empty) {
  if (train.empty() || all.empty()) return {};
  constexpr std::size_t kScored = 1000, kTried = 50, kWords = 40;
  const std::vector<TextPair> val = some_of(all, kScored), tried = some_of(train, kTried);
  const auto scored = [&](const std::vector<TextPair>& pairs, auto output) {
    TextScores scores = empty;
    for (const TextPair& pair : pairs) scores.add(output(pair), pair.target);
    return scores.values();
  };
  std::vector<ReferenceLevel> result;
  const auto add = [&](const std::string& name, const std::string& meaning, auto output) {
    const std::string note =
        val.size() < all.size() ? fmt::format("; {} pairs of {}", kScored, all.size()) : "";
    for (const auto& [metric, value] : scored(val, output))
      if (value > 0) result.push_back({name, metric, value, meaning + note});
  };
  add("copying", "the source as it is", [](const TextPair& pair) { return pair.source; });
  const std::string frequent = most_frequent_target(train);
  add("most frequent target", "always " + in_quotes(frequent), [&](const TextPair&) { return frequent; });
  std::size_t n = 1, best = 0;
  const auto first_words = [&](const TextPair& pair) {
    std::vector<std::string> words = split_words(pair.source);
    words.resize(std::min(n, words.size()));
    return join(words, " ");
  };
  std::size_t longest = 0;
  for (const TextPair& pair : tried) longest = std::max(longest, word_views(pair.target).size());
  double most = 0;
  for (; n <= std::min(longest, kWords); n++)
    if (const double value = scored(tried, first_words)[0].second; value > most) most = value, best = n;
  n = best;
  if (n > 0) add("first words", fmt::format("the first {} words of the source", n), first_words);
  return result;
}

}  // namespace qkv
