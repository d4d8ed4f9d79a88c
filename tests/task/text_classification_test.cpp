#include <doctest/doctest.h>

#include "qkv/base/json.h"
#include "qkv/task/task.h"
#include "task/survey.h"
#include "train/small_run.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Texts whose class follows from one word, and a config.
struct Labelled {
  Labelled() {
    std::string lines;
    for (int i = 0; i < 60; i++)
      lines += fmt::format("{}\tthe {} was {} today\n", i % 2 ? "good" : "bad", i % 3 ? "film" : "book",
                           i % 2 ? (i % 5 ? "lovely" : "great") : (i % 5 ? "awful" : "boring"));
    write("train.tsv", lines);
  }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomic(folder / name, text);
  }
  std::string config(const std::string& data = "", int length = 16) const {
    const std::string path = folder / "c.toml";
    write_file_atomic(path, fmt::format("[run]\nseed = 2\n[data]\ntrain = \"train.tsv\"\nbatch_size = 8\n{}"
                                        "[task]\ntype = \"text-classification\"\n[model]\nd_model = 16\n"
                                        "max_seq_len = {}\ntoken_types = 2\npooler = \"tanh\"\n"
                                        "attention.n_head = 2\nffn.d_ff = 16\n[train]\nmax_steps = 40\n"
                                        "[eval]\nevery = 40\n[optimizer]\nlr = 1e-2\n",
                                        data, length));
    return path;
  }
  TemporaryFolder folder;
};

std::vector<int> ids_of(const Tensor& t) {
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

// Example b of a batch as words, without padding.
std::string shown_words(const Task& task, const Batch& batch, Index b) {
  std::vector<std::string> result;
  const Index T = batch.at("ids").dim(1);
  for (Index t = b * T; t < (b + 1) * T; t++)
    if (batch.at("keep").at(t) == 1) result.push_back(task.tokenizer()->token(int(batch.at("ids").at(t))));
  return join(result, " ");
}

}  // namespace

TEST_CASE("a text stands between [CLS] and [SEP], a pair has two, and types tell its texts apart") {
  Labelled data;
  data.write("train.tsv", "no\ta b\tc\nyes\tb c a\n");
  Session session(data.config("val_fraction = 0\n"));
  Task& task = *session.experiment.task;
  REQUIRE(task.examples(Split::train) == 2);
  CHECK(task.classes() == std::vector<std::string>{"no", "yes"});
  Batch batch;
  const int both[] = {0, 1};
  task.collate(Split::train, both, 2, nullptr, batch);
  CHECK(shown_words(task, batch, 0) == "[CLS] a b [SEP] c [SEP]");
  CHECK(shown_words(task, batch, 1) == "[CLS] b c a [SEP]");
  CHECK(ids_of(batch.at("token_types")) == std::vector<int>{0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0});
  CHECK(ids_of(batch.at("label")) == std::vector<int>{0, 1});
  CHECK(ids_of(batch.at("target")) == std::vector<int>{0, 0});
  CHECK(task.tokens(batch) == 11);
  CHECK(task.length(Split::train, 0) == 6);
  // What is shown of a text makes the same batch.
  const auto probes = task.probe_texts({"a b\tc"});
  CHECK(join(probes[0].words, " ") == "[CLS] a b [SEP] c [SEP]");
  const Batch probe = task.probe_batch(probes.data(), 1);
  CHECK(ids_of(probe.at("token_types")) == std::vector<int>{0, 0, 0, 0, 1, 1});
  CHECK(task.probe_examples(Split::train, 1).size() == 2);
}

TEST_CASE("of a text that is too long the rest is cut, of a pair the longer one first") {
  Labelled data;
  data.write("train.tsv", "no\ta a a a a a\tb\nyes\tc c c c c c c\nno\ta a a\tb b b\n");
  Session session(data.config("val_fraction = 0\n", 7));
  Task& task = *session.experiment.task;
  REQUIRE(task.examples(Split::train) == 3);
  Batch batch;
  const int all[] = {0, 1, 2};
  task.collate(Split::train, all, 3, nullptr, batch);
  CHECK(shown_words(task, batch, 0) == "[CLS] a a a [SEP] b [SEP]");
  CHECK(shown_words(task, batch, 1) == "[CLS] c c c c c [SEP]");
  CHECK(shown_words(task, batch, 2) == "[CLS] a a [SEP] b b [SEP]");
  CHECK(task.facts() == std::vector<std::pair<std::string, double>>{{"cut_texts_train", 3}});
  CHECK(task.predict(*session.experiment.model, "c c c c c c c c").at("cut_tokens") == 3);
}

TEST_CASE("a classifier of texts learns which word decides, and answers for new texts") {
  Labelled data;
  Session session(data.config());
  session.train(data.folder / "run");
  const Task& task = *session.experiment.task;
  for (const auto& [text, label] : {std::pair("the book was lovely", "good"), {"a boring film", "bad"}}) {
    const Json answer = task.predict(*session.experiment.model, text);
    CHECK(answer.at("label") == label);
    CHECK(answer.at("probabilities").at("good").get<double>() +
              answer.at("probabilities").at("bad").get<double>() ==
          doctest::Approx(1));
    CHECK(has(task.readable(answer), std::string("  ") + label + "  (p = "));
  }
  CHECK(has(read_file(data.folder / "run/metrics.jsonl"), "\"macro_f1\":1.0"));
  DataSurvey survey;
  dynamic_cast<Surveyed&>(*session.experiment.task).survey(survey);
  CHECK(survey.json().at("train").at("labels") == Json({{"bad", 27}, {"good", 27}}));
  // Another run knows the classes from the state alone.
  const Experiment again = load_experiment(data.folder / "run", "best");
  CHECK(again.task->classes() == std::vector<std::string>{"bad", "good"});
}

TEST_CASE("lines that are no labelled texts are refused with their place") {
  Labelled data;
  auto problem = [&](const std::string& lines, const std::string& more = "") {
    data.write("train.tsv", lines);
    return error_of(Fault::data, [&] { Session session(data.config(more)); });
  };
  CHECK(has(problem("good a text without a tab\nbad\tx\n"), "train.tsv:1: a line must be label<TAB>text"));
  CHECK(has(problem("good\ta\tb\tc\nbad\tx\n"), "train.tsv:1: a line must be label<TAB>text"));
  CHECK(has(problem("good\t \nbad\tx\n"), "train.tsv:1: "));
  CHECK(has(problem("good\ta\ngood\tb\n"), "must have texts of 2 to 2000 labels; got 1"));
  data.write("val.tsv", "god\ta\n");
  CHECK(has(problem("good\ta\nbad\tb\n", "val = \"val.tsv\"\n"),
            "val.tsv:1: label must be known; got 'god' (did you mean 'good'?)"));
  CHECK(has(error_of(Fault::usage, [&] { Session session(data.config("", 3)); }),
            "model.max_seq_len of at least 4"));
}
