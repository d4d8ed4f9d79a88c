#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static Suspicion cut_texts(const RunCase& c) {
  constexpr double kShare = 0.15;   // of the training examples
  constexpr double kFalling = 0.1;  // nats that the second half of a window is better than the quarter before
  constexpr std::int64_t kWindow = 3;
  Suspicion s;
  const Json train = c.survey.value("train", Json::object());
  const double all = train.value("looked_at", 0.0), cut = train.value("cut", 0.0);
  const auto room = c.table("model").read<LengthConfig>().max_seq_len;
  if (all > 0 && cut / all > kShare) {
    s.score = std::min(0.9, 0.5 + 0.45 * cut / all);
    s.because("{:.0f} of {:.0f} training examples are longer than model.max_seq_len = {} and are cut", cut,
              all, room);
  }
  const auto window = c.table("data").given<std::int64_t>("window").value_or(0);
  if (window > 0 && window < kWindow) {
    s.score = std::max(s.score, 0.6);
    s.because("data.window keeps {} words on each side of the target", window);
  }
  if (c.still_falling > kFalling) {
    s.score = std::max(s.score, 0.7);
    s.because(
        "in windows of {} tokens the loss still falls by {:.2g} from the second quarter to the second half",
        room, c.still_falling);
  }
  s.advice = "a larger model.max_seq_len";
  return s;
}

QKV_REGISTER(Cause, "cut-texts", CauseOf<cut_texts>, "texts are cut");

}  // namespace qkv
