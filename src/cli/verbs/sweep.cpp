// One run for each setting of some keys, and which setting is best.
#include "cli/sweep.h"
#include "qkv/cli/verb.h"

namespace qkv {
namespace {

struct Sweep : Verb {
  void setup(Options& options) override {
    many.sweep = true, many.jobs = 0;
    TrainingRequest& request = many.request;
    options.add("config", &request.config, "config file").required = true;
    options
        .add("--grid", &many.grid,
             "values of a key: --grid optimizer.lr 1e-3 1e-2; repeat for all combinations")
        .label = "KEY VALUE...";
    options
        .add("--random", &many.random,
             "N random settings of keys: --random 20 optimizer.lr 1e-4:1e-1:log model.n_layer 1:6")
        .label = "N KEY RANGE...";
    options.add("--seeds", &many.seeds, "train each setting once per seed").range = {1, 1000};
    options
        .add("--halving", &many.halving,
             "train all for a share of their steps, keep one in N, train those N times as long, and so on")
        .range = {2, 100};
    options.add("--jobs", &many.jobs, "runs at a time; 0 = one or two, whichever is faster").range = {0, 2};
    options.add("--set", &request.sets, "override a key in all runs");
    options.add("--overwrite", &request.overwrite, "train all again");
    options.add("--json", &many.json, "print one JSON object");
  }
  int run() override {
    if (many.grid.empty() && many.random.empty())
      fail(Fault::usage, "sweep: --grid or --random must be given, with a key and its values");
    many.request.command = command;
    return train_many(many);
  }
  std::string example() const override {
    return "qkv sweep configs/bank-bow.toml --grid optimizer.lr 1e-3 4e-3 1.6e-2 --seeds 3";
  }

  ManyRuns many;
};

QKV_REGISTER(Verb, "sweep", Sweep, "train each combination of values, and find the best");

}  // namespace
}  // namespace qkv
