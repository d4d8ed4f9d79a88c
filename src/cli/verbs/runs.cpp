// The runs of a folder, and an end to those that are not wanted.
#include <fmt/chrono.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <set>

#include "base/file.h"
#include "cli/answers.h"
#include "log/number_text.h"
#include "log/record_keys.h"
#include "log/run_log.h"
#include "train/run_dir.h"
#include "train/run_list.h"

namespace fs = std::filesystem;

namespace qkv {
namespace {

struct Run : RunSummary {
  double sorted_by = NAN;
  std::uintmax_t bytes = 0;
};

std::uintmax_t bytes_below(const std::string& folder) {
  std::uintmax_t total = 0;
  std::error_code ignored;
  for (fs::recursive_directory_iterator at(folder, ignored), end; at != end; at.increment(ignored))
    if (at->is_regular_file(ignored) && !at->is_symlink(ignored)) total += at->file_size(ignored);
  return total;
}

struct Runs : Verb {
  void setup(Options& options) override {
    options.add("dir", &folder, "folder of runs").shows_default = true;
    options.add("--sort", &sort, "name, date, steps, size, best, or a metric: its value at the best step");
    Option& doomed = options.add("--remove", &unwanted, "remove these runs, after asking");
    doomed.most = 1000;
    doomed.label = "NAME...";
    options.add("--yes", &yes, "remove without asking");
    options.add("--json", &json, "print one JSON object per run");
  }

  int run() override {
    RunList list(folder);
    if (is_run(folder))
      fail(Fault::usage, "{0}: must be a folder of runs; got a run (see qkv log {0})", folder);
    list.refresh();
    std::vector<Run> runs;
    for (const RunSummary* run : list.runs()) {
      runs.push_back({*run});
      runs.back().bytes = bytes_below(run->path);
    }
    if (!unwanted.empty()) return remove(runs);
    order(runs);
    for (const Run& run : runs)
      if (json) print_json(json_of(run));
    if (!json) console().print("{}", runs.empty() ? "no runs in " + folder + "\n" : table(runs));
    return 0;
  }
  std::string example() const override { return "qkv runs --sort best"; }

  static bool higher_is_better(const std::string& metric) {
    EvalConfig config;
    config.metric = metric;
    return config.higher_is_better();
  }

  // Names from A to Z; else what is newest, longest, largest or best first, and last what has no value.
  void order(std::vector<Run>& runs) {
    if (sort == "name") return;
    std::vector<std::string> names{"name", "date", "steps", "size", "best"};
    const bool by_metric = !std::count(names.begin(), names.end(), sort);
    std::set<std::string> metrics;
    for (Run& run : runs) {
      if (by_metric) {
        const RunLog log = read_run_log(folder + "/" + run.name);
        for (const std::string& metric : log.metrics()) metrics.insert(metric);
        const Record* best = log.best();
        run.metric = sort;
        run.best.value = best && best->has(sort) ? best->number(sort) : NAN;
      }
      run.sorted_by = sort == "date"                 ? static_cast<double>(run.date)
                      : sort == "steps"              ? static_cast<double>(run.steps)
                      : sort == "size"               ? static_cast<double>(run.bytes)
                      : higher_is_better(run.metric) ? run.best.value
                                                     : -run.best.value;
    }
    if (by_metric && !runs.empty() && !metrics.count(sort)) {
      names.insert(names.end(), metrics.begin(), metrics.end());
      fail(Fault::usage, "runs: --sort must be one of {}; got {}", join(names, ", "), in_quotes(sort));
    }
    std::stable_sort(runs.begin(), runs.end(), [](const Run& a, const Run& b) {
      return !std::isnan(a.sorted_by) && (std::isnan(b.sorted_by) || a.sorted_by > b.sorted_by);
    });
  }

  static std::string table(const std::vector<Run>& runs) {
    Table table({"run", "state", "steps", "best", "size", "date"});
    for (const Run& run : runs)
      table.row({run.name, run.state,
                 grouped(run.steps) + (run.max_steps > run.steps ? "/" + grouped(run.max_steps) : ""),
                 std::isnan(run.best.value) ? "" : run.metric + " " + metric_text(run.best.value),
                 byte_text(static_cast<double>(run.bytes)),
                 fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(run.date))});
    return table.str(console().unicode());
  }

  static Json json_of(const Run& run) {
    Json result = qkv::json_of(static_cast<const RunSummary&>(run));
    result["bytes"] = run.bytes;
    result["date"] = run.date;
    return result;
  }

  // A name is that of a run, or of a folder that holds nothing but runs (of --seeds, --folds, --each).
  int remove(const std::vector<Run>& runs) const {
    std::set<std::string> names;
    for (const Run& run : runs) {
      names.insert(run.name);
      for (std::size_t slash = 0; (slash = run.name.find('/', slash + 1)) != std::string::npos;)
        names.insert(run.name.substr(0, slash));
    }
    std::vector<std::string> doomed;
    for (std::string name : unwanted) {
      while (ends_with(name, "/")) name.pop_back();
      if (!names.count(name))
        fail(Fault::usage, "runs: --remove must name runs in {}; got {}{}", folder, in_quotes(name),
             suggest(name, {names.begin(), names.end()}));
      if (!std::count(doomed.begin(), doomed.end(), name)) doomed.push_back(name);
    }
    std::vector<RunDir> held;  // a run that trains cannot be opened
    for (const Run& run : runs)
      for (const std::string& name : doomed)
        if (run.name == name || starts_with(run.name, name + "/")) {
          held.push_back(RunDir::open(folder + "/" + run.name));
          break;
        }
    if (!yes && !agreed(doomed)) return 1;
    for (const std::string& name : doomed) {
      remove_folder(folder + "/" + name);
      console().info("removed {}/{}", folder, name);
    }
    return 0;
  }

  bool agreed(const std::vector<std::string>& names) const {
    if (!::isatty(0))
      fail(Fault::usage,
           "runs: --remove asks first; got no terminal to ask on (--yes removes without asking)");
    for (const std::string& name : names)
      console().print("{}/{}  {}\n", folder, name,
                      byte_text(static_cast<double>(bytes_below(folder + "/" + name))));
    console().print("Remove {}? [y/N] ", names.size() == 1 ? "it" : "them");
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
  }

  std::string folder = "runs", sort = "name";
  std::vector<std::string> unwanted;
  bool yes = false, json = false;
};

QKV_REGISTER(Verb, "runs", Runs, "the runs of a folder: state, steps, best value, size and date");

}  // namespace
}  // namespace qkv
