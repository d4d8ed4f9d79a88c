// What counting words says of the data of a run: whether validation is like training, whether labels follow
// from the texts, whether sources and targets belong together.
#include <map>
#include <set>
#include <unordered_map>

#include "data/kneser_ney.h"
#include "diagnosis/case.h"

namespace qkv {
namespace {

// Naive Bayes over the words of a text: each counts once.
class BagOfTokens {
 public:
  explicit BagOfTokens(double vocabulary) : vocabulary_(vocabulary) {}
  void add(const SampledExample& one) {
    Class& own = classes_[one.target[0]];
    own.examples++;
    for (int id : std::set<int>(one.source.begin(), one.source.end())) own.words[id]++, own.tokens++;
  }
  /// The likeliest class, and by how many nats.
  std::pair<int, double> answer(const std::vector<int>& source) const {
    const std::set<int> ids(source.begin(), source.end());
    int best = -1;
    double most = -INFINITY, second = -INFINITY;
    for (const auto& [label, own] : classes_) {
      double score = std::log(own.examples);
      for (int id : ids) {
        const auto found = own.words.find(id);
        score += std::log(((found == own.words.end() ? 0 : found->second) + 0.5) /
                          (own.tokens + 0.5 * vocabulary_));
      }
      second = std::max(second, std::min(score, most));
      if (score > most) most = score, best = label;
    }
    return {best, most - second};
  }

 private:
  struct Class {
    double examples = 0, tokens = 0;
    std::unordered_map<int, double> words;
  };
  double vocabulary_;
  std::map<int, Class> classes_;
};

bool has(const std::vector<int>& ids, int id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

// Bigrams of the rest of the training data predict a part of it, which stands for what differs by chance or
// from chapter to chapter, and the validation data.
void compare_sources(RunCase& c) {
  constexpr std::size_t kParts = 4, kLeast = 10, kTokens = 100000;
  const Sample &train = c.samples[Split::train], &val = c.samples[Split::val];
  if (train.size() < kParts * kLeast || val.size() < kLeast) return;
  const DataShape shape = c.e.task->shape();
  const Tokenizer* tokenizer = c.e.task->tokenizer();
  const int unknown = tokenizer ? tokenizer->vocab().unk_id() : -1;
  std::size_t tokens = 0;
  for (const SampledExample& one : train) tokens += one.source.size();
  const std::size_t stride = 1 + tokens / kTokens;
  const auto loss = [&](const KneserNey& bigrams, const Sample& sample, std::size_t begin, std::size_t end) {
    double sum = 0, n = 0;
    for (std::size_t i = begin; i < end; i += stride)
      for (std::size_t t = 0; t < sample[i].source.size(); t++)
        if (sample[i].source[t] != unknown) sum += bigrams.score(sample[i].source, t)[1], n++;
    return n > 0 ? sum / n : kUnknown;
  };
  double of_parts = 0, of_val = 0, most = 0;
  for (std::size_t part = 0; part < kParts; part++) {
    const std::size_t begin = part * train.size() / kParts, end = (part + 1) * train.size() / kParts;
    KneserNey rest(std::max(shape.vocab_size, shape.source_vocab_size));
    for (std::size_t i = 0; i < train.size(); i += stride)
      if (i < begin || i >= end) rest.add(train[i].source);
    rest.finish();
    const double own = loss(rest, train, begin, end);
    most = std::max(most, own), of_parts += own / kParts, of_val += loss(rest, val, 0, val.size()) / kParts;
  }
  c.drift = of_val - of_parts, c.usual_drift = most - of_parts;
}

// Each fifth of the examples is answered from the others. What is a hard example is answered with little
// certainty; what has a wrong label is contradicted with as much as others are confirmed (Northcutt et al.
// 2021, "Confident learning").
void check_labels(RunCase& c) {
  constexpr std::size_t kParts = 5;
  const Sample& sample = c.samples[Split::train];
  struct Answer {
    double margin;
    bool right;
  };
  std::vector<Answer> answers;
  std::map<int, double> counts;
  for (std::size_t part = 0; part < kParts; part++) {
    BagOfTokens rest(double(c.e.task->shape().vocab_size));
    for (std::size_t i = 0; i < sample.size(); i++)
      if (i % kParts != part) rest.add(sample[i]);
    for (std::size_t i = part; i < sample.size(); i += kParts) {
      const auto [label, margin] = rest.answer(sample[i].source);
      answers.push_back({margin, label == sample[i].target[0]});
      counts[sample[i].target[0]]++;
    }
  }
  if (answers.empty()) return;
  const auto n = double(answers.size());
  double right = 0, most = 0, sure = 0, denied = 0;
  for (const Answer& one : answers) right += one.right;
  for (const auto& [label, count] : counts) most = std::max(most, count);
  std::stable_sort(answers.begin(), answers.end(),
                   [](const Answer& a, const Answer& b) { return a.margin > b.margin; });
  for (std::size_t i = 0; i < answers.size() / 4; i++) sure++, denied += !answers[i].right;
  c.labels.examples = n;
  c.labels.accuracy = right / n, c.labels.majority = most / n;
  if (sure > 0) c.labels.contradicted = denied / sure;
}

// For each frequent token of targets, the token of sources that goes best with it; learned from one half of
// the pairs, looked for in the other half, and there also in the sources of other pairs.
void check_pairs(RunCase& c) {
  constexpr std::size_t kMost = 3000, kLongest = 60, kAway = 7, kLeast = 100;
  const Sample& sample = c.samples[Split::train];
  const std::size_t n = std::min(sample.size(), kMost), half = n / 2;
  if (half < kLeast) return;
  const auto tokens = [&](const std::vector<int>& ids) {
    std::set<int> all(ids.begin(), ids.begin() + std::ptrdiff_t(std::min(ids.size(), kLongest)));
    return all;
  };
  std::unordered_map<int, double> sources, targets;
  std::unordered_map<int, std::unordered_map<int, double>> together;
  for (std::size_t i = 0; i < half; i++) {
    const std::set<int> source = tokens(sample[2 * i].source);
    for (int s : source) sources[s]++;
    for (int t : tokens(sample[2 * i].target)) {
      targets[t]++;
      auto& with = together[t];
      for (int s : source) with[s]++;
    }
  }
  std::unordered_map<int, int> partner;
  for (const auto& [t, count] : targets) {
    if (count < 5 || count > 0.5 * double(half)) continue;
    double best = 0;
    for (const auto& [s, both] : together[t]) {
      const double lift = both / count - sources[s] / double(half);
      if (lift > best || (lift == best && partner.count(t) && s < partner[t])) best = lift, partner[t] = s;
    }
  }
  std::vector<double> own, other;
  for (std::size_t i = 0; i < half; i++) {
    double there = 0, by_chance = 0, all = 0;
    const std::vector<int>&source = sample[2 * i + 1].source,
          &away = sample[2 * ((i + kAway) % half) + 1].source;
    for (int t : tokens(sample[2 * i + 1].target))
      if (const auto found = partner.find(t); found != partner.end())
        all++, there += has(source, found->second), by_chance += has(away, found->second);
    if (all > 0) own.push_back(there / all), other.push_back(by_chance / all);
  }
  if (own.size() < kLeast) return;
  double agreement = 0, by_chance = 0, wrong = 0;
  for (double one : own) agreement += one / double(own.size());
  for (double one : other) by_chance += one / double(other.size());
  const double border = (median(own) + by_chance) / 2;
  for (double one : own) wrong += (one < border) / double(own.size());
  double other_wrong = 0;  // random pairs also agree at times
  for (double one : other) other_wrong += (one < border) / double(other.size());
  c.pairs.usual = median(own);
  c.pairs.agreement = agreement, c.pairs.by_chance = by_chance;
  c.pairs.wrong = other_wrong > 0 ? std::min(1.0, wrong / other_wrong) : kUnknown;
}

}  // namespace qkv
