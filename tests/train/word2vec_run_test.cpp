#include <doctest/doctest.h>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "data/word_space.h"
#include "qkv/base/threads.h"
#include "qkv/train/training.h"

using namespace qkv;

namespace {

std::string config_text(const std::string& folder, const std::string& more = "") {
  return "[run]\nshards = 2\n[data]\ntrain = \"" + folder +
         "/text.txt\"\nval_fraction = 0.1\nbatch_size = 8\n[task]\ntype = \"word2vec\"\nsubsample = 0.05\n"
         "[tokenizer]\nsplit = \"spaces\"\n[model]\ntype = \"skip-gram\"\nd_model = 16\n[optimizer]\n"
         "type = \"sparse-sgd\"\nlr = 0.05\n[train]\nmax_steps = 60\ngrad_clip_norm = 0\n" +
         more;
}

void write_text(const TemporaryFolder& folder) {
  Stream stream(2, "text");
  const char* sides[2][3] = {{"red", "green", "blue"}, {"one", "two", "three"}};
  std::string text;
  for (int i = 0; i < 400; i++) {
    const auto side = stream.below(2);
    for (int w = 0; w < 6; w++) text += std::string(sides[side][stream.below(3)]) + (w < 5 ? " " : "\n");
  }
  write_file_atomic(folder / "text.txt", text);
}

std::vector<double> weights(const Experiment& e) {
  std::vector<double> all;
  for (const NamedTensor& weight : e.parameters->named())
    for (double x : weight.tensor.to_vector()) all.push_back(x);
  return all;
}

}  // namespace

TEST_CASE(
    "word2vec: threads change no bit, a resumed run is the uninterrupted one, and words find their like") {
  TemporaryFolder folder;
  write_text(folder);
  std::vector<std::vector<double>> results;
  for (int threads : {1, 2, 3}) {
    set_threads(threads);
    Experiment e = build_experiment(Section::parse(config_text(folder.path)));
    Training training = prepare_training(e);
    for (int i = 0; i < 60; i++) CHECK(training.step().finite);
    results.push_back(weights(e));
  }
  set_threads(0);
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);

  Experiment half = build_experiment(Section::parse(config_text(folder.path)));
  {
    Training training = prepare_training(half);
    for (int i = 0; i < 25; i++) (void)training.step();
    training.files = RunFiles{folder / "run", config_text(folder.path), -1};
    MetricSinks sinks;
    make_directories(folder / "run");
    TrainResult rest = train(training, sinks, [](std::int64_t) {});
    CHECK(rest.step == 60);
  }
  Experiment again = build_experiment(Section::parse(config_text(folder.path)));
  Training training = prepare_training(again);
  training.files = RunFiles{folder / "run", config_text(folder.path), -1};
  REQUIRE(resume(training));
  CHECK(weights(half) == results[0]);
  CHECK(weights(again) == results[0]);

  const auto& vocab = again.task->tokenizer()->vocab();
  const WordSpace space(vocab.tokens(), again.parameters->slot(0).value, "test");
  CHECK(space.cosine(space.find("red"), space.find("blue")) >
        space.cosine(space.find("red"), space.find("two")));
}

// The loss of the last of some more steps.
static double loss_after(Training& training, int steps) {
  for (int i = 1; i < steps; i++) training.step();
  return training.step().loss;
}

TEST_CASE("word2vec: hogwild learns; settings that no step per example can follow are refused") {
  TemporaryFolder folder;
  write_text(folder);
  const Section wild = Section::parse(config_text(folder.path), "c.toml", {"optimizer.hogwild=true"});
  Experiment e = build_experiment(wild);
  Training training = prepare_training(e);
  const double first = training.step().loss;
  CHECK(loss_after(training, 59) < first);
  for (const char* bad :
       {"train.grad_clip_norm=1.0", "train.grad_accum_steps=2", "train.freeze=[\"embed*\"]"}) {
    const Section config = Section::parse(config_text(folder.path), "c.toml", {bad});
    Experiment refused = build_experiment(config);
    CHECK_THROWS_AS(prepare_training(refused), Error);
  }
}

TEST_CASE("word2vec: other optimizers follow the gradient of the same loss") {
  TemporaryFolder folder;
  write_text(folder);
  const Section config =
      Section::parse(config_text(folder.path), "c.toml", {"optimizer.type=\"adamw\"", "optimizer.lr=0.01"});
  Experiment e = build_experiment(config);
  Training training = prepare_training(e);
  const double first = training.step().loss;
  CHECK(loss_after(training, 59) < first);
}
