#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static Suspicion little_data(const RunCase& c) {
  constexpr double kGap = 0.3;  // share of what was learned that validation does not show
  constexpr double kExamples = 1000, kTokens = 20000;  // of targets; rules of a language need more
  Suspicion s;
  double asked = 0;
  for (const SampledExample& one : c.samples[Split::train]) asked += double(one.target.size());
  const auto sampled = double(c.samples[Split::train].size()), n = double(c.e.task->examples(Split::train));
  if (c.solved() || sampled == 0 || !(c.gap() > kGap && c.learned() > 0.1)) return s;
  const double tokens = asked / sampled * n;
  const bool few = c.whole_text ? tokens < kTokens : n < kExamples;
  if (!few) return s;
  s.score = 0.55 + 0.25 * std::min(1.0, c.whole_text ? 2000 / tokens : 100 / n);
  s.because("the training data has {:.0f} examples with {:.0f} answers, and the model {} parameters", n,
            tokens, c.e.parameters->count());
  s.because(
      "{:.0f}% of what the loss fell on them is not seen on validation examples ({:.3g}, training {:.3g})",
      100 * std::min(c.gap(), 1.0), c.val_last, c.train_loss());
  s.advice =
      "more data, or weights of a run on other data (train.init_from); a smaller model only limits the "
      "damage";
  return s;
}

QKV_REGISTER(Cause, "little-data", CauseOf<little_data>, "there is too little training data");

}  // namespace qkv
