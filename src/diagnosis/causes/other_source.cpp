#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

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
