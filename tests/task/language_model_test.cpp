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

TEST_CASE("rows of documents say where each begins, and no token is predicted from the document before") {
  TemporaryFolder folder;
  std::string lines;
  for (const char* text : {"abc", "d", "efghi", "jk", "lmnopqrstu", "v", "w", "xyz"})
    lines += dump_json({{"text", text}}) + "\n";
  write_file_atomic(folder / "text.jsonl", lines);
  const std::string data =
      "[data]\ntrain = \"" + (folder / "text.jsonl") + "\"\nval_fraction = 0\npacking = \"documents\"\n";
  Experiment e = build_experiment(Section::parse(data + kModel));
  const Tokenizer& tokenizer = *e.task->tokenizer();
  const int end = tokenizer.end_id();
  CHECK(tokenizer.token(end) == "<|endoftext|>");  // added, since documents need it
  auto ids = [&](const std::string& text) {        // "." is the end
    std::vector<int> result;
    for (char c : text) result.push_back(c == '.' ? end : c == '-' ? -100 : tokenizer.id(std::string(1, c)));
    return result;
  };
  CHECK(e.task->examples(Split::train) == 4);  // abc.d.efghi.jk.lmnopqrstu.v.w.xyz. has 34 tokens
  Batch batch;
  const int all[] = {0, 1, 2, 3};
  e.task->collate(Split::train, all, 4, nullptr, batch);
  const char* const expected[][2] = {
      {"abc.d.ef", "bc.-.-fg"}, {"ghi.jk.l", "hi.-k.-m"}, {"mnopqrst", "nopqrstu"}, {"u.v.w.xy", ".-.-.-yz"}};
  const std::vector<int> starts[] = {
      {0, 0, 0, 0, 4, 4, 6, 6}, {0, 0, 0, 0, 4, 4, 4, 7}, {0, 0, 0, 0, 0, 0, 0, 0}, {0, 0, 2, 2, 4, 4, 6, 6}};
  for (Index b = 0; b < 4; b++) {
    CHECK(row(batch, "ids", b) == ids(expected[b][0]));
    CHECK(row(batch, "targets", b) == ids(expected[b][1]));
    CHECK(row(batch, "starts", b) == starts[b]);
  }
  const Tensor own = e.model->forward(batch).value();
  batch.set("starts", Tensor::zeros({4, 8}, Dtype::i32));
  const Tensor mixed = e.model->forward(batch).value();
  double apart = 0;
  for (Index i = 0; i < own.size(); i++) apart = std::max(apart, std::abs(own.at(i) - mixed.at(i)));
  CHECK(apart > 1e-3);
  CHECK(e.task->symbolic_batch(3).at("starts").shape() == Shape{3, 8});
}

TEST_CASE("a model that reads documents apart answers as if the text began with its last document") {
  TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 20; i++) lines += "{\"text\": \"abcde\"}\n{\"text\": \"xyz\"}\n";
  write_file_atomic(folder / "text.jsonl", lines);
  const std::string train = "[data]\ntrain = \"" + (folder / "text.jsonl") + "\"\nval_fraction = 0\n";
  for (const bool apart : {true, false}) {
    CAPTURE(apart);
    const std::string packing =
        apart ? "packing = \"documents\"\n" : "[tokenizer]\nspecials = [\"<|endoftext|>\"]\n";
    const Experiment e = build_experiment(Section::parse(train + packing + kModel));
    const auto logits = [&](const std::string& text) {  // of what follows the last token
      const std::vector<ProbeText> probes = e.task->probe_texts({text});
      const Tensor all = e.model->forward(e.task->probe_batch(probes.data(), 1)).value();
      const std::vector<double> values = all.to_vector();
      return std::vector<double>(values.end() - all.dim(2), values.end());
    };
    const std::vector<double> alone = logits("ab"), after = logits("xyz<|endoftext|>ab");
    double difference = 0;
    for (std::size_t i = 0; i < alone.size(); i++)
      difference = std::max(difference, std::abs(alone[i] - after[i]));
    CHECK((difference < 1e-5) == apart);
    CHECK(e.task->document_end() == (apart ? e.task->tokenizer()->end_id() : -1));
    const auto continuation = [&](const std::string& text) {
      return e.task->predict(*e.model, text)["continuation"].get<std::string>();
    };
    if (apart) CHECK(continuation("xyz<|endoftext|>ab") == continuation("ab"));
  }
}

TEST_CASE("documents are those of the end token that the tokenizer has, in plain text too") {
  std::string text;
  for (int i = 0; i < 30; i++) text += "ab<eos>";
  Text documents(
      text,
      "val_fraction = 0.2\npacking = \"documents\"\n[tokenizer]\ntype = \"char\"\nspecials = [\"<eos>\"]\n");
  CHECK(documents.task().examples(Split::val) == 3);  // 18 of 120 tokens
  Batch batch;
  const int first = 0;
  documents.task().collate(Split::val, &first, 1, nullptr, batch);
  CHECK(documents.task().tokenizer()->id("<|endoftext|>") == -1);
  CHECK(row(batch, "starts", 0) == std::vector<int>{0, 0, 0, 3, 3, 3, 6, 6});
  Training training = prepare_training(documents.experiment);
  for (int i = 0; i < 20; i++) training.step();
  // Only "b" after "a" and the end after "b" are asked for: nothing is left to chance.
  CHECK(evaluate(documents.task(), *documents.experiment.model, Split::val, 8).value("loss") < 0.2);
}

TEST_CASE("texts are mixed for training and stay apart for validation") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.txt", std::string(4000, 'a'));
  write_file_atomic(folder / "b.txt", std::string(400, 'b'));
  const std::string mix = "[data]\nmix = [\"" + (folder / "a.txt") + "\", \"" + (folder / "b.txt") + "\"]\n";
  Experiment e = build_experiment(Section::parse(mix + "weights = [1, 3.0]\nval_fraction = 0.25\n" + kModel));
  const int a = e.task->tokenizer()->id("a"), b = e.task->tokenizer()->id("b");
  auto count = [&](Split split) {
    std::map<int, int> counts;
    Batch batch;
    for (int i = 0; i < e.task->examples(split); i++) {
      const Stream noise(1, "noise", i);
      e.task->collate(split, &i, 1, split == Split::train ? &noise : nullptr, batch);
      const std::vector<int> ids = row(batch, "ids", 0);
      for (std::size_t t = 1; t < 8; t++)
        if (row(batch, "targets", 0)[t] != -100) CHECK(ids[t] == ids[0]);
      counts[ids[0]]++;
    }
    return counts;
  };
  // 2999 / 8 + 299 / 8 windows
  CHECK(count(Split::train) == std::map<int, int>{{a, 103}, {b, 308}});
  CHECK(count(Split::val) == std::map<int, int>{{a, 125}, {b, 13}});  // 1000 and 100 characters
  std::map<std::string, double> facts;
  for (auto& [name, value] : e.task->facts()) facts[name] = value;
  CHECK(facts.at("train_tokens") == 3300);
  CHECK(facts.at("passes_of_mix_0") == doctest::Approx(103 * 8 / 3000.0));
  CHECK(facts.at("passes_of_mix_1") == doctest::Approx(308 * 8 / 300.0));
  // A later layer's text takes the place of the mixture.
  const Section one = Section::parse(mix + "weights = [1, 3.0]\n" + kModel, "config.toml",
                                     {"data.train=\"" + (folder / "b.txt") + "\""});
  CHECK(build_experiment(one).task->shape().vocab_size == 3);
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
  CHECK(error_of(with("short.txt", "mix = [\"a\"]\nweights = [1.0]\n"), Fault::usage)
            .find("data.mix must be left out where train names a text") != std::string::npos);
  CHECK(error_of("[data]\nmix = [\"a\", \"b\"]\nweights = [1.0]\n" + kModel, Fault::usage)
            .find("data.weights must have one number for each text of mix, 2; got 1") != std::string::npos);
  CHECK(error_of("[data]\nmix = [\"a\"]\nweights = [0.0]\n" + kModel, Fault::usage)
            .find("data.weights[0] must be positive; got 0") != std::string::npos);
  write_file_atomic(folder / "long.txt", std::string(200, 'a'));
  CHECK(error_of(with("long.txt", "packing = \"documents\"\n"), Fault::data)
            .find("must hold documents with data.packing = \"documents\"; got none") != std::string::npos);
  CHECK(error_of("[data]\nsource = \"synthetic\"\npacking = \"documents\"\n" + kModel, Fault::usage)
            .find("data.packing \"documents\" needs a text") != std::string::npos);
  CHECK(error_of("[data]\ntrain = \"a.txt\"\npacking = \"documents\"\n[task]\ntype = \"language-model\"\n"
                 "[model]\ntype = \"lstm\"\n",
                 Fault::usage)
            .find("data.packing \"documents\" needs a text and model.type = \"decoder-lm\"; got model "
                  "\"lstm\"") != std::string::npos);
}
