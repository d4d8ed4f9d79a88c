#include "task/translation.h"

#include <doctest/doctest.h>

#include "base/at.h"
#include "qkv/base/json.h"
#include "qkv/base/threads.h"
#include "qkv/train/experiment.h"
#include "train/small_run.h"

using namespace qkv;
using namespace qkv::test;

namespace {

// Pairs whose target is the source in other words, and configs, in a folder of their own.
struct TextFiles {
  TextFiles() {
    write_file_atomic(folder / "train.tsv",
                      "eins zwei\tone two\nzwei\ttwo\ndrei eins zwei\tthree one two\neins\tone\n");
    write_file_atomic(folder / "val.tsv", "zwei eins\ttwo one\nvier\tfour\n");
    write_file_atomic(folder / "bad.tsv", "eins\tone\nzwei two\n");
  }
  std::string config(const std::string& data, const std::string& rest = "") const {
    const std::string path = folder / "c.toml";
    write_file_atomic(path,
                      "schema = 1\n[run]\nshards = 2\n[data]\n" + data +
                          "batch_size = 4\n[model]\ntype = \"encoder-decoder\"\nn_layer = 1\nd_model = 16\n"
                          "max_seq_len = 12\ndropout = 0.1\n[model.ffn]\nd_ff = 16\n[train]\nmax_steps = 6\n"
                          "[eval]\nevery = 3\n[log]\nevery = 1\n" +
                          (rest.empty() ? "[task]\ntype = \"translation\"\n" : rest));
    return path;
  }
  TemporaryFolder folder;
};

const char* const kPairs = "train = \"train.tsv\"\nval = \"val.tsv\"\n";
const char* const kReverse =
    "source = \"reverse\"\nvocab_size = 8\nmax_length = 5\nexamples = 40\neval_examples = 6\n";

std::vector<int> ints(const Tensor& t) {
  return {t.data<std::int32_t>(), t.data<std::int32_t>() + t.size()};
}

}  // namespace

TEST_CASE("batches: sources end with <eos>, targets are shifted by <bos>, padding has no loss") {
  const TextFiles files;
  Session s(files.config(kPairs));
  Task& task = *s.experiment.task;
  CHECK(task.examples(Split::train) == 4);
  CHECK(task.examples(Split::val) == 2);
  CHECK(task.examples(Split::test) == 0);
  CHECK(task.length(Split::train, 2) == 4);
  Batch batch;
  const int indices[] = {1, 0};
  task.collate(Split::train, indices, 2, nullptr, batch);
  const Tokenizer& target = *task.tokenizer();
  const int one = target.id_of("one"), two = target.id_of("two"), bos = target.id("<bos>"),
            eos = target.id("<eos>");
  CHECK(batch.at("source_ids").shape() == Shape{2, 3});
  CHECK(ints(batch.at("source_keep")) == std::vector<int>{1, 1, 0, 1, 1, 1});
  CHECK(ints(batch.at("ids")) == std::vector<int>{bos, two, 0, bos, one, two});
  CHECK(ints(batch.at("targets")) == std::vector<int>{two, eos, -100, one, two, eos});
  CHECK(task.tokens(batch) == 10);
}

TEST_CASE(
    "synthetic pairs are generated when a batch needs them, with the lengths that were reported before") {
  const TextFiles files;
  Session s(files.config(kReverse));
  Task& task = *s.experiment.task;
  for (Split split : {Split::train, Split::val}) {
    const int n = static_cast<int>(task.examples(split));
    CHECK(n == (split == Split::train ? 40 : 6));
    for (int i = 0; i < n; i++) {
      const Index length = task.length(split, i);
      Batch batch;
      task.collate(split, &i, 1, nullptr, batch);
      CHECK(batch.at("source_ids").shape() == Shape{1, length});
      CHECK(batch.at("targets").shape() == Shape{1, length});
    }
  }
}

TEST_CASE("vocabularies are separate unless they are shared, and unknown words are reported") {
  const TextFiles files;
  Session separate(files.config(kPairs));
  const DataShape shape = separate.experiment.task->shape();
  CHECK(shape.vocab_size == 7);         // four special ones, one two three
  CHECK(shape.source_vocab_size == 7);  // and eins zwei drei
  Session shared(files.config(kPairs), {"tokenizer.shared=true", "model.share_embeddings=true"});
  CHECK(shared.experiment.task->shape().vocab_size == 10);
  CHECK(shared.experiment.task->shape().source_vocab_size == 0);
  double unknown = 0;
  for (auto& [name, value] : separate.experiment.task->facts())
    if (name == "unknown_source_words_val") unknown = value;
  CHECK(unknown == doctest::Approx(1.0 / 3));
}

TEST_CASE("an evaluation scores generated texts; samples limit how many, never the loss") {
  const TextFiles files;
  for (const char* type : {"translation", "summarization"}) {
    Session s(files.config(kReverse, std::string("[task]\nbeam = 2\ntype = \"") + type + "\"\n"));
    Task& task = *s.experiment.task;
    const Metrics all = evaluate(task, *s.experiment.model, Split::val, 4);
    const Metrics some = evaluate(task, *s.experiment.model, Split::val, 4, 2);
    CHECK(all.texts.texts() == 6);
    CHECK(some.texts.texts() == 2);
    CHECK(all.value("loss") == some.value("loss"));
    for (const std::string& name : task.metrics()) CHECK(all.value(name) >= 0);
    CHECK(all.json().contains("bleu_signature") == (std::string(type) == "translation"));
  }
}

TEST_CASE("resumed training, batches by tokens and other numbers of threads give the same bits") {
  const TextFiles files;
  const std::string config = files.config(kReverse);
  for (const std::vector<std::string>& sets :
       {std::vector<std::string>{},
        std::vector<std::string>{"data.batch_by=\"tokens\"", "data.batch_size=24"}}) {
    const std::string a = files.folder / fmt::format("a{}", sets.size()),
                      b = files.folder / fmt::format("b{}", sets.size());
    Session whole(config, sets);
    set_threads(1);
    whole.train(a);
    train_and_kill(config, sets, b, 5);
    set_threads(3);
    Session again(config, sets);
    again.train(b, true);
    set_threads(0);
    check_equal_runs(a, b);
  }
}

TEST_CASE("a trained model answers from its run directory alone, with the vocabularies of both sides") {
  const TextFiles files;
  const std::string run = files.folder / "run";
  Session s(files.config(kPairs));
  s.train(run);
  const Json expected = s.experiment.task->predict(*s.experiment.model, "zwei eins nie");
  CHECK(expected.at("unknown_words") == 1);
  CHECK(expected.contains("translation"));
  const Experiment loaded = load_experiment(run, "last", {"task.beam=3"});
  const Json answer = loaded.task->predict(*loaded.model, "zwei eins nie");
  CHECK(answer.at("candidates").size() <= 3);
  CHECK(answer.at("candidates").size() >= 1);
  const Experiment greedy = load_experiment(run, "last");
  CHECK(greedy.task->predict(*greedy.model, "zwei eins nie") == expected);
  CHECK(loaded.task->readable(answer) == answer.at("translation").get<std::string>() + "\n");
}

TEST_CASE(
    "an output never holds <unk>, but where it is kept, or stands for the source word that was looked at") {
  TemporaryFolder folder;
  // Names that occur once are unknown on both sides: a copy of one is a copy of <unk>.
  std::string pairs;
  for (int i = 0; i < 40; i++) pairs += fmt::format("hallo name{}\thello name{}\n", i, i);
  write_file_atomic(folder / "p.tsv", pairs);
  write_file_atomic(
      folder / "t.toml",
      "[task]\ntype = \"translation\"\n[data]\ntrain = \"p.tsv\"\nval = \"p.tsv\"\nbatch_size = 8\n"
      "[tokenizer]\nmin_freq = 2\n[model]\ntype = \"encoder-decoder\"\nn_layer = 1\nd_model = 32\n"
      "max_seq_len = 8\n[optimizer]\nlr = 1e-2\n[train]\nmax_steps = 60\n[eval]\nevery = 60\n");
  const std::string run = folder / "run";
  Session(folder / "t.toml").train(run);
  auto answer = [&](const std::string& unknown, int beam = 1) {
    const Experiment e =
        load_experiment(run, "last", {"task.unknown=\"" + unknown + "\"", fmt::format("task.beam={}", beam)});
    return e.task->predict(*e.model, "hallo name7").at("translation").get<std::string>();
  };
  CHECK(answer("keep") == "hello <unk>");
  CHECK(answer("source") == "hello name7");
  CHECK(answer("source", 3) == "hello name7");
  for (int beam : {1, 3}) CHECK(answer("never", beam).find("<unk>") == std::string::npos);
  Experiment e = load_experiment(run, "last", {"task.unknown=\"source\""});
  CHECK(evaluate(*e.task, *e.model, Split::val, 8).value("exact_match") == 1);
}

TEST_CASE("words that the vocabulary lacks are copied, from a place that batches name") {
  TemporaryFolder folder;
  // Names occur once: those of the validation are new.
  std::string train, val;
  const char* const towns[] = {"ulm", "bonn", "kiel", "hof"};
  for (int i = 0; i < 160; i++)
    (i < 140 ? train : val) +=
        fmt::format("in {} lives n{} now\tn{} of {}\n", towns[i % 4], i, i, towns[i % 4]);
  write_file_atomic(folder / "train.tsv", train);
  write_file_atomic(folder / "val.tsv", val);
  write_file_atomic(
      folder / "t.toml",
      "[task]\ntype = \"translation\"\n[data]\ntrain = \"train.tsv\"\nval = \"val.tsv\"\nbatch_size = 10\n"
      "[tokenizer]\nmin_freq = 2\nshared = true\n[model]\ntype = \"encoder-decoder\"\nn_layer = 1\nd_model = "
      "32\n"
      "max_seq_len = 8\ncopy = true\n[optimizer]\nlr = 1e-2\n[train]\nmax_steps = 120\n[eval]\nevery = "
      "120\n");
  for (const char* shared : {"true", "false"}) {
    Session s(folder / "t.toml", {std::string("tokenizer.shared=") + shared});
    Task& task = *s.experiment.task;
    const Tokenizer& target = *task.tokenizer();
    const int V = target.vocab_size(), unk = target.unk_id(), eos = target.id("<eos>");
    CHECK(task.shape().unknown_id == unk);
    Batch batch;
    const int first = 0;
    task.collate(Split::val, &first, 1, nullptr, batch);  // in ulm lives n140 now
    const auto id = [&](const char* word) {
      return target.id(word) < 0 ? -1 : target.id(word);
    };
    std::vector<int> copies{id("in"), id("ulm"), id("lives"), V + 3, id("now"), eos};
    for (int i : {0, 2, 4})
      if (at(copies, i) < 0) at(copies, i) = V + i;  // a vocabulary of its own has no word of the sources
    CHECK(ints(batch.at("copy_ids")) == copies);
    CHECK(ints(batch.at("targets")) == std::vector<int>{V + 3, id("of"), id("ulm"), eos});
    CHECK(ints(batch.at("ids")) == std::vector<int>{target.id("<bos>"), V + 3, id("of"), id("ulm")});
    CHECK(task.symbolic_batch(2).contains("copy_ids"));
    const std::string run = folder / (std::string("run-") + shared);
    s.train(run);
    for (const char* beam : {"task.beam=1", "task.beam=3"}) {
      const Experiment e = load_experiment(run, "last", {beam});
      CHECK(evaluate(*e.task, *e.model, Split::val, 8).value("exact_match") >= 0.95);
      CHECK(e.task->predict(*e.model, "in hof lives qwertz now").at("translation") == "qwertz of hof");
    }
  }
}

TEST_CASE("pieces of words are copied as they are, from one vocabulary") {
  const TextFiles files;
  const std::vector<std::string> bpe{"tokenizer.type=\"bpe\"", "tokenizer.vocab_size=280", "model.copy=true"};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), bpe.begin(), bpe.end());
    return more;
  };
  Session s(files.config(kPairs),
            with({"tokenizer.shared=true", "train.label_smoothing=0.1", "model.max_seq_len=24"}));
  CHECK(s.experiment.task->shape().unknown_id == -1);
  Batch batch;
  const int first = 0;
  s.experiment.task->collate(Split::train, &first, 1, nullptr, batch);
  CHECK(ints(batch.at("copy_ids")) == ints(batch.at("source_ids")));
  s.train(files.folder / "run");
  CHECK(s.experiment.task->predict(*s.experiment.model, "zwei eins").contains("translation"));
  CHECK(has(error_of(Fault::usage, [&] { Session(files.config(kPairs), with({})); }),
            "tokenizer.shared must be true with model.copy = true and subwords; got false"));
  CHECK(has(error_of(Fault::usage,
                     [&] {
                       Session(files.config(kPairs), {"model.copy=true", "train.label_smoothing=0.1"});
                     }),
            "train.label_smoothing must be 0 with model.copy = true and words"));
  CHECK(has(error_of(Fault::usage,
                     [&] {
                       Session(files.config(kPairs), {"model.copy=true", "train.z_loss=1e-4"});
                     }),
            "train.z_loss must be 0 with model.copy = true"));
}

TEST_CASE("pairs that are cut are counted, and a source that is cut says so") {
  const TextFiles files;
  Session s(files.config(kPairs), {"model.max_seq_len=3"});
  double cut = 0;
  for (auto& [name, value] : s.experiment.task->facts())
    if (name == "cut_pairs_train") cut = value;
  CHECK(cut == 1);
  const Json answer = s.experiment.task->predict(*s.experiment.model, "eins zwei drei vier eins");
  CHECK(answer.at("cut_tokens") == 3);
  CHECK(s.experiment.task->predict(*s.experiment.model, "eins").at("cut_tokens") == 0);
  CHECK(has(error_of(Fault::usage, [&] { s.experiment.task->predict(*s.experiment.model, " "); }),
            "text: must hold a token; got ' '"));
}

TEST_CASE("broken pairs and configs give one message each") {
  const TextFiles files;
  auto error = [&](Fault fault, const std::string& data) {
    return error_of(fault, [&] { Session s(files.config(data)); });
  };
  CHECK(has(error(Fault::data, "train = \"bad.tsv\"\n"),
            "bad.tsv:2: a line must be source<TAB>target; got 0 tabs"));
  CHECK(has(error(Fault::usage, "train_source = \"train.tsv\"\n"), "data.train_target"));
  CHECK(has(error(Fault::usage, "val = \"val.tsv\"\n"), "must name the training pairs"));
  CHECK(has(error(Fault::usage, "train = \"train.tsv\"\ntrain_source = \"a\"\ntrain_target = \"b\"\n"),
            "must not be given beside train_source"));
  CHECK(has(error(Fault::usage, "source = \"reverse\"\nmax_length = 12\n"),
            "must be less than model.max_seq_len = 12"));
  CHECK(has(error(Fault::usage, "source = \"reverse\"\nmin_length = 8\nmax_length = 5\n"),
            "must be at most max_length = 5"));
}
