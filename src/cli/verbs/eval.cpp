#include <CLI/CLI.hpp>
#include <cmath>

#include "cli/answers.h"
#include "log/bars.h"
#include "log/number_text.h"
#include "log/table.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/train/evaluate.h"
#include "qkv/train/experiment.h"
#include "report/parts.h"
#include "train/check.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

std::string tables(const Metrics& metrics, const std::string& split, bool unicode) {
  std::string text;
  Table summary({"metric", split});
  for (auto& [name, value] : metrics.values())
    summary.row({name, std::isfinite(value) ? fmt::format("{:.4f}", value) : metric_text(value)});
  text += summary.str(unicode);
  for (auto& [name, signature] : metrics.texts.signatures())
    text += fmt::format("{} signature: {}\n", name, signature);
  const Confusion& c = metrics.confusion;
  if (c.classes() == 0) return text;
  Table classes({"class", "precision", "recall", "f1", "support"});
  std::vector<std::string> header{"gold \\ predicted"};
  for (const std::string& label : c.labels()) header.push_back(label);
  Table matrix(header);
  for (int g = 0; g < c.classes(); g++) {
    const std::string& label = c.labels()[static_cast<std::size_t>(g)];
    classes.row({label, fmt::format("{:.4f}", c.precision(g)), fmt::format("{:.4f}", c.recall(g)),
                 fmt::format("{:.4f}", c.f1(g)), std::to_string(c.gold(g))});
    std::vector<std::string> row{label};
    for (int p = 0; p < c.classes(); p++) row.push_back(std::to_string(c.count(g, p)));
    matrix.row(row);
  }
  return text + "\n" + classes.str(unicode) + "\n" + matrix.str(unicode);
}

struct Eval : Verb {
  void setup(CLI::App& app) override {
    app.add_option("run", path, "run directory or checkpoint")->required();
    app.add_option("--split", split, "train, val or test; test where there is one");
    app.add_option("--data", data, "other data in the task's format, instead of the split's");
    app.add_option("--checkpoint", which, "best, last or step-000100");
    app.add_option("--set", sets, "override a key of the config, e.g. task.beam=5");
    app.add_option("--groups", groups,
                   "also count groups of this many examples in a row that are right throughout")
        ->check(CLI::Range(2, 1000));
    listing = app.add_option("--mistakes", mistakes, "also list this many mistakes, the surest first")
                  ->expected(0, 1)
                  ->default_str("20")
                  ->check(CLI::Range(1, 100000));
    app.add_flag("--json", json, "print one JSON object");
  }
  int run() override {
    if (first_invalid_utf8(data) != std::string::npos)
      fail(Fault::usage, "eval: --data must be a name in UTF-8; got {}", in_quotes(data));
    if (!data.empty()) use_data();
    Experiment e = load_experiment(path, which, sets);
    set_threads(static_cast<int>(e.run.threads));
    if (!data.empty()) split = "test";
    if (split.empty()) split = e.task->examples(Split::test) > 0 ? "test" : "val";
    for (const std::string& warning : data_warnings(*e.task))
      if (warning.find(" of the " + split + " split ") != std::string::npos) console().warn("{}", warning);
    Metrics metrics = evaluate(*e.task, *e.model, split_from(split), 128);
    if (const auto bad = metrics.nonfinite(); !bad.empty())
      console().warn("eval: {} of {} must be finite; got {}: the other values say nothing, either",
                     bad.front(), split, metric_text(metrics.value(bad.front())));
    if (groups > 1) metrics.add("group_accuracy", metrics.group_accuracy(groups), 1);
    Json result = metrics.json();
    if (listing->count() > 0) result["mistakes"] = mistakes_of(e);
    console().print("{}", json ? dump_json(result) + "\n" : tables(metrics, split, console().unicode()));
    if (!json && listing->count() > 0) console().print("{}", list(result["mistakes"]));
    return 0;
  }
  std::string example() const override { return "qkv eval runs/bank --split val"; }

  // The file in the place of the test split, without the folds that the run may have had.
  void use_data() {
    const Section config = Section::load(find_checkpoint(path, which) + "/config.resolved.toml");
    if (!config.section("data").has("test"))
      fail(Fault::usage,
           "eval: --data must be for a task that reads files; got '{}', which makes its own examples",
           config.section("task").type(Task::kDefault));
    sets.push_back("data.test=" + Json(data).dump());
    if (config.section("data").has("folds")) sets.push_back("data.folds=0");
  }

  Json mistakes_of(Experiment& e) const {
    Problems ignored;
    const Json all = evaluation_json(e, split_from(split), static_cast<std::size_t>(mistakes), ignored);
    if (all.is_null())
      fail(Fault::usage, "eval: --mistakes must be for examples with classes; got the {} split of task '{}'",
           split, e.config.section("task").type(Task::kDefault));
    Json result = Json::array();
    for (const Json& one : all.at("mistakes"))
      result.push_back({{"text", one.at("text")},
                        {"label", all.at("labels").at(one.at("label").get<std::size_t>())},
                        {"answer", all.at("labels").at(one.at("answer").get<std::size_t>())},
                        {"probability", one.at("probability")},
                        {"right", one.at("right")}});
    return result;
  }

  std::string list(const Json& wrong) const {
    Table table({"gold", "answer", "p", "p(gold)", "text"});
    for (const Json& one : wrong)
      table.row({one.at("label").get<std::string>(), one.at("answer").get<std::string>(),
                 fmt::format("{:.3f}", one.at("probability").get<double>()),
                 fmt::format("{:.3f}", one.at("right").get<double>()), one.at("text").get<std::string>()});
    return wrong.empty() ? "\nno mistakes\n" : "\n" + table.max_cell(100).str(console().unicode());
  }

  std::string path, split, data, which = "best";
  std::vector<std::string> sets;
  CLI::Option* listing = nullptr;
  int groups = 1, mistakes = 0;
  bool json = false;
};

struct Predict : Verb {
  void setup(CLI::App& app) override {
    app.add_option("run", path, "run directory or checkpoint")->required();
    app.add_option("text", texts, "texts; without any, lines of standard input");
    app.add_option("--checkpoint", which, "best, last or step-000100");
    app.add_option("--set", sets, "override a key of the config, e.g. task.beam=5");
    app.add_flag("--json", json, "print one JSON object per text");
  }
  int run() override {
    const Experiment e = load_experiment(path, which, sets);
    return answer_each(texts, json, [&](const std::string& text) {
      const Json prediction = e.task->predict(*e.model, text);
      warn_of_cut(prediction.value("cut_tokens", std::int64_t{0}));
      console().print("{}", json ? dump_json(prediction) + "\n" : e.task->readable(prediction));
    });
  }
  std::string example() const override { return "qkv predict runs/bank \"We sat by the river bank.\""; }

  std::string path, which = "best";
  std::vector<std::string> texts, sets;
  bool json = false;
};

QKV_REGISTER(Verb, "eval", Eval, "metrics of a trained model, per class and as confusion matrix");
QKV_REGISTER(Verb, "predict", Predict, "the model's answer for texts");

}  // namespace
}  // namespace qkv
