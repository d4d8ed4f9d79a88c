
#include "cli/training.h"
#include "qkv/cli/verb.h"

namespace qkv {
namespace {

struct Train : Verb {
  void setup(Options& options) override {
    options.add("config", &request.config, "config file").required = true;
    options.add("--set", &request.sets, "override a key: --set train.max_steps=100");
    options.add("--resume", &request.resume, "continue the interrupted run of the same config");
    options.add("--overwrite", &request.overwrite, "empty the run directory of that name first");
    options.add("--check-expect", &request.check_expect, "exit with 1 when a bound of [expect] is missed");
    options.add("--seeds", &seeds, "train once per seed, in one directory").range = {1, 1000};
    options.add("--folds", &folds, "stratified cross-validation over the training data").range = {2, 1000};
    options
        .add("--each", &each,
             "train once for each value of a key: --each model.n_layer 1 2 4; repeat for all combinations")
        .label = "KEY VALUE...";
  }
  int run() override {
    request.command = command;
    std::vector<EachValue> values;
    for (const auto& words : each) values.push_back({words[0], {words.begin() + 1, words.end()}});
    if (!values.empty()) return train_each(request, values, seeds, folds);
    if (seeds == 1 && folds == 0) return train_run(request);
    return train_many(request, runs_of_many(request, seeds, folds));
  }
  std::string example() const override { return "qkv train configs/bank.toml --set train.max_epochs=5"; }

  TrainingRequest request;
  std::vector<std::vector<std::string>> each;
  int seeds = 1, folds = 0;
};

struct Resume : Verb {
  void setup(Options& options) override {
    options.add("run", &path, "run directory").required = true;
    options.add("--set", &sets, "override a key");
  }
  int run() override { return resume_run(path, sets); }
  std::string example() const override { return "qkv resume runs/bank --set train.max_epochs=30"; }

  std::string path;
  std::vector<std::string> sets;
};

QKV_REGISTER(Verb, "train", Train, "train a model, writing a run directory");
QKV_REGISTER(Verb, "resume", Resume, "continue an interrupted run from its directory");

}  // namespace
}  // namespace qkv
