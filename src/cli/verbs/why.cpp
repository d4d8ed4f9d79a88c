#include "cli/answers.h"
#include "diagnosis/cause.h"
#include "qkv/base/threads.h"
#include "train/diagnosis.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

constexpr int kColumns = 80;

// The causes in order, each with its evidence and what to try.
std::string text_of(const std::string& run, const std::vector<Suspicion>& found) {
  const std::size_t rules = Registry<Cause>::instance().names().size();
  if (found.empty()) return fmt::format("{}: none of {} known causes was found\n", run, rules);
  std::string text =
      fmt::format("{}: {} of {} known causes, the likeliest first\n", run, found.size(), rules);
  for (std::size_t i = 0; i < found.size(); i++) {
    text += fmt::format("\n{}. {} ({})\n", i + 1, found[i].cause, found[i].name);
    for (const std::string& one : found[i].evidence) text += paragraph("   - ", one, kColumns);
    text += paragraph("   try: ", found[i].advice, kColumns);
  }
  return text;
}

struct Why : Verb {
  void setup(Options& options) override {
    options.add("run", &path, "run directory").required = true;
    options.add("step", &step,
                "optimizer step to replay; without one: the likely causes of what was not learned");
    options.add("--json", &json, "print one JSON object");
  }
  int run() override {
    const std::string file = config_of_run(path);
    if (step == 0) {
      const std::vector<Suspicion> found = diagnose_run(path);
      print_answer(json, {{"run", path}, {"causes", to_json(found)}}, text_of(path, found));
      return 0;
    }
    check_run_checksums(path);
    Experiment e = build_experiment(Section::load(file));
    set_threads(static_cast<int>(e.run.threads));
    Training training = prepare_training(e);
    const Diagnosis d = why(training, path, step);
    print_answer(json, d.json(), d.text());
    return 0;
  }
  std::string example() const override { return "qkv why runs/bank 120"; }

  std::string path;
  std::int64_t step = 0;
  bool json = false;
};

QKV_REGISTER(
    Verb, "why", Why,
    "why a run did not learn; or replay a step and name op, parameter and example of what went wrong");

}  // namespace
}  // namespace qkv
