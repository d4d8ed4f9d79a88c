#include <algorithm>

#include "diagnosis/cause.h"

namespace qkv {

static void cut_texts(const RunCase& c, Suspicion& s) {
  constexpr double kShare = 0.15;  // of the training examples
  constexpr double kWords = 5;     // of a window: less than a sentence
  const Json train = c.survey.value("train", Json::object());
  const double all = train.value("looked_at", 0.0), cut = train.value("cut", 0.0);
  const auto room = c.table("model").read<LengthConfig>().max_seq_len;
  if (all > 0 && cut / all > kShare) {
    s.score = std::min(0.9, 0.5 + 0.45 * cut / all);
    s.because("{:.0f} of {:.0f} training examples are longer than model.max_seq_len = {}", cut, all, room);
  }
  const auto window = c.table("data").given<std::int64_t>("window").value_or(0);
  const double words = c.whole_text && c.from_files ? double(room) / c.tokens_per_word : kUnknown;
  if (words < kWords || (window > 0 && double(window) < kWords / 2)) {
    s.score = std::max(s.score, 0.7);
    s.because("the model sees {:.1f} words at once", window > 0 ? 2.0 * double(window) + 1 : words);
  }
  s.advice = "a larger model.max_seq_len or data.window";
}

QKV_REGISTER(Cause, "cut-texts", CauseOf<cut_texts>, "texts are cut");

}  // namespace qkv
