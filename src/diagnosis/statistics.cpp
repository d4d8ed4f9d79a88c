// What counting words says of the data of a run: whether validation is like training, whether labels follow
// from the texts, whether sources and targets belong together.
#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "diagnosis/case.h"

namespace qkv {
namespace {

// Unigrams and bigrams of sources; the loss of other sources under them, in nats per token.
class Bigrams {
 public:
  explicit Bigrams(double vocabulary) : vocabulary_(vocabulary) {}
  void add(const std::vector<int>& ids) {
    for (std::size_t i = 0; i < ids.size(); i++) {
      ones_[ids[i]]++, all_++;
      if (i > 0) twos_[key(ids[i - 1], ids[i])]++, before_[ids[i - 1]]++;
    }
  }
  /// Witten-Bell is not needed: only differences of losses count. Unigrams with 1/2 added, and half of a
  /// bigram's frequency.
  double loss(const std::vector<int>& ids) const {
    double sum = 0;
    for (std::size_t i = 0; i < ids.size(); i++) {
      const double one = (count(ones_, ids[i]) + 0.5) / (all_ + 0.5 * vocabulary_);
      const double n = i > 0 ? count(before_, ids[i - 1]) : 0;
      const double two = n > 0 ? count(twos_, key(ids[i - 1], ids[i])) / n : one;
      sum -= std::log(0.5 * one + 0.5 * two);
    }
    return sum;
  }

 private:
  static std::uint64_t key(int a, int b) { return std::uint64_t(std::uint32_t(a)) << 32 | std::uint32_t(b); }
  template <class Map, class Key>
  static double count(const Map& map, Key key) {
    const auto found = map.find(key);
    return found == map.end() ? 0 : found->second;
  }
  double vocabulary_, all_ = 0;
  std::unordered_map<int, double> ones_, before_;
  std::unordered_map<std::uint64_t, double> twos_;
};

double mean_loss(const Bigrams& bigrams, const Sample& sample, std::size_t begin, std::size_t end) {
  double loss = 0, tokens = 0;
  for (std::size_t i = begin; i < end; i++)
    loss += bigrams.loss(sample[i].source), tokens += double(sample[i].source.size());
  return tokens > 0 ? loss / tokens : kUnknown;
}

// Naive Bayes over the words of a text: each counts once.
class BagOfTokens {
 public:
  void add(const SampledExample& one) {
    auto& [n, words] = classes_[one.target[0]];
    n++;
    for (int id : std::set<int>(one.source.begin(), one.source.end())) words[id]++;
  }
  /// The likeliest class, and by how many nats.
  std::pair<int, double> answer(const std::vector<int>& source) const {
    const std::set<int> ids(source.begin(), source.end());
    int best = -1;
    double most = -INFINITY, second = -INFINITY;
    for (const auto& [label, counts] : classes_) {
      double score = std::log(counts.first);
      for (int id : ids) {
        const auto found = counts.second.find(id);
        score += std::log(((found == counts.second.end() ? 0 : found->second) + 0.5) / (counts.first + 1));
      }
      if (score > most)
        second = most, most = score, best = label;
      else
        second = std::max(second, score);
    }
    return {best, most - second};
  }

 private:
  std::map<int, std::pair<double, std::unordered_map<int, double>>> classes_;
};

bool has(const std::vector<int>& ids, int id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

}  // namespace

// Parts of the training data stand for what differs by chance, or from chapter to chapter.
void compare_sources(RunCase& c) {
  constexpr std::size_t kParts = 5, kLeast = 10;
  const Sample &train = c.samples[Split::train], &val = c.samples[Split::val];
  if (train.size() < kParts * kLeast || val.size() < kLeast) return;
  const auto vocabulary = double(std::max(c.e.task->shape().vocab_size, c.e.task->shape().source_vocab_size));
  std::vector<double> losses;
  double of_val = 0;
  for (std::size_t part = 0; part < kParts; part++) {
    const std::size_t begin = part * train.size() / kParts, end = (part + 1) * train.size() / kParts;
    Bigrams rest(vocabulary);
    for (std::size_t i = 0; i < train.size(); i++)
      if (i < begin || i >= end) rest.add(train[i].source);
    losses.push_back(mean_loss(rest, train, begin, end));
    of_val += mean_loss(rest, val, 0, val.size()) / double(kParts);
  }
  double mean = 0;
  for (double loss : losses) mean += loss / double(kParts);
  c.drift = of_val - mean;
  c.usual_drift = *std::max_element(losses.begin(), losses.end()) - mean;
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
    BagOfTokens rest;
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
  for (std::size_t i = 0; i < answers.size() / 2; i++) sure++, denied += !answers[i].right;
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
  c.pairs.agreement = agreement, c.pairs.by_chance = by_chance;
  c.pairs.wrong = other_wrong > 0 ? std::min(1.0, wrong / other_wrong) : kUnknown;
}

}  // namespace qkv
