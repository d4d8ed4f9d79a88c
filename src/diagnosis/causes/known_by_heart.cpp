#include <algorithm>

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

}  // namespace qkv
