#include <cmath>
#include <limits>
#include <map>

#include "base/file.h"
#include "claims/claim.h"

namespace qkv {
namespace {

// Characters by the n - 1 before them, with the interpolation of Witten and Bell (1991): after a context c
// that was followed n(c) times, by t(c) different characters,
//   p(x | c) = (n(c x) + t(c) p(x | c without its first character)) / (n(c) + t(c)).
class CharNgrams {
 public:
  CharNgrams(const std::string& text, std::size_t n, double alphabet) : n_(n), alphabet_(alphabet) {
    for (std::size_t i = 0; i < text.size(); i++)
      for (std::size_t k = 0; k < n && k <= i; k++) followers_[text.substr(i - k, k)].add(text[i]);
  }
  /// Mean negative log probability per character, in nats.
  double loss(const std::string& text) const {
    double sum = 0;
    for (std::size_t i = 0; i < text.size(); i++) sum -= std::log(probability(text, i));
    return sum / static_cast<double>(text.size());
  }

 private:
  struct Followers {
    std::map<char, double> count;
    double total = 0;
    void add(char x) { count[x]++, total++; }
    double probability(char x, double by_shorter) const {
      const auto found = count.find(x);
      const double types = static_cast<double>(count.size());
      return ((found == count.end() ? 0 : found->second) + types * by_shorter) / (total + types);
    }
  };
  double probability(const std::string& text, std::size_t i) const {
    double p = 1 / alphabet_;
    for (std::size_t k = 0; k < n_ && k <= i; k++) {
      const auto found = followers_.find(text.substr(i - k, k));
      if (found == followers_.end()) break;
      p = found->second.probability(text[i], p);
    }
    return p;
  }

  std::size_t n_;
  double alphabet_;
  std::map<std::string, Followers> followers_;
};

struct BeatsNgrams : TrainedClaim {
  void measure(Evidence& e) const override {
    const TrainedModel& model = e.trained().shipped(
        "stories.toml", {"train.max_steps=800", "optimizer.lr=4e-3", "model.dropout=0.1"});
    const std::string text = read_file(shipped_config("data/stories.txt"));
    const std::size_t cut = text.size() - text.size() / 10;  // the last tenth is for validation
    const double alphabet = static_cast<double>(model.experiment.task->shape().vocab_size);
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t n = 1; n <= 8; n++)
      best = std::min(best, CharNgrams(text.substr(0, cut), n, alphabet).loss(text.substr(cut)));
    const double loss = model.metric("loss", Split::val);
    e.at_most("loss of the language model on the last tenth, nats per character", loss, 1.31);
    e.at_least("loss of the best n-gram model (n = 1 to 8) - that", best - loss, 0.01);
  }
};

QKV_REGISTER(Claim, "beats-ngrams", BeatsNgrams,
             "a language model predicts the next character better than n-grams do");

}  // namespace
}  // namespace qkv
