// Reference levels of tasks with classes: chance, the majority class, and a bag of words.
#include <cmath>

#include "log/number_text.h"
#include "task/levels.h"

namespace qkv {
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
