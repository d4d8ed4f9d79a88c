#include "diagnosis/cause.h"

namespace qkv {

static void no_positions(const RunCase& c, Suspicion& s) {
  const std::string model = c.table("model").type(Model::kDefault);
  const bool attends = model == "decoder-lm" || starts_with(model, "encoder-");
  const Section table = c.table("model");
  if (!attends || table.section("position").given<std::string>("type") != "none" ||
      table.section("attention").given<std::string>("qkv") == "identity" || (c.solved() && !c.from_files))
    return;
  s.score = c.classes() ? 0.5 : 0.7;
  s.because("model.position.type is \"none\": attention sees words, but not where they stand");
  s.advice = "model.position.type = \"learned\" or \"rope\"";
}

QKV_REGISTER(Cause, "no-positions", CauseOf<no_positions>, "the model has no positions");

}  // namespace qkv
