#include "qkv/task/task.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "qkv/base/json.h"
#include "qkv/train/experiment.h"
#include "qkv/train/training.h"

using namespace qkv;

namespace {

const std::string kModel =
    "[task]\ntype = \"language-model\"\n[model]\ntype = \"decoder-lm\"\nd_model = 32\nmax_seq_len = 8\n"
    "attention.n_head = 2\nffn.d_ff = 64\n[train]\nmax_steps = 200\n[optimizer]\nlr = 1e-2\n";

struct Text {
  explicit Text(const std::string& text, const std::string& data = "val_fraction = 0.2\n")
      : experiment(build_experiment(Section::parse(write(text) + data + kModel))) {}
  std::string write(const std::string& text) const {
    write_file_atomic(folder / "text.txt", text);
    return "[data]\ntrain = \"" + (folder / "text.txt") + "\"\nbatch_size = 4\n";
  }
  Task& task() { return *experiment.task; }
  TemporaryFolder folder;
  Experiment experiment;
};

std::vector<int> row(const Batch& batch, const char* name, Index b) {
  const Tensor& t = batch.at(name);
  const std::int32_t* first = t.data<std::int32_t>() + b * t.dim(1);
  return {first, first + t.dim(1)};
}

std::string error_of(const std::string& config, Fault fault) {
  try {
    Experiment e = build_experiment(Section::parse(config));
    Training training = prepare_training(e);
  } catch (const Error& e) {
    CHECK(e.fault() == fault);
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("evaluation predicts every token but the first exactly once") {
  Text text("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ!?", "val_fraction = 0.5\n");
  Task& task = text.task();
  const Tokenizer& tokenizer = *task.tokenizer();
  CHECK(task.examples(Split::val) == 4);  // 31 targets in windows of 8
  Batch batch;
  const int all[] = {0, 1, 2, 3};
  task.collate(Split::val, all, 4, nullptr, batch);
  CHECK(task.tokens(batch) == 31);
  std::vector<int> targets;
  for (Index b = 0; b < 4; b++)
    for (int id : row(batch, "targets", b))
      if (id != -100) targets.push_back(id);
  // The tokenizer knows the training half only.
  CHECK(targets.size() == 31);
  CHECK(std::count(targets.begin(), targets.end(), tokenizer.unk_id()) == 31);
  CHECK(row(batch, "targets", 3).back() == -100);
}

TEST_CASE("a special token between documents is one, in texts and prompts, and ends what is generated") {
  std::string documents;
  for (int i = 0; i < 60; i++) documents += "ab\n<|endoftext|>\n";
  const std::string tokens = "val_fraction = 0.2\n[tokenizer]\ntype = \"bpe\"\nvocab_size = 300\n";
  Text text(documents, tokens + "specials = [\"<|endoftext|>\"]\n");
  const Tokenizer& tokenizer = *text.task().tokenizer();
  CHECK(tokenizer.token(2) == "<|endoftext|>");
  CHECK(tokenizer.id("endoftext") == -1);  // no merge is learned from the name
  std::map<int, int> seen;
  Batch batch;
  for (int i = 0; i < text.task().examples(Split::train); i++) {
    text.task().collate(Split::train, &i, 1, nullptr, batch);
    for (int id : row(batch, "ids", 0)) seen[id]++;
  }
  CHECK(seen.size() >= 3);
  CHECK(seen[2] >= 40);
  CHECK(seen.count(tokenizer.id("<")) == 0);
  Training training = prepare_training(text.experiment);
  for (int i = 0; i < 100; i++) training.step();
  const Json answer = text.task().predict(*text.experiment.model, "\n<|endoftext|>\n");
  CHECK(answer["continuation"] == "ab\n");
  Text plain(documents, tokens);  // without the key it is text as any other
  CHECK(plain.task().tokenizer()->id("endoftext") > 0);
}

TEST_CASE("a training example is a piece of the text, and every offset occurs") {
  std::string cycle;
  for (int i = 0; i < 10; i++) cycle += "abcdefghijklmnopqrstuvwxyz";
  Text text(cycle, "val_fraction = 0\n");
  Task& task = text.task();
  CHECK(task.examples(Split::val) == 0);
  const int n = static_cast<int>(task.examples(Split::train));
  CHECK(n == 259 / 8);
  std::map<int, int> firsts;
  Batch batch;
  for (int draw = 0; draw < 200; draw++) {
    const Stream noise(1, "noise", draw);
    const int index = draw % n;
    task.collate(Split::train, &index, 1, &noise, batch);
    const std::vector<int> ids = row(batch, "ids", 0), targets = row(batch, "targets", 0);
    for (std::size_t t = 0; t < 7; t++) CHECK(targets[t] == ids[t + 1]);
    firsts[ids[0]]++;
  }
  CHECK(firsts.size() == 26);
}

TEST_CASE("a small model learns a text by heart, and continues it") {
  std::string rhyme;
  for (int i = 0; i < 30; i++) rhyme += "one two three four. ";
  Text text(rhyme);
  Training training = prepare_training(text.experiment);
  for (int i = 0; i < 200; i++) training.step();
  const Metrics metrics = evaluate(text.task(), *text.experiment.model, Split::val, 8);
  CHECK(metrics.value("loss") < 0.25);
  CHECK(metrics.value("perplexity") == doctest::Approx(std::exp(metrics.value("loss"))));
  CHECK(metrics.value("bits_per_char") == doctest::Approx(metrics.value("loss") / std::log(2.0)));
  const Json answer = text.task().predict(*text.experiment.model, "one two thr");
  CHECK(answer.at("continuation").get<std::string>().substr(0, 16) == "ee four. one two");
  CHECK(text.task().readable(answer).substr(0, 17) == "one two three fou");
}

TEST_CASE("bits per character are those of the split that is scored") {
  std::string val, train;
  for (int i = 0; i < 40; i++) train += "a bee. ", val += "\u4f60\u597d";
  TemporaryFolder folder;
  write_file_atomic(folder / "train.txt", train);
  write_file_atomic(folder / "val.txt", val);
  const std::string files = "[data]\ntrain = \"" + (folder / "train.txt") + "\"\nval = \"" +
                            (folder / "val.txt") + "\"\ntest = \"" + (folder / "train.txt") +
                            "\"\n[tokenizer]\ntype = \"bpe\"\n";
  Experiment e = build_experiment(Section::parse(files + kModel));
  const Tokenizer& tokenizer = *e.task->tokenizer();
  for (auto [split, text] : {std::pair{Split::val, val}, {Split::test, train}, {Split::train, train}}) {
    const Metrics metrics = evaluate(*e.task, *e.model, split, 8);
    const double tokens = static_cast<double>(tokenizer.encode(text).size());
    CHECK(metrics.value("bits_per_char") == doctest::Approx(metrics.value("loss") / std::log(2.0) * tokens /
                                                            static_cast<double>(count_code_points(text))));
  }
}

TEST_CASE("synthetic tokens need no file, and are the same for the same seed") {
  const std::string config =
      "[data]\nsource = \"synthetic\"\nvocab_size = 50\nexamples = 20\nbatch_size = 4\n" + kModel;
  Experiment a = build_experiment(Section::parse(config)), b = build_experiment(Section::parse(config));
  CHECK(a.task->shape().vocab_size == 50);
  CHECK(a.task->examples(Split::train) == 20);
  Batch first, second;
  const int indices[] = {3, 7};
  a.task->collate(Split::train, indices, 2, nullptr, first);
  b.task->collate(Split::train, indices + 1, 1, nullptr, second);
  CHECK(row(first, "ids", 1) == row(second, "ids", 0));
  CHECK(row(first, "ids", 0) != row(first, "ids", 1));
  CHECK(row(first, "targets", 0)[0] == row(first, "ids", 0)[1]);
}

TEST_CASE("texts and configs that cannot serve are refused with their place") {
  TemporaryFolder folder;
  write_file_atomic(folder / "short.txt", "abc");
  auto with = [&](const std::string& file, const std::string& more = "") {
    return "[data]\ntrain = \"" + (folder / file) + "\"\n" + more + kModel;
  };
  CHECK(error_of(with("short.txt", "val_fraction = 0\n"), Fault::data)
            .find("the train part must hold at least 9 tokens; got 3") != std::string::npos);
  CHECK(error_of(with("none.txt"), Fault::data).find("none.txt: cannot be read") != std::string::npos);
  CHECK(error_of(kModel, Fault::usage).find("train must name a text; got none") != std::string::npos);
  CHECK(error_of(with("short.txt", "length = 9\n"), Fault::usage)
            .find("must be at most model.max_seq_len = 8; got 9") != std::string::npos);
  CHECK(error_of(with("short.txt", "source = \"made up\"\n"), Fault::usage)
            .find("data.source must be one of") != std::string::npos);
}
