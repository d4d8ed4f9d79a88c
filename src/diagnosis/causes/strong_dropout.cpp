#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static void strong_dropout(const RunCase& c, Suspicion& s) {
  constexpr double kHalf = 0.5;   // more than half of what a layer says is noise; usual are 0 to 0.3
  constexpr double kRatio = 1.3;  // training loss with dropout / without
  const std::pair<const char*, double> all[] = {{"model.dropout", c.number("model", "dropout", 0)},
                                                {"data.word_dropout", c.number("data", "word_dropout", 0)}};
  const auto [key, rate] =
      *std::max_element(std::begin(all), std::end(all), [](auto& a, auto& b) { return a.second < b.second; });
  const double ratio = c.last_loss / c.train.loss;
  if (rate < kHalf || c.solved() || (rate < 0.8 && !(ratio > kRatio))) return;
  s.score = rate >= 0.8 ? 0.9 : 0.65;
  s.because("{} is {:g}", key, rate);
  if (ratio > 1)
    s.because("the training loss is {:.3g} with it and {:.3g} without", c.last_loss, c.train.loss);
  s.advice = fmt::format("{} = 0.1; more only while validation is far worse than training", key);
}

QKV_REGISTER(Cause, "strong-dropout", CauseOf<strong_dropout>, "dropout is too strong");

}  // namespace qkv
