#include <algorithm>
#include <cmath>

#include "cli/answers.h"
#include "inspect/look.h"
#include "inspect/mistakes.h"
#include "log/number_text.h"
#include "log/table.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/base/threads.h"
#include "qkv/cli/verb.h"
#include "qkv/log/console.h"
#include "qkv/train/experiment.h"
#include "train/check.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

// `examples`: a split, or the file that took its place.
std::string tables(const Metrics& metrics, const std::string& examples, bool unicode) {
  std::string text;
  Table summary({"metric", examples});
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
  void setup(Options& options) override {
    options.add("run", &path, "run directory or checkpoint").required = true;
    options.add("--split", &split, "train, val or test; default: test if there is one");
    options.add("--data", &data, "other data in the task's format, instead of a split");
    options.add("--checkpoint", &which, "best, last or step-000100");
    options.add("--set", &sets, "override a key of the config, e.g. task.beam=5");
    options.add("--groups", &groups, "also count groups of this many consecutive examples that are all right")
        .range = {2, 1000};
    listing = &options.add("--mistakes", &mistakes, "also list this many mistakes, most confident first");
    listing->alone = "20";
    listing->range = {1, 100000};
    options.add("--json", &json, "print one JSON object");
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
      console().warn("eval: {} of {} must be finite; got {}: the other values mean nothing either",
                     bad.front(), split, metric_text(metrics.value(bad.front())));
    if (groups > 1) metrics.add("group_accuracy", metrics.group_accuracy(groups), 1);
    Json result = metrics.json();
    const std::string wrong = listing->given ? listed(answers_of(e), result) : "";
    console().print("{}", json ? dump_json(result) + "\n"
                               : tables(metrics, data.empty() ? split : data, console().unicode()) + wrong);
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

  ClassAnswers answers_of(const Experiment& e) const {
    std::optional<ClassAnswers> answers = class_answers(e, split_from(split));
    if (!answers)
      fail(Fault::usage, "eval: --mistakes must be for examples with classes; got the {} split of task '{}'",
           split, e.config.section("task").type(Task::kDefault));
    answers->mistakes.resize(std::min(answers->mistakes.size(), static_cast<std::size_t>(mistakes)));
    return std::move(*answers);
  }

  std::string listed(const ClassAnswers& answers, Json& result) const {
    auto label = [&](int id) {
      return answers.confusion.labels()[static_cast<std::size_t>(id)];
    };
    Table table({"gold", "answer", "p", "p(gold)", "text"});
    result["mistakes"] = Json::array();
    for (const Mistake& one : answers.mistakes) {
      table.row({label(one.label), label(one.answer), fmt::format("{:.3f}", one.probability),
                 fmt::format("{:.3f}", one.right), one.text});
      result["mistakes"].push_back({{"text", one.text},
                                    {"label", label(one.label)},
                                    {"answer", label(one.answer)},
                                    {"probability", json_number(static_cast<float>(one.probability))},
                                    {"right", json_number(static_cast<float>(one.right))}});
    }
    return answers.mistakes.empty() ? "\nno mistakes\n" : "\n" + table.max_cell(100).str(console().unicode());
  }

  std::string path, split, data, which = "best";
  std::vector<std::string> sets;
  Option* listing = nullptr;
  int groups = 1, mistakes = 0;
  bool json = false;
};

struct Predict : Verb {
  void setup(Options& options) override {
    options.add("run", &path, "run directory or checkpoint").required = true;
    options.add("text", &texts, "texts; default: lines of standard input");
    options.add("--checkpoint", &which, "best, last or step-000100");
    options.add("--set", &sets, "override a key of the config, e.g. task.beam=5");
    options.add("--json", &json, "print one JSON object per text");
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
