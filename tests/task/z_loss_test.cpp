// Keys of [train] that shape the loss: what they add while training, and that evaluations know nothing of
// them.
#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "paths.h"
#include "qkv/task/task.h"
#include "qkv/train/experiment.h"

using namespace qkv;

namespace {

struct Losses {
  double trained, evaluated, log_square;  // sums over the targets; log_square: of log^2 Z
};

Losses losses_of(const std::string& config, const std::vector<std::string>& sets) {
  const Experiment e = build_experiment(Section::load(source_dir() + "/configs/" + config + ".toml", sets));
  constexpr Index kExamples = 6;
  int examples[kExamples];
  std::iota(examples, examples + kExamples, 0);
  Batch batch;
  REQUIRE(e.task->examples(Split::val) >= kExamples);
  e.task->collate(Split::val, examples, kExamples, nullptr, batch);
  Losses result{};
  result.trained = e.task->loss(*e.model, batch).sum.value().item();
  Metrics metrics;
  e.task->score(*e.model, batch, metrics);
  result.evaluated = metrics.value("loss");
  const Tensor logits = e.model->forward(batch).value();
  const Tensor& targets = batch.contains("label") ? batch.at("label") : batch.at("targets");
  const Index V = logits.dim(-1);
  for (Index r = 0; r < targets.size(); r++) {
    if (targets.at(r) < 0) continue;
    long double Z = 0;
    for (Index v = 0; v < V; v++) Z += std::exp(static_cast<long double>(logits.at(r * V + v)));
    result.log_square += static_cast<double>(std::log(Z) * std::log(Z));
  }
  return result;
}

}  // namespace

TEST_CASE("Z-loss adds z log^2 Z of each target to the trained loss and nothing to the evaluated one") {
  const std::string small = "model.d_model=16";
  for (const char* config : {"bank", "translate-toy", "masked-words", "stories"}) {
    CAPTURE(config);
    const std::vector<std::string> sets{small, "model.attention.n_head=2", "train.label_smoothing=0.1"};
    std::vector<std::string> with = sets;
    with.emplace_back("train.z_loss=0.5");
    const Losses plain = losses_of(config, sets), z = losses_of(config, with);
    CHECK(z.log_square == plain.log_square);
    CHECK(z.log_square > 1);
    CHECK(z.trained == doctest::Approx(plain.trained + 0.5 * z.log_square).epsilon(1e-6));
    CHECK(z.evaluated == plain.evaluated);
  }
}
