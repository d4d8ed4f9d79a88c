// A run with adapters becomes one without.
#include "base/file.h"
#include "cli/answers.h"
#include "cli/training.h"
#include "log/number_text.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

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
    const std::string target = out.empty() ? path.substr(0, path.find_last_not_of('/') + 1) + "-merged" : out;
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
