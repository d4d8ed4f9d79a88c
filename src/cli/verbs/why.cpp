#include "log/run_log.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "train/diagnosis.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

// The step that a run's log says most about: where it diverged, else its last spike.
std::int64_t step_of_interest(const std::string& run) {
  std::int64_t step = -1;
  for (const Record& record : read_run_log(run).other) {
    if (record.type() == "nonfinite") return record.step();
    if (record.type() == "spike") step = record.step();
  }
  if (step < 0)
    fail(Fault::usage, "why: a step must be given; {} logged no spike and no value that was not finite", run);
  return step;
}

struct Why : Verb {
  void setup(Options& options) override {
    options.add("run", &path, "run directory").required = true;
    options.add("step", &step, "optimizer step; default: the first that was not finite, else the last spike");
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    const std::string file = config_of_run(path);
    check_run_checksums(path);
    if (step == 0) step = step_of_interest(path);
    const Section config = Section::load(file);
    Experiment e = build_experiment(config);
    set_threads(static_cast<int>(e.run.threads));
    Training training = prepare_training(e);
    const Diagnosis d = why(training, path, step);
    console().print("{}", json ? dump_json(d.json()) + "\n" : d.text());
    return 0;
  }
  std::string example() const override { return "qkv why runs/bank 120"; }

  std::string path;
  std::int64_t step = 0;
  bool json = false;
};

QKV_REGISTER(Verb, "why", Why,
             "replay a training step and name op, parameter and example of what went wrong");

}  // namespace
}  // namespace qkv
