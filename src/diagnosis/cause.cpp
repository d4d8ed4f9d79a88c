#include "diagnosis/cause.h"

#include "train/checkpoint.h"
#include "train/run_dir.h"

namespace qkv {

QKV_DEFINE_REGISTRY(Cause);

std::vector<Suspicion> suspicions(const RunCase& c) {
  std::vector<Suspicion> found;
  for (const auto& [name, entry] : Registry<Cause>::instance().entries()) {
    Suspicion one;
    entry.make()->look(c, one);
    one.name = name, one.cause = entry.help;
    if (one.score >= kLeastScore) found.push_back(std::move(one));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Suspicion& a, const Suspicion& b) { return a.score > b.score; });
  return found;
}

std::vector<Suspicion> diagnose_run(const std::string& run) {
  constexpr Index kExamples = 4000;
  const std::string file = config_of_run(run);
  check_run_checksums(run);
  const RunLog log = read_run_log(run);
  const bool trained = !list_checkpoints(run).empty();
  Experiment last = trained ? load_experiment(run, "last") : build_experiment(Section::load(file));
  RunCase c(last, log);
  c.trained = trained;
  read_records(c);
  look_at_data(c, kExamples);
  if (trained) try_model(c);
  try {
    Experiment start = build_experiment(Section::load(file));
    Training training = prepare_training(start);
    warm_start(training);
    try_first_step(c, training);
  } catch (const Error&) {  // what train.init_from names is gone: the rules do without
    if (!trained) throw;
  }
  return suspicions(c);
}

std::string first_cause(Experiment& e, const std::string& run) try {
  constexpr std::int64_t kLeastSteps = 100;
  constexpr Index kExamples = 1000;
  const RunLog log = read_run_log(run);
  RunCase c(e, log);
  c.trained = false;
  read_records(c);
  if (c.steps < kLeastSteps) return "";
  e.parameters->each_part([&](int, const ParameterStore::Part& part) {
    c.moved.push_back({part.name, kUnknown, part.frozen, false});
  });
  look_at_data(c, kExamples);
  const std::vector<Suspicion> found = suspicions(c);
  return found.empty() ? "" : found[0].cause + ": " + found[0].evidence.at(0);
} catch (const Error&) {
  return "";  // a run that has been trained does not fail because of this; `qkv why` tells
}

Json to_json(const std::vector<Suspicion>& found) {
  Json list = Json::array();
  for (const Suspicion& one : found)
    list.push_back({{"name", one.name},
                    {"cause", one.cause},
                    {"evidence", join(one.evidence, "; ")},
                    {"try", one.advice},
                    {"score", one.score}});
  return list;
}

Json diagnosis_json(const std::string& run) {
  return to_json(diagnose_run(run));
}

}  // namespace qkv
