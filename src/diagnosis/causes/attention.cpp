// What attention chooses, and what it can choose by.
#include "diagnosis/cause.h"

namespace qkv {

static void uniform_attention(const RunCase& c, Suspicion& s) {
  // Of the largest entropy, in every head: such weights tell no key from another.
  constexpr double kUniform = 0.995;
  if (c.entropy.empty()) return;
  const double least = *std::min_element(c.entropy.begin(), c.entropy.end());
  if (least < kUniform) return;
  s.score = c.solved() ? 0.35 : 0.65;
  s.because("the weights of all {} heads have over {:.2f}% of the entropy of equal ones", c.entropy.size(),
            100 * least);
  s.advice = "model.attention.scale = \"sqrt_d_k\", no small softcap, and more steps";
}

static void collapsed_attention(const RunCase& c, Suspicion& s) {
  // One key gets all the weight, at every query of every head: the scores are so large that softmax passes on
  // no gradient.
  constexpr double kOneKey = 0.99;
  if (c.top.empty()) return;
  const double mean = std::accumulate(c.top.begin(), c.top.end(), 0.0) / double(c.top.size());
  if (c.solved() || mean < kOneKey) return;
  s.score = 0.75;
  s.because("one key gets {:.1f}% of the weight, in the mean of {} heads", 100 * mean, c.top.size());
  s.advice =
      "model.attention.scale = \"sqrt_d_k\", model.attention.qk_norm = \"rms\", or a lower optimizer.lr";
}

QKV_REGISTER(Cause, "uniform-attention", CauseOf<uniform_attention>,
             "attention is uniform: it chooses nothing");
QKV_REGISTER(Cause, "collapsed-attention", CauseOf<collapsed_attention>,
             "attention has collapsed to one key");

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
