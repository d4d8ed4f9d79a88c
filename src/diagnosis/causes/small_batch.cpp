#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static Suspicion small_batch(const RunCase& c) {
  constexpr double kExamples = 4;  // per step; more is a matter of taste
  constexpr double kNoise = 5;     // squares of noise / squares of the gradient
  Suspicion s;
  const auto batch = double(c.e.tables.batches.batch_size * c.e.tables.train.grad_accum_steps);
  if (c.e.tables.batches.by_tokens() || batch > kExamples || c.solved() || !(c.noise > kNoise)) return s;
  s.score = std::min(0.8, 0.5 + 0.1 * std::log10(c.noise) + (batch == 1 ? 0.1 : 0.0));
  s.because(
      "a step sees {:.0f} example{}, and the noise of its gradient is {:.3g} times the gradient (squares)",
      batch, batch == 1 ? "" : "s", c.noise);
  s.advice = "a larger data.batch_size or train.grad_accum_steps, or a lower optimizer.lr";
  return s;
}

QKV_REGISTER(Cause, "small-batch", CauseOf<small_batch>,
             "the batch is too small for the noise of its gradient");

}  // namespace qkv
