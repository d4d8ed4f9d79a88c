#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static void little_data(const RunCase& c, Suspicion& s) {
  constexpr double kGap = 0.2;  // share of what was learned that validation does not show
  constexpr double kExamples = 1000, kTokens = 5000;  // of targets; rules of a language need more
  double asked = 0;
  for (const SampledExample& one : c.samples[Split::train]) asked += double(one.target.size());
  const auto sampled = double(c.samples[Split::train].size()), n = double(c.e.task->examples(Split::train));
  if (c.solved() || sampled == 0 || !(c.gap() > kGap && c.learned() > 0.1)) return;
  const double tokens = asked / sampled * n;
  if (c.whole_text ? tokens > kTokens : n > kExamples) return;
  s.score = 0.55 + 0.25 * std::min(1.0, c.whole_text ? 2000 / tokens : 100 / n);
  s.because("there are {:.0f} training examples with {:.0f} answers, and {} parameters", n, tokens,
            c.e.parameters->count());
  s.because("the loss is {:.3g} on them and {:.3g} on validation examples", c.train_loss(), c.val_last);
  s.advice = "more data, or the weights of a run on other data (train.init_from)";
}

QKV_REGISTER(Cause, "little-data", CauseOf<little_data>, "there is too little training data");

}  // namespace qkv
