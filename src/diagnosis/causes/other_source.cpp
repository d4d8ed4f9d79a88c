#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static Suspicion other_source(const RunCase& c) {
  constexpr double kLeast = 0.3;  // nats per token
  constexpr double kTimes = 4;    // what parts of the training data differ
  Suspicion s;
  if (!(c.drift > std::max(kLeast, kTimes * c.usual_drift))) return s;
  s.score = std::min(0.93, 0.6 + 0.4 * c.drift);
  s.because(
      "word pairs of the training data predict validation texts {:.2g} nats per token worse than held-out "
      "training texts",
      c.drift);
  s.because("parts of the training data differ from the rest by at most {:.2g}", c.usual_drift);
  s.advice =
      "validation data from the source of the training data (data.val_fraction), or training data like what "
      "the model is for";
  return s;
}

QKV_REGISTER(Cause, "other-source", CauseOf<other_source>,
             "training and validation data are from different sources");

}  // namespace qkv
