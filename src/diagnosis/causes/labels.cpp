// Whether the answers can be learned.
#include "diagnosis/cause.h"

namespace qkv {

static void shuffled_labels(const RunCase& c, Suspicion& s) {
  constexpr double kLeast = 150;     // examples; below, chance explains much
  constexpr double kMajority = 0.8;  // above, always the same answer is hard to beat
  const auto& l = c.labels;
  const double deviation = std::sqrt(l.majority * (1 - l.majority) / l.examples);
  if (l.examples >= kLeast && l.majority < kMajority && l.accuracy < l.majority + 3 * deviation &&
      !(c.val.accuracy > c.majority + 0.1)) {
    s.score = 0.95;
    s.because("words tell {:.1f}% of the labels of other training examples; always the same label: {:.1f}%",
              100 * l.accuracy, 100 * l.majority);
    if (c.val.accuracy >= 0)
      s.because("the model is right in {:.1f}% of the validation examples", 100 * c.val.accuracy);
  }
  const auto& p = c.pairs;
  if (p.agreement < p.by_chance + 0.1 * (1 - p.by_chance) && !(c.source > 1.05) && !c.solved()) {
    s.score = 0.9;
    s.because("words of targets go with {:.0f}% of their own sources, and with {:.0f}% of others",
              100 * p.agreement, 100 * p.by_chance);
  }
  s.advice = "compare lines of the training file with their answers: was one column sorted alone?";
}

static void noisy_labels(const RunCase& c, Suspicion& s) {
  constexpr double kLeast = 150;          // examples; below, chance explains much
  constexpr double kContradicted = 0.06;  // of the surest quarter of the answers
  constexpr double kRatio = 0.4;          // to the errors of all: hard examples are those with unsure answers
  constexpr double kWrongPairs = 0.12;
  const auto& l = c.labels;
  if (l.examples >= kLeast && l.contradicted > std::max(kContradicted, kRatio * (1 - l.accuracy)) &&
      l.accuracy > l.majority + 0.25 * (1 - l.majority) && !(c.tokens_per_word > 2)) {
    s.score = std::min(0.9, 0.5 + 2 * l.contradicted);
    s.because("{:.1f}% of the labels are denied where words are surest of another", 100 * l.contradicted);
  }
  if (c.classes() && c.from_files && c.val.accuracy - c.train.accuracy > 0.15) {
    s.score = std::max(s.score, 0.6);
    s.because("the model is right in {:.1f}% of validation and {:.1f}% of training examples",
              100 * c.val.accuracy, 100 * c.train.accuracy);
  }
  const auto& p = c.pairs;
  if (p.wrong > kWrongPairs && p.usual > 0.8 && p.by_chance < 0.4) {
    s.score = std::min(0.9, 0.5 + p.wrong);
    s.because("{:.0f}% of the training pairs go together no better than random ones", 100 * p.wrong);
  }
  s.advice = "read the training examples that the trained model contradicts most surely";
}

QKV_REGISTER(Cause, "shuffled-labels", CauseOf<shuffled_labels>, "the answers do not belong to the examples");
QKV_REGISTER(Cause, "noisy-labels", CauseOf<noisy_labels>, "many answers in the training data are wrong");

static void rare_classes(const RunCase& c, Suspicion& s) {
  constexpr double kShare = 0.1;  // of the classes
  const Json labels = c.survey.value("train", Json::object()).value("labels", Json::object());
  std::vector<std::string> rare;
  for (const auto& [label, n] : labels.items())
    if (n.get<double>() <= 1) rare.push_back(in_quotes(label));
  if (rare.empty()) return;
  const double share = double(rare.size()) / double(labels.size());
  s.score = share > kShare ? 0.65 + 0.3 * share : 0.4;
  s.because("{} of {} classes have one training example: {}", rare.size(), labels.size(),
            join(rare, ", ", 5));
  s.advice = "more examples of these classes, or one class for all of them";
}

QKV_REGISTER(Cause, "rare-classes", CauseOf<rare_classes>, "classes have one example");

}  // namespace qkv
