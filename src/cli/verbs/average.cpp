// Runs that are made of others: average and merge.
#include "base/at.h"
#include "base/file.h"
#include "cli/answers.h"
#include "cli/training.h"
#include "data/json_members.h"
#include "log/number_text.h"
#include "qkv/ops/arithmetic.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

// ---- average: the mean of several checkpoints (Izmailov et al. 2018, "Averaging weights leads to wider
// optima and better generalization"; of several runs: Wortsman et al. 2022, "Model soups")

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
    for (int s = 0; s < store.size(); s++) at(sums, s).add(store.slot(s).value.to(Dtype::f64));
  }
  const auto n = static_cast<double>(folders.size());
  for (int s = 0; s < store.size(); s++)
    store.slot(s).value.copy_from(div(at(sums, s), n).value().to(store.dtype()));
}

// Where a run is written that is made of this one, unless the command line says.
std::string beside(const std::string& run, const char* ending) {
  return run.substr(0, run.find_last_not_of('/') + 1) + ending;
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
    const std::string target = out.empty() ? beside(runs[0], "-average") : out;
    const RunDir made = RunDir::make("average", target, [&](const RunDir& run) {
      const std::string resolved = kept_config(e, "");
      const std::string made_of =
          fmt::format("# Made by qkv average: the mean of {}.\n", in_quotes(join(folders, ", ")));
      write_run_files(run, e, made_of + resolved, resolved, command);
      save_untrained(run.path(), e, kept_config(e, "../../"));
    });
    print_answer(json, {{"run", made.path()}, {"checkpoints", folders}},
                 fmt::format("{}  (the mean of {} checkpoints)\n", made.path(), folders.size()));
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

// ---- merge

struct Merge : Verb {
  void setup(Options& options) override {
    options.add("run", &path, "run directory of a training with [train.lora]").required = true;
    options.add("--out", &out, "directory to write; default: RUN-merged");
    options.add("--checkpoint", &which, "best, last or step-000100");
  }

  int run() override {
    config_of_run(path);
    const Checkpoint from = read_checkpoint(find_checkpoint(path, which));
    if (!from.state->contains("base"))
      fail(Fault::usage, "merge: {} must be trained with [train.lora]; got a run without adapters", path);
    const Experiment e = load_experiment(from.folder, which,
                                         {"train.lora.rank=0", "train.lora.targets=[]", "train.init_from=''",
                                          "train.init_except=[]", "train.freeze=[]", "optimizer.groups=[]"});
    const std::string target = out.empty() ? beside(path, "-merged") : out;
    const RunDir made = RunDir::make("merge", target, [&](const RunDir& run) { write(from, e, run); });
    console().print("{}  ({} parameters)\n", made.path(), grouped(e.parameters->count()));
    return 0;
  }
  std::string example() const override { return "qkv merge runs/tuned --out runs/merged"; }

 private:
  // The state of the run at that step, with the weights as a whole and an optimizer that begins anew.
  void write(const Checkpoint& from, const Experiment& e, const RunDir& made) const {
    const std::string resolved = kept_config(e, "");
    write_run_files(made, e, resolved, resolved, command);
    Json state = *from.state;
    state.erase("base");
    state["run"] = id_of_run(made.path());
    const std::int64_t step = state.at("step");
    const bool best = state.at("best_step") == step;
    if (!best) state["best_step"] = -1;
    const auto optimizer = make_optimizer(e.config.section("optimizer"), *e.parameters);
    write_checkpoint(made.path(),
                     {step, e.parameters->stored(), optimizer->state(*e.parameters), &state,
                      e.task->tokenizer(), kept_config(e, "../../")},
                     best);
    const Json result = exists(path + "/result.json") ? read_json(path + "/result.json") : Json();
    if (exists(path + "/metrics.jsonl")) copy_files(path + "/metrics.jsonl", made.file("metrics.jsonl"));
    if (result.is_object() && result.value("step", Json()) == step)
      copy_files(path + "/result.json", made.file("result.json"));
    write_run_checksums(made.path());
  }

  std::string path, out, which = "best";
};

QKV_REGISTER(Verb, "merge", Merge, "fold the adapters of a run ([train.lora]) into its weights");

}  // namespace
}  // namespace qkv
