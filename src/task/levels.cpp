// Reference levels of language models, of pairs of texts, and of tasks with classes.
#include "task/levels.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "data/byte_reader.h"
#include "log/number_text.h"
#include "qkv/base/text.h"

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

// ---- classes: chance, the majority class, and a bag of words

namespace {

// An example: its words, sorted, and its class.
struct Labelled {
  std::vector<std::int32_t> words;
  int label;
};

// At most so many examples of a split, spread evenly.
std::vector<Labelled> labelled(Task& task, Split split, Index most, std::string& note) {
  const Index all = task.examples(split), n = std::min(all, most);
  if (n < all) note += fmt::format("; {} of {} examples of {}", grouped(n), grouped(all), name_of(split));
  std::vector<Labelled> result;
  Batch batch;
  for (Index i = 0; i < n; i++) {
    const auto example = int(i * all / n);
    collate(task, split, &example, 1, nullptr, batch);
    result.push_back({{}, batch.at("label").data<std::int32_t>()[0]});
    const std::int32_t *ids = batch.at("ids").data<std::int32_t>(),
                       *keep = batch.at("keep").data<std::int32_t>();
    for (Index t = 0; t < batch.at("ids").size(); t++)
      if (keep[t]) result.back().words.push_back(ids[t]);
    std::sort(result.back().words.begin(), result.back().words.end());
  }
  return result;
}

/// Multinomial naive Bayes with counts plus one (McCallum and Nigam 1998), whose log probabilities are scaled
/// by the factor that is best for the training examples when each is left out of the counts: words are not
/// independent, and without it the answers are far too sure.
class BagOfWords {
 public:
  BagOfWords(const std::vector<Labelled>& train, Index vocab_size, Index n_class)
      : C_(n_class),
        V_(vocab_size),
        counts_(std::size_t(C_ * V_)),
        words_(std::size_t(C_)),
        examples_(words_) {
    for (const Labelled& one : train) {
      for (std::int32_t word : one.words) at(counts_, word * C_ + one.label)++;
      at(words_, one.label) += double(one.words.size()), at(examples_, one.label)++;
    }
    std::vector<std::vector<double>> scores;
    for (const Labelled& one : train) scores.push_back(score(one.words, one.label));
    double least = INFINITY, best = 1;
    for (factor_ = 1e-3; factor_ < 8; factor_ *= 1.2) {
      double nats = 0;
      for (std::size_t i = 0; i < train.size(); i++) {
        double z = 0;
        for (double other : scores[i]) z += std::exp(factor_ * (other - at(scores[i], train[i].label)));
        nats += std::log(z);
      }
      if (nats < least) least = nats, best = factor_;
    }
    factor_ = best;
  }
  std::vector<double> logits(const Labelled& one) const {
    std::vector<double> scores = score(one.words, -1);
    for (double& value : scores) value *= factor_;
    return scores;
  }

 private:
  // log p of each class; an example of the class `own` is left out of the counts.
  std::vector<double> score(const std::vector<std::int32_t>& words, Index own) const {
    std::vector<double> result;
    for (Index c = 0; c < C_; c++) {
      const double out = c == own, n = double(words.size()), all = at(words_, c) - out * n + double(V_);
      double sum = std::log(std::max(0.5, at(examples_, c) - out)) - n * std::log(all);
      for (std::size_t begin = 0, end = 0; begin < words.size(); begin = end) {
        while (end < words.size() && words[end] == words[begin]) end++;
        const auto times = double(end - begin);
        sum += times * std::log(at(counts_, words[begin] * C_ + c) + 1 - out * times);
      }
      result.push_back(sum);
    }
    return result;
  }

  Index C_, V_;
  std::vector<double> counts_, words_, examples_;  // word by word, and of each class
  double factor_ = 1;
};

}  // namespace

std::vector<ReferenceLevel> ClassTask::levels() {
  constexpr Index kExamples = 20000, kScores = 1 << 18, kCounts = 1 << 24;  // for less than a second
  const Index C = Index(labels_.size()), V = shape().vocab_size, most = std::min(kExamples, kScores / C);
  if (examples(Split::train) == 0 || examples(Split::val) == 0) return {};
  std::string note;
  const std::vector<Labelled> train = labelled(*this, Split::train, most, note),
                              val = labelled(*this, Split::val, most, note);
  const std::string alike = fmt::format("all {} classes are alike", C);
  std::vector<ReferenceLevel> result{{"chance", "loss", std::log(double(C)), alike},
                                     {"chance", "accuracy", 1 / double(C), alike}};
  const auto add = [&](const char* name, const char* meaning, auto logits) {
    Metrics metrics;
    Batch batch;
    for (const Labelled& one : val) {
      put(batch, "label", {1}, std::array{one.label});
      score_classes(Tensor::from({1, C}, logits(one)), batch, labels_, metrics);
    }
    for (const auto& [metric, value] : metrics.values())
      result.push_back({name, metric, value, meaning + note});
  };
  std::vector<double> shares(labels_.size());
  for (const Labelled& one : train) at(shares, one.label)++;
  for (double& count : shares) count = std::log(std::max(1.0, count));
  add("majority class", "how often each class occurs in training", [&](const Labelled&) { return shares; });
  if (C * V > kCounts) return result;
  const BagOfWords bag(train, V, C);
  add("bag of words", "naive Bayes on the words, whatever their order, with calibrated probabilities",
      [&](const Labelled& one) { return bag.logits(one); });
  return result;
}

}  // namespace qkv
