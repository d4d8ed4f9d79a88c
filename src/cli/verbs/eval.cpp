// The scores of a trained model, its answers, and the scores of texts in files.
#include <algorithm>
#include <cmath>

#include "base/at.h"
#include "base/file.h"
#include "cli/answers.h"
#include "data/lines.h"
#include "inspect/gains.h"
#include "inspect/look.h"
#include "log/number_text.h"
#include "qkv/base/threads.h"
#include "qkv/task/metrics.h"
#include "train/check.h"
#include "train/checkpoint.h"

namespace qkv {
namespace {

// `examples`: a split, or the file that took its place.
std::string tables(const Metrics& metrics, const std::string& examples) {
  const bool unicode = console().unicode();
  Table summary({"metric", examples});
  for (auto& [name, value] : metrics.values())
    summary.row({name, std::isfinite(value) ? fmt::format("{:.4f}", value) : metric_text(value)});
  std::string text = summary.str(unicode);
  for (auto& [name, signature] : metrics.texts.signatures())
    text += fmt::format("{} signature: {}\n", name, signature);
  const Confusion& c = metrics.confusion;
  if (c.classes() == 0) return text;
  Json classes = Json::array();
  std::vector<std::string> header{"gold \\ predicted"};
  header.insert(header.end(), c.labels().begin(), c.labels().end());
  Table matrix(header);
  for (int g = 0; g < c.classes(); g++) {
    classes.push_back(c.json(g));
    classes.back()["class"] = at(c.labels(), g);
    std::vector<std::string> row{at(c.labels(), g)};
    for (int p = 0; p < c.classes(); p++) row.push_back(std::to_string(c.count(g, p)));
    matrix.row(row);
  }
  return text + "\n" + table_text(classes, "class | precision:.4f | recall:.4f | f1:.4f | support=count") +
         "\n" + matrix.str(unicode);
}

struct Eval : Verb {
  void setup(Options& options) override {
    options.add("run", &subject.path, "run directory or checkpoint").required = true;
    options.add("--split", &split, "train, val or test; default: test if there is one");
    options.add("--data", &data, "other data in the task's format, instead of a split");
    options.add("--groups", &groups, "also count groups of this many consecutive examples that are all right")
        .range = {2, 1000};
    Option& listing =
        options.add("--mistakes", &mistakes, "also list this many mistakes, most confident first");
    listing.alone = "20";
    listing.range = {1, 100000};
    options
        .add("--by", &by,
             "also group the losses of tokens: class, position, frequency, distance (repeatable)")
        .choices = {"class", "position", "frequency", "distance"};
    subject.add(options, "print one JSON object");
  }
  int run() override {
    if (first_invalid_utf8(data) != std::string::npos)
      fail(Fault::usage, "eval: --data must be a name in UTF-8; got {}", in_quotes(data));
    if (!data.empty()) use_data();
    const Experiment e = subject.load();
    set_threads(static_cast<int>(e.run.threads));
    if (!data.empty()) split = "test";
    if (split.empty()) split = e.task->examples(Split::test) > 0 ? "test" : "val";
    for (const std::string& warning : data_warnings(*e.task))
      if (warning.find(" of the " + split + " split ") != std::string::npos) console().warn("{}", warning);
    Metrics metrics = evaluate(*e.task, *e.model, split_from(split), e.tables.batches.eval_batch_size);
    if (const auto bad = metrics.nonfinite(); !bad.empty())
      console().warn("eval: {} of {} must be finite; got {}: the other values mean nothing either",
                     bad.front(), split, metric_text(metrics.value(bad.front())));
    if (groups > 1) metrics.add("group_accuracy", metrics.group_accuracy(groups), 1);
    Json result = metrics.json();
    const std::string wrong = mistakes > 0 ? listed(answers_of(e), result) : "";
    const std::string bins = by.empty() ? "" : gains(e, result);
    subject.print(result, tables(metrics, data.empty() ? split : data) + bins + wrong);
    return 0;
  }
  std::string example() const override { return "qkv eval runs/bank --split val"; }

  // The file in the place of the test split, without the folds that the run may have had.
  void use_data() {
    const Section config =
        Section::load(find_checkpoint(subject.path, subject.checkpoint) + "/config.resolved.toml");
    if (!config.section("data").has("test"))
      fail(Fault::usage,
           "eval: --data must be for a task that reads files; got '{}', which makes its own examples",
           config.section("task").type(Task::kDefault));
    subject.sets.push_back("data.test=" + Json(data).dump());
    if (config.section("data").has("folds")) subject.sets.push_back("data.folds=0");
  }

  // The losses of tokens by class, position, ...
  std::string gains(const Experiment& e, Json& result) const {
    std::string text;
    const auto all = gains_of(e, split_from(split), by);
    for (std::size_t k = 0; k < by.size(); k++) {
      std::vector<GainBin> bins = all[k];
      GainBin sum{"all"};
      for (const GainBin& bin : bins) sum.add(bin);
      bins.push_back(sum);
      Json& rows = result["by"][by[k]] = Json::array();
      for (const GainBin& bin : bins) {
        const auto n = static_cast<double>(bin.tokens);
        const double gain = bin.unigrams - bin.nats, whole = sum.unigrams - sum.nats;
        rows.push_back({{"name", bin.name},
                        {"tokens", bin.tokens},
                        {"loss", json_number(bin.nats / n)},
                        {"unigrams", json_number(bin.unigrams / n)},
                        {"gain", json_number(gain / n)},
                        {"share", whole > 0 ? json_number(gain / whole) : Json(nullptr)}});
      }
      const std::string columns =
          by[k] + "=name | tokens | loss:.4f | unigrams:.4f | gain:.4f | share of gain=share:.3f";
      text += "\n" + table_text(rows, columns);
    }
    return text;
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
    Json& list = result["mistakes"] = Json::array();
    for (const Mistake& one : answers.mistakes)
      list.push_back({{"text", one.text},
                      {"label", at(answers.confusion.labels(), one.label)},
                      {"answer", at(answers.confusion.labels(), one.answer)},
                      {"probability", json_number(static_cast<float>(one.probability))},
                      {"right", json_number(static_cast<float>(one.right))}});
    if (list.empty()) return "\nno mistakes\n";
    return "\n" + table_text(list, "gold=label | answer | p=probability:.3f | p(gold)=right:.3f | text", 100);
  }

  Subject subject;
  std::string split, data;
  std::vector<std::string> by;
  int groups = 1, mistakes = 0;
};

struct Predict : Verb {
  void setup(Options& options) override {
    options.add("run", &subject.path, "run directory or checkpoint").required = true;
    options.add("text", &texts, "texts; default: lines of standard input");
    subject.add(options, "print one JSON object per text");
  }
  int run() override {
    const Experiment e = subject.load();
    return answer_each(texts, subject.json, [&](const std::string& text) {
      const Json prediction = e.task->predict(*e.model, text);
      warn_of_cut(prediction.value("cut_tokens", std::int64_t{0}));
      subject.print(prediction, e.task->readable(prediction));
    });
  }
  std::string example() const override { return "qkv predict runs/bank \"We sat by the river bank.\""; }

  Subject subject;
  std::vector<std::string> texts;
};

QKV_REGISTER(Verb, "eval", Eval, "metrics of a trained model, per class and as confusion matrix");
QKV_REGISTER(Verb, "predict", Predict, "the model's answer for texts");

// ---- score

// The lines of a file, of a pipe, or of standard input ("-").
std::vector<std::string> texts_of(const std::string& path) {
  if (path == "-") return lines_of(read_standard_input(), "standard input");
  return lines_of(read_file_or_pipe(path, kMaxFileSize, Fault::data), path);
}

struct Score : Verb {
  void setup(Options& options) override {
    options.add("--hyp", &hypotheses, "file (or -) with the texts to score, one per line").required = true;
    options.add("--ref", &references, "file (or -) with their references, line by line").required = true;
    options.add("--metric", &metrics, "comma-separated list of bleu, chrf, rouge, exact_match");
    options.add("--tokenize", &tokenize, "tokenisation for BLEU: 13a, or none if texts are already tokenised")
        .choices = {"13a", "none"};
    options.add("--lowercase", &lowercase, "ignore case");
    options.add("--json", &json, "print one JSON object");
  }

  int run() override {
    std::vector<std::string> names;
    for (const std::string& name : split(metrics, ',')) {
      const std::vector<std::string> known{"bleu", "chrf", "rouge", "exact_match"};
      if (!std::count(known.begin(), known.end(), name))
        fail(Fault::usage, "score: --metric must name bleu, chrf, rouge or exact_match; got '{}'{}", name,
             suggest(name, known));
      if (name == "rouge")
        names.insert(names.end(), {"rouge1", "rouge2", "rougeL"});
      else
        names.push_back(name);
    }
    if (hypotheses == "-" && references == "-")
      fail(Fault::usage, "score: one of --hyp and --ref can be standard input; got '-' for both");
    const std::vector<std::string> h = texts_of(hypotheses), r = texts_of(references);
    if (h.size() != r.size())
      fail(Fault::data, "score: {} and {} must have as many lines; got {} and {}", hypotheses, references,
           h.size(), r.size());
    TextScores scores(names, tokenize, lowercase);
    for (std::size_t i = 0; i < h.size(); i++) scores.add(h[i], r[i]);
    const auto values = scores.values();
    const auto signatures = scores.signatures();
    Json result = {{"lines", h.size()}};
    for (std::size_t i = 0; i < names.size(); i++) {
      const auto& [name, value] = values[i];
      result[name] = value;
      result[name + "_signature"] = signatures[i].second;
      if (!json) console().print("{:<11}  {:>8.4f}  {}\n", name, value, signatures[i].second);
    }
    print_answer(json, result, fmt::format("{} lines\n", h.size()));
    return 0;
  }
  std::string example() const override {
    return "qkv score --hyp hypotheses.txt --ref references.txt --metric bleu,chrf";
  }

  std::string hypotheses, references, metrics = "bleu,chrf,rouge", tokenize = "13a";
  bool lowercase = false, json = false;
};

QKV_REGISTER(Verb, "score", Score, "BLEU, chrF and ROUGE of a file of texts against a file of references");

}  // namespace
}  // namespace qkv
