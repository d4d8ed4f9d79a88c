#include "diagnosis/cause.h"

namespace qkv {

static void small_batch(const RunCase& c, Suspicion& s) {
  constexpr double kExamples = 4;   // of a step; more is a matter of taste
  constexpr double kJitter = 0.01;  // share of the loss by which it changes from record to record
  const auto batch = double(c.e.tables.batches.batch_size * c.e.tables.train.grad_accum_steps);
  if (c.e.tables.batches.by_tokens() || batch > kExamples || c.solved() || !(c.jitter > kJitter)) return;
  s.score = batch == 1 ? 0.75 : 0.6;
  s.because("a step sees {:.0f} example{}; from record to record the loss changes by {:.0f}%", batch,
            batch == 1 ? "" : "s", 100 * c.jitter);
  s.advice = "a larger data.batch_size or train.grad_accum_steps, or a lower optimizer.lr";
}

QKV_REGISTER(Cause, "small-batch", CauseOf<small_batch>, "the batch is too small for its noise");

}  // namespace qkv
