// A run whose weights are the mean of several checkpoints (Izmailov et al. 2018, "Averaging weights leads to
// wider optima and better generalization"; of several runs: Wortsman et al. 2022, "Model soups").
#include "cli/answers.h"
#include "cli/training.h"
#include "data/json_members.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "qkv/tensor/simd.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

// What the rows of embedding and output stand for.
Json meaning_of(const Checkpoint& c) {
  const Json &state = c.state->at("task"), &labels = member_or_null(state, "labels"),
             &source = member_or_null(state, "source_tokenizer");
  return Json::array({c.tokenizer ? c.tokenizer->to_json() : Json(), labels, source});
}

// Gives the parameters of `e` the mean of the checkpoints, summed in f64.
void take_mean(const std::vector<std::string>& folders, const Experiment& e) {
  ParameterStore& store = *e.parameters;
  std::vector<Tensor> sums;
  for (int s = 0; s < store.size(); s++)
    sums.push_back(Tensor::zeros(store.slot(s).value.shape(), Dtype::f64));
  Json meaning;
  for (const std::string& folder : folders) {
    const Checkpoint c = read_checkpoint(folder);
    if (meaning.is_null()) meaning = meaning_of(c);
    if (meaning != meaning_of(c))
      fail(Fault::usage, "average: {} must have the vocabulary and classes of {}; got others", folder,
           folders[0]);
    store.load(c.weights, folder + "/model.safetensors");
    for (int s = 0; s < store.size(); s++) {
      Tensor& sum = sums[static_cast<std::size_t>(s)];
      sum = zip([](auto a, auto b) { return a + b; }, sum, store.slot(s).value.to(Dtype::f64));
    }
  }
  const double n = static_cast<double>(folders.size());
  for (int s = 0; s < store.size(); s++) {
    Tensor& sum = sums[static_cast<std::size_t>(s)];
    simd::apply(sum.size(), sum.data<double>(), [n](auto v) { return v / n; });
    store.slot(s).value.copy_from(sum.to(store.dtype()));
  }
}

struct Average : Verb {
  void setup(Options& options) override {
    options.add("run", &runs, "run directories of models of equal shapes").required = true;
    options.add("--last", &last, "take so many of the newest checkpoints of each run").range = {1, 1000000};
    options.add("--checkpoint", &which, "without --last: best, last or step-000100 of each run");
    options.add("--out", &out, "directory to write; default: RUN-average, of the first run");
    options.add("--json", &json, "print one JSON object");
  }

  int run() override {
    const std::vector<std::string> folders = chosen();
    // Nothing is left to train; train.init_from of other runs may name this one.
    const Experiment e = load_experiment(
        folders[0], which,
        {"train.max_steps=0", "train.init_from=''", "train.init_except=[]", "train.ema_decay=0.0"});
    take_mean(folders, e);
    const std::string target =
        out.empty() ? runs[0].substr(0, runs[0].find_last_not_of('/') + 1) + "-average" : out;
    const RunDir made = RunDir::make("average", target, [&](const RunDir& run) {
      const std::string resolved = kept_config(e, "");
      const std::string made_of =
          fmt::format("# Made by qkv average: the mean of {}.\n", in_quotes(join(folders, ", ")));
      write_run_files(run, e, made_of + resolved, resolved, command);
      save_untrained(run.path(), e, kept_config(e, "../../"));
    });
    if (json)
      print_json({{"run", made.path()}, {"checkpoints", folders}});
    else
      console().print("{}  (the mean of {} checkpoints)\n", made.path(), folders.size());
    return 0;
  }
  std::string example() const override { return "qkv average runs/bank --last 3"; }

 private:
  std::vector<std::string> chosen() const {
    std::vector<std::string> folders;
    for (const std::string& run : runs) {
      config_of_run(run);
      if (last == 0) {
        folders.push_back(find_checkpoint(run, which));
        continue;
      }
      const auto all = list_checkpoints(run);
      if (static_cast<std::int64_t>(all.size()) < last)
        fail(Fault::usage,
             "average: {} must keep {} checkpoints; got {} (checkpoint.keep_last of its training)", run, last,
             all.size());
      for (std::size_t i = all.size() - static_cast<std::size_t>(last); i < all.size(); i++)
        folders.push_back(all[i].second);
    }
    for (const std::string& folder : folders)
      if (read_checkpoint_state(folder).contains("base"))
        fail(Fault::usage, "average: {} must hold weights as a whole; got adapters (qkv merge folds them in)",
             folder);
    if (folders.size() < 2)
      fail(Fault::usage,
           "average: there must be two checkpoints or more; got one (--last 3 takes three of a run)");
    return folders;
  }

  std::vector<std::string> runs;
  std::string out, which = "best";
  std::int64_t last = 0;
  bool json = false;
};

QKV_REGISTER(Verb, "average", Average, "write a run whose weights are the mean of several checkpoints");

}  // namespace
}  // namespace qkv
