#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static Suspicion shuffled_labels(const RunCase& c) {
  constexpr double kLeast = 150;  // examples; below, chance explains much
  Suspicion s;
  const auto& l = c.labels;
  const double deviation = std::sqrt(l.majority * (1 - l.majority) / l.examples);
  if (l.examples >= kLeast && l.accuracy < l.majority + 3 * deviation &&
      !(c.val.accuracy > c.majority + 0.1)) {
    s.score = 0.95;
    s.because(
        "a bag of words is right in {:.1f}% of held-out training examples; always the most frequent class: "
        "{:.1f}%",
        100 * l.accuracy, 100 * l.majority);
    s.because("the model is right in {:.1f}% of the validation examples", 100 * c.val.accuracy);
  }
  const auto& p = c.pairs;
  if (p.agreement < p.by_chance + 0.1 * (1 - p.by_chance) && c.gap() > 0.5) {
    s.score = 0.9;
    s.because(
        "words of a target are with the words of its own source as often as with those of another ({:.0f}% "
        "and {:.0f}%)",
        100 * p.agreement, 100 * p.by_chance);
  }
  s.advice =
      "compare some lines of the training file with their answers; was one column sorted or shuffled alone?";
  return s;
}

static Suspicion noisy_labels(const RunCase& c) {
  constexpr double kLeast = 150;          // examples; below, chance explains much
  constexpr double kContradicted = 0.06;  // of the surest answers; clean data sets have 0 to 3%
  constexpr double kWrongPairs = 0.12;
  Suspicion s;
  const auto& l = c.labels;
  if (l.examples >= kLeast && l.contradicted > kContradicted &&
      l.accuracy > l.majority + 0.25 * (1 - l.majority)) {
    s.score = std::min(0.9, 0.5 + 2 * l.contradicted);
    s.because("{:.1f}% of the answers of which a bag of words is surest are denied by the label",
              100 * l.contradicted);
  }
  if (c.classes() && c.from_files && c.val.accuracy - c.train.accuracy > 0.08) {
    s.score = std::max(s.score, 0.6);
    s.because("the model is right in {:.1f}% of the validation and {:.1f}% of the training examples",
              100 * c.val.accuracy, 100 * c.train.accuracy);
  }
  const auto& p = c.pairs;
  if (p.wrong > kWrongPairs && p.agreement > p.by_chance + 0.2) {
    s.score = std::min(0.9, 0.5 + p.wrong);
    s.because("{:.0f}% of the training pairs have no more words in common than random ones", 100 * p.wrong);
  }
  s.advice =
      "read the training examples that a trained model contradicts most surely (`qkv report` lists some)";
  return s;
}

QKV_REGISTER(Cause, "shuffled-labels", CauseOf<shuffled_labels>, "the answers do not belong to the examples");
QKV_REGISTER(Cause, "noisy-labels", CauseOf<noisy_labels>, "many answers in the training data are wrong");

}  // namespace qkv
