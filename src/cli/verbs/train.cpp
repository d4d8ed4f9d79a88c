#include <CLI/CLI.hpp>

#include "cli/training.h"
#include "qkv/cli/verb.h"

namespace qkv {
namespace {

struct Train : Verb {
  void setup(CLI::App& app) override {
    app.add_option("config", request.config, "config file")->required();
    app.add_option("--set", request.sets, "override a key: --set train.max_steps=100");
    app.add_flag("--resume", request.resume, "continue the interrupted run of the same config");
    app.add_flag("--overwrite", request.overwrite, "empty the run directory of that name first");
    app.add_flag("--check-expect", request.check_expect, "exit with 1 when a bound of [expect] is missed");
    app.add_option("--seeds", seeds, "train with this many seeds, side by side")->check(CLI::Range(1, 1000));
    app.add_option("--folds", folds, "stratified cross-validation over the training data")
        ->check(CLI::Range(2, 1000));
    app.add_option("--each", each,
                   "train once for each value of a key: --each model.n_layer 1 2 4; given again, for each "
                   "combination")
        ->type_size(2, CLI::detail::expected_max_vector_size)
        ->type_name("KEY VALUE...");
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
  void setup(CLI::App& app) override {
    app.add_option("run", path, "run directory")->required();
    app.add_option("--set", sets, "override a key");
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
