// Layers and units that do nothing.
#include "diagnosis/cause.h"

namespace qkv {

static void frozen_layers(const RunCase& c, Suspicion& s) {
  constexpr double kStill = 1e-3;  // of what the median matrix moved
  if (c.e.tables.lora.rank > 0 || c.moved.empty()) return;
  std::vector<double> free;
  std::vector<std::string> frozen, still;
  for (const auto& one : c.moved)
    if (!one.frozen && one.matrix) free.push_back(one.share);
  const double usual = median(free);
  for (const auto& one : c.moved) {
    if (one.frozen) frozen.push_back(one.name);
    if (!one.frozen && one.matrix && one.share < kStill * usual) still.push_back(one.name);
  }
  if (!frozen.empty() && c.e.tables.train.init_from.empty()) {
    s.score = 0.88;
    s.because("{} of {} parameters are frozen as they were drawn: {}", frozen.size(), c.moved.size(),
              join(frozen, ", ", 4));
  }
  if (!still.empty()) {
    s.score = std::max(s.score, 0.7);
    s.because("{} matrices moved less than {:.1f}% as far as others: {}", still.size(), 100 * kStill,
              join(still, ", ", 4));
  }
  s.advice = "see train.freeze and [[optimizer.groups]]; freeze only what train.init_from brings";
}

static void idle_layers(const RunCase& c, Suspicion& s) {
  constexpr double kNoEffect = 1e-3;  // of what was learned
  if (c.solved() || !(c.learned() > 0.05)) return;
  std::vector<std::string> idle;
  for (const auto& one : c.effects)
    if (std::fabs(one.loss) < kNoEffect * (c.start() - c.val_best)) idle.push_back(one.layer);
  if (idle.empty()) return;
  s.score = 0.6;
  s.because("the validation loss stays the same without {} of {} layers: {}", idle.size(), c.effects.size(),
            join(idle, ", ", 4));
  s.advice = "look at its gradients (norms in metrics.jsonl), or take the layer out";
}

QKV_REGISTER(Cause, "frozen-layers", CauseOf<frozen_layers>, "parameters did not move");
QKV_REGISTER(Cause, "idle-layers", CauseOf<idle_layers>, "a layer has no effect");

static void dead_units(const RunCase& c, Suspicion& s) {
  constexpr double kShare = 0.4;  // ReLU layers that learn well have up to a tenth
  if (!(c.dead > kShare) || c.solved()) return;
  s.score = 0.5 + 0.4 * (c.dead - kShare) / (1 - kShare);
  s.because("{:.0f}% of the units of feed-forward layers are always silent", 100 * c.dead);
  s.advice = "a lower optimizer.lr, more schedule.warmup_steps, or model.ffn.activation = \"gelu\"";
}

QKV_REGISTER(Cause, "dead-units", CauseOf<dead_units>, "many units of the feed-forward layers are dead");

}  // namespace qkv
