#include "train/check.h"

#include <algorithm>

#include "base/machine.h"
#include "qkv/base/make.h"
#include "qkv/base/text.h"
#include "qkv/model/stack.h"
#include "qkv/train/training.h"

namespace qkv {
namespace {

// Runs the steps of a check; what they throw is kept.
class Collector {
 public:
  explicit Collector(CheckReport& report) : report_(report) {}

  template <class F>
  void attempt(F f) {
    try {
      f();
    } catch (const Error& e) {
      add(e.fault() == Fault::data ? report_.data_problems : thrown_, e.what());
    }
  }

  // The problems that the config has collected, then those that were only thrown.
  void finish() {
    try {
      report_.config.finish();
    } catch (const Error& e) {
      add(report_.problems, e.what());
    }
    for (const std::string& text : thrown_) add(report_.problems, text);
  }

 private:
  static void add(std::vector<std::string>& lines, const std::string& text) {
    for (const std::string& line : split(text, '\n'))
      if (!std::count(lines.begin(), lines.end(), line)) lines.push_back(line);
  }

  CheckReport& report_;
  std::vector<std::string> thrown_;
};

// Sizes for a walk without data: one-hot words fit them, and any usual number of heads divides the
// vocabulary.
DataShape stand_in(const Section& config, Index ngram_buckets) {
  const Index d_model = config.section("model").given<Index>("d_model").value_or(StackConfig().d_model);
  return {d_model > 0 ? d_model : 5040, 2, ngram_buckets};
}

}  // namespace

std::vector<std::string> data_warnings(Task& task) {
  std::vector<std::string> warnings;
  for (auto& [name, value] : task.facts()) {
    const std::vector<std::string> part = split(name, '_');  // cut_pairs_train
    if (part.size() != 3 || part[0] != "cut") continue;
    warnings.push_back(
        fmt::format("data: {:.0f} of {} {} of the {} split are longer than model.max_seq_len and are cut",
                    value, task.examples(split_from(part[2])), part[1], part[2]));
  }
  return warnings;
}

CheckReport check_config(const Section& config, bool survey) {
  CheckReport report(config);
  Collector collect(report);
  Experiment e{config};
  std::string data_problem;
  try {
    read_common(config, e.run);
  } catch (const Error& error) {  // names that a missing plug-in may register are not reported
    report.problems.push_back(error.what());
    return report;
  }
  collect.attempt([&] { e.task = make_task({config}, &data_problem); });
  if (!data_problem.empty()) report.data_problems = split(data_problem, '\n');
  if (!e.task &&
      !check_type<Task>(config.section("task"), Task::kDefault))  // whose keys these are is unknown
    for (const char* table : {"data", "tokenizer"}) config.section(table).skip_all();

  e.parameters = std::make_unique<ParameterStore>(0, e.run.dtype, true);
  collect.attempt([&] {
    DataShape shape = e.task ? e.task->shape() : DataShape{};
    if (!e.task || !data_problem.empty()) shape = stand_in(config, shape.ngram_buckets);
    build_model(e, shape);
  });
  const bool built = e.task && e.model;
  if (built) collect.attempt([&] { check_shapes(e); });
  read_training(e);
  report.batch_size = e.tables.batches.batch_size;
  std::unique_ptr<Optimizer> optimizer;
  collect.attempt([&] { optimizer = make_optimizer(config.section("optimizer"), *e.parameters); });
  collect.attempt([&] { make_schedule(config.section("schedule"), optimizer ? optimizer->lr() : 1.0, 0); });
  if (built) collect.attempt([&] { e.parameters->freeze(e.tables.train.freeze); });
  if (e.task)
    for (Split split : {Split::train, Split::val, Split::test})
      collect.attempt([&] { e.task->examples(split); });
  if (built && report.data_problems.empty())
    collect.attempt([&] {
      Training training = prepare_training(e);
      const std::string line = warm_start(training);
      if (!line.empty()) report.notes.push_back(line);
      report.warnings = data_warnings(*e.task);
      report.parameters = e.parameters->count();
      report.steps = training.max_steps;
      report.memory_bytes = memory_estimate(training) + resident_memory();
      auto* surveyed = dynamic_cast<Surveyed*>(e.task.get());
      if (!survey) return;
      report.facts = e.task->facts();
      if (surveyed) surveyed->survey(report.data);
      for (std::string& warning : report.data.warnings()) report.warnings.push_back(std::move(warning));
    });
  collect.finish();
  return report;
}

}  // namespace qkv
