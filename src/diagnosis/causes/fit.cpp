// How well the model fits the training data, and whether that serves for other data.
#include "diagnosis/cause.h"

namespace qkv {

static void known_by_heart(const RunCase& c, Suspicion& s) {
  constexpr double kRise = 1.15;  // of the validation loss since its best
  constexpr double kGap = 0.35;   // share of what was learned that validation does not show
  if (c.solved() || !(c.val_last > kRise * c.val_best && c.gap() > kGap && c.learned() > 0.3)) return;
  s.score = std::min(0.8, 0.5 + 0.1 * (c.val_last / c.val_best - 1) + 0.2 * (c.gap() - kGap));
  s.because("the validation loss was lowest at step {} ({:.3g}) and rose to {:.3g}", c.val_best_step,
            c.val_best, c.val_last);
  s.because("the training loss is {:.3g}, after {:.1f} epochs", c.train_loss(), c.epochs);
  s.advice = "stop there (eval.patience), more data, model.dropout, or a smaller model";
}

QKV_REGISTER(Cause, "known-by-heart", CauseOf<known_by_heart>, "the training data is known by heart");

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
