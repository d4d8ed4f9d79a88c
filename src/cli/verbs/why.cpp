#include "diagnosis/cause.h"
#include "log/terminal_text.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "train/diagnosis.h"
#include "train/run_dir.h"

namespace qkv {
namespace {

constexpr int kColumns = 80;

// A paragraph whose further lines are indented as the first.
void add_lines(std::string& text, const std::string& mark, const std::string& paragraph) {
  std::string begin = mark;
  for (const std::string& line : wrapped(paragraph, kColumns - static_cast<int>(mark.size()))) {
    text += begin + line + "\n";
    begin.assign(mark.size(), ' ');
  }
}

// The causes in order, each with its evidence and what to try.
std::string text_of(const std::string& run, const std::vector<Suspicion>& found) {
  const std::size_t rules = Registry<Cause>::instance().names().size();
  if (found.empty()) return fmt::format("{}: none of {} known causes was found\n", run, rules);
  std::string text =
      fmt::format("{}: {} of {} known causes, the likeliest first\n", run, found.size(), rules);
  for (std::size_t i = 0; i < found.size(); i++) {
    text += fmt::format("\n{}. {} ({})\n", i + 1, found[i].cause, found[i].name);
    for (const std::string& one : found[i].evidence) add_lines(text, "   - ", one);
    add_lines(text, "   try: ", found[i].advice);
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
      console().print(
          "{}", json ? dump_json({{"run", path}, {"causes", to_json(found)}}) + "\n" : text_of(path, found));
      return 0;
    }
    check_run_checksums(path);
    Experiment e = build_experiment(Section::load(file));
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

QKV_REGISTER(
    Verb, "why", Why,
    "why a run did not learn; or replay a step and name op, parameter and example of what went wrong");

}  // namespace
}  // namespace qkv
