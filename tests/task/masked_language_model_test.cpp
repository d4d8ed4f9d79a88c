#include <doctest/doctest.h>

#include <map>
#include <set>

#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/task/task.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// A text where each word follows from both of its neighbours, and a config.
struct MaskedText {
  MaskedText() {
    std::string text;
    for (int i = 0; i < 400; i++) text += i % 2 ? "red rose blooms . " : "blue sea waves . ";
    write_file_atomic(folder / "text.txt", text);
  }
  std::string config(const std::string& more = "", const std::string& data = "", int length = 18) const {
    const std::string path = folder / "c.toml";
    write_file_atomic(
        path, fmt::format("[run]\nshards = 2\nseed = 3\n[data]\ntrain = \"text.txt\"\nbatch_size = 8\n{}"
                          "[task]\ntype = \"masked-language-model\"\n[tokenizer]\ntype = \"wordpiece\"\n"
                          "vocab_size = 60\n[model]\ntype = \"encoder-lm\"\nd_model = 16\nmax_seq_len = {}\n"
                          "dropout = 0.1\nattention.n_head = 2\nffn.d_ff = 32\nembed_norm = true\n"
                          "norm.place = \"post\"\n[train]\nmax_steps = 12\n[eval]\nevery = 4\n[checkpoint]\n"
                          "keep_last = 100\n[log]\nevery = 1\n[optimizer]\nlr = 1e-2\n{}",
                          data, length, more));
    return path;
  }
  TemporaryFolder folder;
};

std::vector<int> row_of(const Tensor& t) {
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

}  // namespace

TEST_CASE("of 15 % of the tokens, 80 % are hidden, 10 % replaced and 10 % kept; [CLS] and [SEP] never") {
  MaskedText text;
  Session session(text.config("", "", 42));
  Task& task = *session.experiment.task;
  const Tokenizer& tokenizer = *task.tokenizer();
  const int cls = tokenizer.id("[CLS]"), sep = tokenizer.id("[SEP]"), mask = tokenizer.id("[MASK]");
  std::map<int, int> count;
  const Index n = task.examples(Split::train);
  REQUIRE(n >= 16);
  for (std::uint64_t epoch = 0; epoch < 40; epoch++) {
    const Stream noise(1, "noise", epoch);
    Batch batch;
    const std::vector<int> sixteen = permutation(16, Stream(epoch, "order"));
    task.collate(Split::train, sixteen.data(), 16, &noise, batch);
    const std::vector<int> shown = row_of(batch.at("ids")), masked = row_of(batch.at("masked")),
                           targets = row_of(batch.at("targets"));
    REQUIRE(batch.at("ids").shape() == Shape{16, 42});
    REQUIRE(masked.size() == 16 * 6);  // round(0.15 * 40)
    CHECK(std::set<int>(masked.begin(), masked.end()).size() == masked.size());
    for (int b = 0; b < 16; b++) {
      CHECK(shown[std::size_t(b * 42)] == cls);
      CHECK(shown[std::size_t(b * 42 + 41)] == sep);
    }
    for (std::size_t i = 0; i < masked.size(); i++) {
      const int seen = shown[std::size_t(masked[i])];
      CHECK_FALSE(tokenizer.vocab().is_special(targets[i]));
      CHECK((seen == mask || !tokenizer.vocab().is_special(seen)));
      count[seen == mask ? 0 : seen == targets[i] ? 1 : 2]++;
    }
    CHECK(std::count(shown.begin(), shown.end(), mask) < Index(masked.size()));
  }
  const double all = 40 * 16 * 6, ordinary = tokenizer.vocab_size() - tokenizer.vocab().n_specials();
  CHECK(count[0] / all == doctest::Approx(0.8).epsilon(0.03));
  CHECK(count[1] / all == doctest::Approx(0.1 + 0.1 / ordinary).epsilon(0.15));
  CHECK(count[2] / all == doctest::Approx(0.1 - 0.1 / ordinary).epsilon(0.15));
}

TEST_CASE("every epoch has other masks, an evaluation always the same, and every batch its own text") {
  MaskedText text;
  Session session(text.config());
  Task& task = *session.experiment.task;
  auto batch_of = [&](Split split, const Stream* noise, std::vector<int> indices = {0, 1, 2, 3}) {
    task.examples(split);
    Batch batch;
    task.collate(split, indices.data(), Index(indices.size()), noise, batch);
    return batch;
  };
  const Stream first(1, "noise", 0, 0), second(1, "noise", 1, 0);
  CHECK(row_of(batch_of(Split::train, &first).at("masked")) ==
        row_of(batch_of(Split::train, &first).at("masked")));
  CHECK(row_of(batch_of(Split::train, &first).at("masked")) !=
        row_of(batch_of(Split::train, &second).at("masked")));
  const Batch whole = batch_of(Split::val, nullptr), alone = batch_of(Split::val, nullptr, {2});
  const Index M = alone.at("masked").size(), T = alone.at("ids").dim(1);
  for (Index i = 0; i < M; i++) {  // the mask of an example does not depend on what it shares a batch with
    CHECK(whole.at("masked").at(2 * M + i) - double(2 * T) == alone.at("masked").at(i));
    CHECK(whole.at("targets").at(2 * M + i) == alone.at("targets").at(i));
  }
  // Every token is at its place: what is masked, put back, gives the text.
  std::vector<int> ids = row_of(whole.at("ids"));
  for (Index i = 0; i < whole.at("masked").size(); i++)
    ids[std::size_t(whole.at("masked").at(i))] = int(whole.at("targets").at(i));
  for (Index b = 0; b < 4; b++) {
    const std::string line = task.tokenizer()->decode({ids.begin() + b * T, ids.begin() + (b + 1) * T});
    CHECK((has(line, "red rose blooms .") || has(line, "blue sea waves .")));
  }
}

TEST_CASE("the last window of an evaluation is short: its padding is neither read nor asked for") {
  MaskedText text;
  Session session(text.config("", "val_fraction = 0.3\n", 30));
  Task& task = *session.experiment.task;
  const int last = int(task.examples(Split::val)) - 1;
  Batch batch;
  const std::vector<int> two{0, last};
  task.collate(Split::val, two.data(), 2, nullptr, batch);
  const std::vector<int> keep = row_of(batch.at("keep"));
  const Index T = batch.at("ids").dim(1);
  const Index real = std::count(keep.begin() + T, keep.end(), 1);
  REQUIRE(real < T);
  CHECK(task.tokens(batch) == T + real);
  CHECK(batch.at("ids").at(T + real - 1) == task.tokenizer()->id("[SEP]"));
  for (int place : row_of(batch.at("masked"))) CHECK(keep[std::size_t(place)] == 1);
}

TEST_CASE("a masked language model learns, and predict fills [MASK] from both sides") {
  MaskedText text;
  Session trained(text.config(), {"train.max_steps=400", "eval.every=400", "model.dropout=0"});
  trained.train(text.folder / "run");
  const Task& task = *trained.experiment.task;
  const Json one = task.predict(*trained.experiment.model, "[MASK] rose blooms . blue [MASK] waves .");
  CHECK(one.at("masks").at(0).at("tokens").at(0).at("token") == "red");
  CHECK(one.at("masks").at(1).at("tokens").at(0).at("token") == "sea");
  CHECK(one.at("masks").at(0).at("tokens").at(0).at("probability") > 0.8);
  CHECK(one.at("masks").at(0).at("tokens").size() == 5);
  CHECK(has(one.at("filled").get<std::string>(), "red rose blooms . blue sea waves ."));
  CHECK(one.at("cut_tokens") == 0);
  CHECK(has(task.readable(one), "red 0."));
  CHECK(has(error_of(Fault::data, [&] { task.predict(*trained.experiment.model, "red rose"); }),
            "text: must hold [MASK]"));
  const auto records = read_file(text.folder / "run/metrics.jsonl");
  for (const char* key : {"\"perplexity\":", "\"accuracy\":"}) CHECK(has(records, key));
}

TEST_CASE(
    "a masked language model that was killed and resumed, with other threads, is the same bit for bit") {
  MaskedText text;
  const std::string config = text.config(), whole = text.folder / "whole", run = text.folder / "run";
  Session(config).train(whole);
  set_threads(1);
  train_and_kill(config, {}, run, 7);
  set_threads(3);
  Session again(config);
  again.train(run, true);
  set_threads(0);
  check_equal_runs(whole, run);
}

TEST_CASE("an encoder pre-trained so is a classifier's start: heads stay with their tasks, and are named") {
  MaskedText text;
  Session(text.config()).train(text.folder / "run");
  const std::string words = find_checkpoint(text.folder / "run", "best") + "/tokenizer.json";
  std::string lines;
  for (int i = 0; i < 20; i++) lines += i % 2 ? "plant\tred rose blooms .\n" : "water\tblue sea waves .\n";
  write_file_atomic(text.folder / "lines.tsv", lines);
  const std::string path = text.folder / "tune.toml";
  write_file_atomic(path,
                    "[data]\ntrain = \"lines.tsv\"\nbatch_size = 8\n[task]\ntype = \"text-classification\"\n"
                    "[tokenizer]\ntype = \"file\"\nfile = \"" +
                        words +
                        "\"\n"
                        "[model]\nd_model = 16\nmax_seq_len = 18\nattention.n_head = 2\nffn.d_ff = 32\n"
                        "embed_norm = true\nnorm.place = \"post\"\npooler = \"tanh\"\n"
                        "[train]\nmax_steps = 20\ninit_from = \"run\"\n");
  Session tuned(path);
  const std::string line = warm_start(tuned.training);
  CHECK(has(line, "missing: 4 (head.weight, head.bias, pooler.weight, pooler.bias)"));
  CHECK(has(line, "unused: 5 (mlm."));
  CHECK(has(line, "20 of 24 tensors loaded"));
}

TEST_CASE("any model that answers for every token can be asked for the masked ones") {
  MaskedText text;
  Session lstm(text.config(), {"model.type=\"lstm\"", "model.bidirectional=true", "model.d_model=8"});
  CHECK(lstm.train(text.folder / "run").step == 12);
}

TEST_CASE("texts and configs that a masked language model cannot have are refused with their place") {
  MaskedText text;
  auto problem = [&](const std::vector<std::string>& sets) {
    return error_of(Fault::usage, [&] { Session session(text.config(), sets); });
  };
  CHECK(has(problem({"data.length=17"}),
            "data.length must be at most model.max_seq_len - 2 ([CLS] and [SEP]) = 16; got 17"));
  CHECK(has(problem({"model.max_seq_len=2"}), "needs model.max_seq_len of at least 3"));
  CHECK(has(problem({"data.source=\"synthetic\""}), "data.source must be \"text\""));
  CHECK(has(problem({"task.mask_prob=0"}), "task.mask_prob must be between 0.001 and 1; got 0"));
  CHECK(has(problem({"model.type=\"encoder-classifier\""}), "does not fit"));
}
