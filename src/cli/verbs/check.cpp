// What is wrong with a config, before training; with the files of a run, after it.
#include "train/check.h"
#include "base/machine.h"
#include "cli/answers.h"
#include "log/number_text.h"
#include "train/verify.h"

namespace qkv {
namespace {

struct Check : Verb {
  void setup(Options& options) override {
    options.add("config", &configs, "config files").required = true;
    options.add("--set", &sets, "override a key in each of them");
    options.add("--json", &json, "print one JSON object per config");
  }
  int run() override {
    int worst = 0;
    for (const std::string& file : configs) {
      CheckReport report(Section::parse(""));
      try {
        report = check_config(Section::load(file, sets), true);
      } catch (const Error& e) {  // no TOML file
        report.problems.push_back(e.what());
      }
      print(file, report);
      // Of both kinds of problems, the config's decide: 2 before 3.
      const int code = !report.problems.empty() ? 2 : !report.data_problems.empty() ? 3 : 0;
      worst = worst == 2 || code == 0 ? worst : code;
    }
    return worst;
  }
  std::string example() const override { return "qkv check configs/bank.toml --set model.n_layer=4"; }

  void print(const std::string& file, const CheckReport& report) const {
    Json facts = Json::object();
    for (auto& [name, value] : report.facts) facts[name] = json_number(value);
    if (json) {
      print_json({{"config", file},
                  {"ok", report.ok()},
                  {"problems", report.problems},
                  {"data_problems", report.data_problems},
                  {"warnings", report.warnings},
                  {"notes", report.notes},
                  {"parameters", report.size.parameters},
                  {"trained_parameters", report.size.trained},
                  {"adapters", report.size.adapters},
                  {"steps", report.steps},
                  {"batch_size", report.batch_size},
                  {"memory_bytes", report.memory_bytes},
                  {"memory_limit_bytes", available_memory()},
                  {"data", report.data.json()},
                  {"facts", facts}});
      return;
    }
    for (const std::string& note : report.config.notes()) console().info("{}", note);
    for (const std::string& problem : report.problems) console().error("{}", problem);
    for (const std::string& problem : report.data_problems) console().error("{}", problem);
    for (const std::string& note : report.notes) console().info("{}", note);
    if (!report.ok()) return;
    console().print("{}: ok ({}, {} steps of {}, about {})\n", file, report.size.text(),
                    grouped(report.steps), report.batch_size,
                    byte_text(static_cast<double>(report.memory_bytes)));
    if (const std::size_t most = available_memory(); report.memory_bytes > most)
      console().warn("{}: training must fit into memory; got about {} for the {} that this process may use",
                     file, byte_text(static_cast<double>(report.memory_bytes)),
                     byte_text(static_cast<double>(most)));
    for (const std::string& line : report.data.lines()) console().print("  {}\n", line);
    for (auto& [name, value] : report.facts)
      if (starts_with(name, "unknown_") && value > 0)  // unknown_words_val
        console().print("  {}: {:.1f} %\n", replace_all(name, "_", " "), 100 * value);
    for (const std::string& warning : report.warnings) console().warn("{}", warning);
  }

  std::vector<std::string> configs, sets;
  bool json = false;
};

QKV_REGISTER(Verb, "check", Check, "find what is wrong with a config, without training");

// ---- verify

struct Verify : Verb {
  void setup(Options& options) override {
    options.add("path", &paths, "run directories, checkpoints or .safetensors files").required = true;
    options.add("--json", &json, "print one JSON object per path");
  }
  int run() override {
    bool whole = true;
    for (const std::string& path : paths) {
      const VerifyReport report = verify(path);
      whole = whole && report.problems.empty();
      if (json) {
        print_json({{"path", path},
                    {"ok", report.problems.empty()},
                    {"files", report.checked},
                    {"problems", report.problems}});
        continue;
      }
      for (const std::string& problem : report.problems) console().error("{}", problem);
      if (report.problems.empty()) console().print("{}: whole ({} files)\n", path, report.checked.size());
    }
    return whole ? 0 : static_cast<int>(Fault::data);
  }
  std::string example() const override { return "qkv verify runs/bank"; }

  std::vector<std::string> paths;
  bool json = false;
};

QKV_REGISTER(Verb, "verify", Verify, "look for damage in a run directory, a checkpoint or a file of weights");

}  // namespace
}  // namespace qkv
