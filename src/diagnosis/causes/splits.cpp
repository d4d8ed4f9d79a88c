// Whether validation shows what it should.
#include "diagnosis/cause.h"

namespace qkv {

static void leak_from_the_future(const RunCase& c, Suspicion& s) {
  constexpr double kChange = 1e-3;  // of the answers; rounding gives 1e-6
  if (c.future > kChange) {
    s.score = 0.97;
    s.because(
        "answers at the first half of a text change by {:.2g}% when only the second half is another one",
        100 * c.future);
  }
  if (c.answers_shown > 0.95) {
    s.score = 0.97;
    s.because("{:.0f}% of the tokens asked for are in the input at their place", 100 * c.answers_shown);
  }
  s.advice = "a causal mask in every layer that mixes positions, and targets one token ahead";
}

// Of texts that repeat themselves, as those of a simple grammar do: the share of new ones that occurred
// before, where `repeated` is that of the old ones. Each occurs l times in the mean (Poisson).
static double seen_before(double repeated) {
  double l = 1e-3;
  while (l < 100 && (1 - std::exp(-l)) / l > 1 - repeated) l *= 1.05;
  return 1 - std::exp(-l);
}

static void leak_between_splits(const RunCase& c, Suspicion& s) {
  constexpr double kRepeated = 0.1;  // share of the validation examples
  double worst = 0;
  const Json train = c.survey.value("train", Json::object());
  const double usual = seen_before(train.value("repeated", Json::object()).value("train", 0.0) /
                                   std::max(1.0, train.value("looked_at", 0.0)));
  for (const char* split : {"val", "test"}) {
    const Json one = c.survey.value(split, Json::object());
    const double all = one.value("looked_at", 0.0);
    const double repeated = one.value("repeated", Json::object()).value("train", 0.0);
    if (!(all > 0 && repeated / all > usual + kRepeated)) continue;
    worst = std::max(worst, repeated / all);
    s.because("{:.0f} of {:.0f} {} examples are also in the training data", repeated, all, split);
  }
  if (worst > 0) s.score = 0.6 + 0.38 * worst;
  s.advice = "validation and test data of their own: what was seen in training proves nothing";
}

QKV_REGISTER(Cause, "leak-from-the-future", CauseOf<leak_from_the_future>,
             "the model sees the answers it is asked for");
QKV_REGISTER(Cause, "leak-between-splits", CauseOf<leak_between_splits>,
             "validation examples are in the training data");

static void other_source(const RunCase& c, Suspicion& s) {
  constexpr double kLeast = 0.15;       // nats per token
  constexpr double kTimes = 6;          // what parts of the training data differ
  constexpr double kUnknownMore = 0.2;  // share of tokens that training texts lack
  const double more = c.unknown[Split::val] - c.unknown[Split::train];
  if (more > kUnknownMore) {
    s.score = 0.6 + 0.35 * more;
    s.because("{:.0f}% of the tokens of validation texts are unknown, {:.0f}% in training texts",
              100 * c.unknown[Split::val], 100 * c.unknown[Split::train]);
  }
  s.advice = "validation data from the source of the training data (data.val_fraction)";
  if (!(c.drift > std::max(kLeast, kTimes * c.usual_drift))) return;
  s.score = std::max(s.score, std::min(0.93, 0.65 + 0.4 * c.drift));
  s.because("bigrams of the training data predict validation {:.2g} nats per token worse than training texts",
            c.drift);
  s.because("parts of the training data differ from the rest by at most {:.2g}", c.usual_drift);
}

QKV_REGISTER(Cause, "other-source", CauseOf<other_source>,
             "training and validation data are from different sources");

}  // namespace qkv
