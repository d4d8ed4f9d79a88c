#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/model/model.h"
#include "task/common.h"
#include "train/small_run.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Prompts whose answer repeats their first word, and configs, in a folder of their own.
struct AnswerFiles {
  AnswerFiles() {
    std::string text;
    for (int i = 0; i < 24; i++)
      text += fmt::format("{0} {1}\t{0}!\n", "abcdef"[i % 6], "uvwxyz"[i * 7 / 3 % 6]);
    write_file_atomic(folder / "train.tsv", text);
    write_file_atomic(
        folder / "val.jsonl",
        "{\"prompt\": \"a x\", \"answer\": \"a!\"}\n{\"prompt\": \"long\\tb\", \"answer\": \"b!\"}\n");
  }
  std::string config(const std::string& data = "val = \"val.jsonl\"\n", const std::string& rest = "") const {
    const std::string path = folder / "c.toml";
    write_file_atomic(path, "schema = 1\n[run]\nshards = 2\n[data]\ntrain = \"train.tsv\"\n" + data +
                                "batch_size = 8\n[task]\ntype = \"prompt-answer\"\n[tokenizer]\n" +
                                "type = \"char\"\n[model]\ntype = \"decoder-lm\"\nn_layer = 1\nd_model = 16\n"
                                "max_seq_len = 9\n[model.ffn]\nd_ff = 32\n[optimizer]\nlr = 1e-2\n[train]\n"
                                "max_steps = 6\n[eval]\nevery = 3\n[log]\nevery = 1\n" +
                                rest);
    return path;
  }
  TemporaryFolder folder;
};

std::vector<int> ids_in(const Tensor& t) {
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

Batch batch_of(const Task& task, Split split, std::vector<int> examples, const Stream* noise = nullptr) {
  Batch batch;
  task.collate(split, examples.data(), Index(examples.size()), noise, batch);
  return batch;
}

}  // namespace

TEST_CASE("prompt-answer: only the tokens of the answer and its end are targets") {
  const AnswerFiles files;
  Session s(files.config());
  Task& task = *s.experiment.task;
  CHECK(task.examples(Split::train) == 24);
  CHECK(task.examples(Split::val) == 2);
  CHECK(task.examples(Split::test) == 0);
  const Tokenizer& t = *task.tokenizer();
  const auto id = [&](const char* text) {
    return t.encode(text).at(0);
  };
  const int no = kNoTarget;
  // "a x" "\n" "a!" "\n", and "long\tb" "\n" "b!" "\n", of which nothing is cut: it has 10 tokens.
  Batch batch = batch_of(task, Split::val, {0, 1});
  CHECK(batch.at("ids").shape() == Shape{2, 9});
  const int a = id("a"), b = id("b"), space = id(" "), x = id("x"), line = id("\n"), bang = id("!"),
            unk = t.unk_id(), pad = t.pad_id();
  CHECK(ids_in(batch.at("ids")) == std::vector<int>{a, space, x, line, a, bang, pad, pad, pad,  //
                                                    unk, unk, unk, unk, unk, b, line, b, bang});
  CHECK(ids_in(batch.at("targets")) == std::vector<int>{no, no, no, a, bang, line, no, no, no,  //
                                                        no, no, no, no, no, no, b, bang, line});
  CHECK(task.tokens(batch) == 6);
  CHECK(task.length(Split::val, 0) == 6);

  Session all(files.config("val = \"val.jsonl\"\nloss_on = \"all\"\n"));
  const Stream noise(1, "noise");
  const Batch learned = batch_of(*all.experiment.task, Split::val, {0}, &noise),
              scored = batch_of(*all.experiment.task, Split::val, {0});
  CHECK(ids_in(learned.at("targets")) == std::vector<int>{space, x, line, a, bang, line});
  CHECK(ids_in(scored.at("targets")) == std::vector<int>{no, no, no, a, bang, line});
}

TEST_CASE("prompt-answer: the loss is the mean over the answers' tokens, whatever the prompt's are worth") {
  const AnswerFiles files;
  Session s(files.config());
  const Task& task = *s.experiment.task;
  const Batch batch = batch_of(task, Split::val, {0, 1});
  const Tensor logits = s.experiment.model->forward(batch).value();  // [2, 9, V]
  const std::vector<int> targets = ids_in(batch.at("targets"));
  const Index V = logits.dim(2);
  double nats = 0, right = 0;
  for (Index i = 0; i < Index(targets.size()); i++) {
    if (targets[std::size_t(i)] < 0) continue;
    double sum = 0;
    Index best = 0;
    for (Index v = 0; v < V; v++) {
      sum += std::exp(logits.at(i * V + v));
      if (logits.at(i * V + v) > logits.at(i * V + best)) best = v;
    }
    nats += std::log(sum) - logits.at(i * V + targets[std::size_t(i)]);
    right += best == targets[std::size_t(i)];
  }
  const Loss loss = task.loss(*s.experiment.model, batch);
  CHECK(loss.count == 6);
  CHECK(loss.sum.value().item() == doctest::Approx(nats).epsilon(1e-5));
  Metrics metrics;
  task.score(*s.experiment.model, batch, metrics);
  CHECK(metrics.value("loss") == doctest::Approx(nats / 6).epsilon(1e-5));
  CHECK(metrics.value("perplexity") == doctest::Approx(std::exp(nats / 6)).epsilon(1e-5));
  CHECK(metrics.value("token_accuracy") == doctest::Approx(right / 6));
}

TEST_CASE("prompt-answer: exact_match is the share of answers that prediction gives") {
  const AnswerFiles files;
  Session s(files.config("val = \"train.tsv\"\n", "[schedule]\ntype = \"cosine\"\n"), {"train.max_steps=60"});
  const std::string run = files.folder / "run";
  s.train(run);
  const Experiment e = load_experiment(run, "last");
  double right = 0;
  int n = 0;
  for (const std::string& line : split(read_file(files.folder / "train.tsv"), '\n')) {
    if (line.empty()) continue;
    const std::vector<std::string> sides = split(line, '\t');
    const Json answer = e.task->predict(*e.model, sides[0]);
    CHECK(answer.at("text") == sides[0]);
    CHECK(answer.at("cut_tokens") == 0);
    right += answer.at("answer") == sides[1], n++;
  }
  const Metrics metrics = evaluate(*e.task, *e.model, Split::val, 8);
  CHECK(metrics.value("exact_match") == doctest::Approx(right / n));
  CHECK(right / n > 0.9);
  CHECK(e.task->readable(e.task->predict(*e.model, "c u")) == "c!\n");
  // Without room for the prompt its beginning is left out.
  CHECK(e.task->predict(*e.model, "abcdefabcdef").at("cut_tokens") == 5);
}

TEST_CASE("prompt-answer: what is too long is cut and counted; a special token may be the end") {
  const AnswerFiles files;
  write_file_atomic(files.folder / "long.tsv", "a x\ta!\nabcdefuv\ta!\n");
  Session s(files.config("val = \"long.tsv\"\nend = \"<eos>\"\n", ""), {"tokenizer.specials=['<eos>']"});
  Task& task = *s.experiment.task;
  const Batch batch = batch_of(task, Split::val, {0, 1});
  const int eos = s.experiment.task->tokenizer()->id("<eos>");
  CHECK(eos >= 0);
  CHECK(ids_in(batch.at("targets"))[5] == eos);
  CHECK(batch.at("ids").shape() == Shape{2, 9});
  CHECK(task.tokens(batch) == 3 + 1);
  double cut = 0;
  for (auto& [name, value] : task.facts())
    if (name == "cut_pairs_val") cut = value;
  CHECK(cut == 1);
  // An answer without room is not written as it is.
  Metrics metrics;
  task.score(*s.experiment.model, batch_of(task, Split::val, {1}), metrics);
  CHECK(metrics.value("exact_match") == 0);
}

TEST_CASE("prompt-answer: a part of the training pairs is for validation; resumed runs give the same bits") {
  const AnswerFiles files;
  const std::string config = files.config("val_fraction = 0.25\n");
  Session whole(config);
  CHECK(whole.experiment.task->examples(Split::train) == 18);
  CHECK(whole.experiment.task->examples(Split::val) == 6);
  const std::string a = files.folder / "a", b = files.folder / "b";
  set_threads(1);
  whole.train(a);
  train_and_kill(config, {}, b, 5);
  set_threads(3);
  Session again(config);
  again.train(b, true);
  set_threads(0);
  check_equal_runs(a, b);
}

TEST_CASE("prompt-answer: what is wrong with its data and keys") {
  const AnswerFiles files;
  const auto error = [&](Fault fault, const std::string& data, const std::vector<std::string>& sets = {}) {
    return error_of(fault, [&] { Session s(files.config(data), sets); });
  };
  write_file_atomic(
      files.folder / "bad.jsonl",
      "{\"prompt\": \"a\", \"answer\": \"b\"}\n{\"prompt\": \"a\"}\n[1]\n{\"prompt\": \"a\", \"answer\": "
      "7}\n{\"prompt\": \"a\", \"answer\": \"b\", \"id\": 3}\n{\"prompt\": \" \", \"answer\": \"b\"}\n{\n");
  const std::string bad = error(Fault::data, "val = \"bad.jsonl\"\n");
  CHECK(has(bad, "bad.jsonl:2: "));
  CHECK(has(bad, "bad.jsonl:3: a line must be a JSON object with prompt and answer; got"));
  CHECK(has(bad, "bad.jsonl:4: "));
  CHECK(has(bad, "bad.jsonl:5: unknown member"));
  CHECK(has(bad, "bad.jsonl:6: source must not be empty"));
  CHECK(has(bad, "bad.jsonl:7: "));
  CHECK(has(error(Fault::usage, "end = \"\"\n"), "data.end must hold a token; got none"));
  CHECK(has(error(Fault::usage, "", {"tokenizer.type=word"}), "data.end: must hold a token; got"));
  CHECK(has(error(Fault::usage, "", {"data.train="}), "data.train must name the training pairs; got none"));
  CHECK(
      has(error(Fault::usage, "loss_on = \"prompt\"\n"), "loss_on must be one of \"answer\", \"all\"; got"));
}
