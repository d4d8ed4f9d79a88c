#include "train/check.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/machine.h"
#include "count.h"
#include "has.h"
#include "paths.h"
#include "qkv/base/text.h"
#include "qkv/nn/layer.h"
#include "qkv/ops/shape_ops.h"
#include "tensor/gemm.h"
#include "tensor/pool.h"
#include "wsd_config.h"

using namespace qkv;
using test::has;
namespace fs = std::filesystem;

namespace {

// Says that it gives half the width, and does not.
struct Liar : Layer {
  Liar(const Scope&, const Section&, Index width) : width(width) {}
  Var forward(const Var& x, const Context&) const override { return x; }
  Index out_width() const override { return width / 2; }
  Index width;
};
QKV_REGISTER(Layer, "test-liar", Liar, "gives another width than it says");

// Drops every other token, and leaves the padding mask as it was.
struct Shortener : Layer {
  Shortener(const Scope&, const Section&, Index width) : width(width) {}
  Var forward(const Var& x, const Context&) const override { return slice(x, 1, 0, x.dim(1) / 2); }
  Index out_width() const override { return width; }
  Index width;
};
QKV_REGISTER(Layer, "test-shortener", Shortener, "halves the length");

struct CheckCase {
  const char* name;
  const char* config;   // from line 10, behind [data] and the head of [model]
  const char* problem;  // the only one; * stands for the names of a registry
};

const char* const kModel = R"(
[model]
max_seq_len = 16
d_model = 32
)";

// Problems of a config, without the folder in front of the file names.
std::vector<std::string> problems_of(const test::WsdConfig& folder, const std::string& text,
                                     const std::string& data = "") {
  const CheckReport report =
      check_config(Section::load(folder.write(text + "\n[train]\nmax_steps = 10\n", data)));
  std::vector<std::string> problems = report.problems;
  for (const std::string& problem : report.data_problems) problems.push_back(problem);
  for (std::string& problem : problems)
    for (std::size_t at; (at = problem.find(folder.path + "/")) != std::string::npos;)
      problem.erase(at, folder.path.size() + 1);
  return problems;
}

}  // namespace

TEST_CASE("check says what the data is like: classes, lengths, cut, repeated and misspelt") {
  const TemporaryFolder folder;
  std::string train;
  for (int i = 0; i < 6; i++)
    train += fmt::format("money\tteller {0} at the [bank] .\nriver\tfish {0} at the [bank] .\n", i);
  train +=
      "monye\tcash at the [bank] .\nMoney\tcash in the [bank] .\ncaf\u00e9\ta [bank] .\ncafe\u0301\tthe "
      "[bank] !\n";
  train += "river\tteller 1 at the [bank] .\n" + ("river\t" + std::string(24, 'x')) + "\n";
  const std::size_t last = train.rfind(std::string(24, 'x'));
  train.replace(last, 24, "a b c d e f g h i j k l m n o p q r s t the [bank] .");
  write_file_atomic(folder / "train.tsv", train);
  write_file_atomic(folder / "val.tsv", "river\tfish 1 at the [bank] .\nmoney\tteller 9 at the [bank] .\n");
  write_file_atomic(folder / "c.toml",
                    "data.train = \"train.tsv\"\ndata.val = \"val.tsv\"\nmodel.max_seq_len = 16\n"
                    "train.max_steps = 1\n");
  const CheckReport report = check_config(Section::load(folder / "c.toml"), true);
  REQUIRE(report.ok());
  const std::vector<std::string> lines = report.data.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] ==
        "train: 18 sentences, 6 labels (river 8, money 6, Money 1, cafe\u0301 1, caf\u00e9 1, monye 1), "
        "longest 23 "
        "(train.tsv:18), 1 cut (first: train.tsv:18)");
  CHECK(lines[1] == "val: 2 sentences, 2 labels (money 1, river 1), longest 6 (val.tsv:1)");
  const std::vector<std::string> expected = {
      "data: 1 of 18 sentences of train is also earlier in train (first: train.tsv:3 and train.tsv:17)",
      "data: 1 of 18 sentences of train was seen before with another label (first: train.tsv:3 and "
      "train.tsv:17: "
      "'money' and 'river')",
      "data: 1 of 2 sentences of val is also in train (first: train.tsv:4 and val.tsv:1)",
      "data: labels 'Money' and 'money' differ only in case",
      "data: labels 'cafe\u0301' and 'caf\u00e9' differ only in their Unicode normal form (NFC, NFD)",
      "data: label 'monye' occurs once in train, and 'money' 6 times: is it misspelt?",
      "data: 3 labels occur once in train: 'Money', 'cafe\u0301', 'caf\u00e9'"};
  std::vector<std::string> warnings = report.data.warnings();
  CHECK(std::set<std::string>(warnings.begin(), warnings.end()) ==
        std::set<std::string>(expected.begin(), expected.end()));
  // Pairs and texts, too; training does not look.
  write_file_atomic(folder / "pairs.tsv", "a b\tx y\nc\tz\na b\tx y\n");
  write_file_atomic(folder / "p.toml",
                    "task.type = \"translation\"\nmodel.type = \"encoder-decoder\"\ndata.train = "
                    "\"pairs.tsv\"\ndata.val = \"pairs.tsv\"\ntrain.max_steps = 1\n");
  const CheckReport pairs = check_config(Section::load(folder / "p.toml"), true);
  REQUIRE(pairs.ok());
  CHECK(pairs.data.warnings().size() == 2);
  CHECK(check_config(Section::load(folder / "p.toml")).data.empty());
}

TEST_CASE("check reports all bad lines of all data files, up to a number") {
  const TemporaryFolder folder;
  write_file_atomic(folder / "train.tsv",
                    "money no tab\nriver\tno target\nmoney\tthe [bank] .\nriver\t\xff [bank]\n");
  write_file_atomic(folder / "c.toml", "data.train = \"train.tsv\"\ntrain.max_steps = 1\n");
  CHECK(check_config(Section::load(folder / "c.toml")).data_problems.size() == 3);
  write_file_atomic(folder / "train.tsv", "money\ta [bank]\nriver\tthe [bank]\n");
  write_file_atomic(folder / "val.tsv", "mony\ta [bank]\nmoney\tx\nmoney\ta [bank]\n");
  const auto problems =
      check_config(Section::load(folder / "c.toml", {"data.val=" + (folder / "val.tsv")})).data_problems;
  REQUIRE(problems.size() == 2);
  CHECK(has(problems[0], "val.tsv:1: label must be known; got 'mony' (did you mean 'money'?)"));
  CHECK(has(problems[1], "val.tsv:2: a sentence must have one [target]"));
  std::string many;
  for (int i = 0; i < 1000; i++) many += "bad\n";
  write_file_atomic(folder / "train.tsv", many);
  CHECK(check_config(Section::load(folder / "c.toml")).data_problems.size() == 21);
  many.clear();
  for (int i = 0; i < 3000; i++) many += fmt::format("l{}\tthe [bank{}]\n", i, i);
  write_file_atomic(folder / "train.tsv", many);
  const auto labels = check_config(Section::load(folder / "c.toml")).data_problems;
  REQUIRE(labels.size() == 1);
  CHECK(has(labels[0], "must have at most 2000 labels; got 3000"));
}

TEST_CASE("one wrong key makes no other one wrong") {
  const std::string bank = source_dir() + "/configs/bank.toml";
  for (const char* wrong :
       {"run.threads=-1", "run.name=\"../x\"", "tokenizer.min_freq=-3", "task.type=\"wsdd\""}) {
    CAPTURE(wrong);
    const std::vector<std::string> problems = check_config(Section::load(bank, {wrong})).problems;
    CAPTURE(join(problems, "; "));
    CHECK(problems.size() == 1);
  }
}

TEST_CASE("each broken model config gives one message, which says where and what to do") {
  const CheckCase cases[] = {
      {"heads do not divide the width", "attention.n_head = 5",
       "config.toml:10:20: model.attention.n_head must divide d_model = 32; got 5 (try 4 or 8)"},
      {"more heads than columns", "attention.n_head = 64",
       "config.toml:10:20: model.attention.n_head must divide d_model = 32; got 64 (try 32)"},
      {"no heads", "attention.n_head = 0",
       "config.toml:10:20: model.attention.n_head must be positive; got 0"},
      {"key/value heads do not divide the heads", "attention.n_head = 4\nattention.n_kv_head = 3",
       "config.toml:11:23: model.attention.n_kv_head must divide n_head = 4; got 3 (try 2)"},
      {"heads times width of parameter-free attention",
       "attention.qkv = \"identity\"\nattention.n_head = 4\nattention.d_head = 7",
       "config.toml:12:20: model.attention.d_head times n_head must be d_model = 32 with qkv = \"identity\"; "
       "got 7 x 4 (leave d_head out)"},
      {"grouped heads of parameter-free attention",
       "attention.qkv = \"identity\"\nattention.n_head = 4\nattention.n_kv_head = 2",
       "config.toml:12:23: model.attention.n_kv_head must be n_head = 4 with qkv = \"identity\"; got 2"},
      {"name of the scale", "attention.scale = \"sqrt_dk\"",
       "config.toml:10:19: model.attention.scale must be one of \"sqrt_d_k\", \"none\"; got \"sqrt_dk\" (did "
       "you mean 'sqrt_d_k'?)"},
      {"name of another toolkit", "attention.num_heads = 4",
       "config.toml:10:11: unknown key 'model.attention.num_heads' (`num_heads` is called `n_head`)"},
      {"one-hot words of another width", "embedding = \"one-hot\"",
       "config.toml:9:11: model.d_model must be the vocabulary size 10 (or 0) with embedding = \"one-hot\"; "
       "got 32"},
      {"n-grams that the data has not", "embedding = \"word+ngrams\"",
       "config.toml:10:13: model.embedding must not be \"word+ngrams\" without n-grams in the data; got "
       "data.ngram_buckets = 0 (try 20000)"},
      {"unknown embedding", "embedding = \"onehot\"",
       "config.toml:10:13: model.embedding must be one of \"learned\", \"one-hot\", \"word+ngrams\"; got "
       "\"onehot\" (did you mean 'one-hot'?)"},
      {"unknown readout", "readout = \"maen\"",
       "config.toml:10:11: model.readout must be one of \"target\", \"mean\", \"target+mean\"; got \"maen\" "
       "(did you mean 'mean'?)"},
      {"unknown position", "position.type = \"rotary\"",
       "config.toml:10:17: model.position.type must be one of \"learned\", \"sinusoidal\", \"rope\", "
       "\"alibi\", \"none\", \"t5\", \"shaw\"; got "
       "\"rotary\""},
      {"a pattern without a window", "attention.window_pattern = \"SL\"",
       "config.toml:10:28: model.attention.window_pattern needs model.attention.window; got 'SL' without"},
      {"an odd part of a head",
       "position.type = \"rope\"\nposition.rotary_fraction = 0.2\nposition.origin = \"start\"",
       "config.toml:11:28: model.position.rotary_fraction times the width 16 of a head must be even and at "
       "least 2; "
       "got 3"},
      {"buckets without t5", "position.buckets = 8",
       "config.toml:10:20: model.position.buckets must be left out unless type = \"t5\"; got type "
       "\"learned\""},
      {"odd buckets", "position.type = \"t5\"\nposition.buckets = 7\nposition.origin = \"start\"",
       "config.toml:11:20: model.position.buckets must be even; got 7"},
      {"less distance than buckets", "position = {type = \"t5\", max_distance = 16, origin = \"start\"}",
       "config.toml:10:41: model.position.max_distance must be more than half of buckets = 32; got 16"},
      {"shaw without queries",
       "attention.qkv = \"identity\"\nposition = {type = \"shaw\", origin = \"start\"}",
       "config.toml:11:20: model.position.type \"shaw\" needs model.attention.qkv = \"learned\"; got "
       "\"identity\""},
      {"shaw with listed layers",
       "position = {type = \"shaw\", origin = \"start\"}\n[[model.layers]]\ntype = \"block\"",
       "config.toml:10:20: model.position.type needs n_layer blocks with model.attention.type = "
       "\"attention\", which "
       "learn it; got other layers"},
      {"unknown activation", "ffn.activation = \"gleu\"",
       "config.toml:10:18: model.ffn.activation must be one of \"gelu\", \"gelu-erf\", \"relu\", \"relu2\", "
       "\"silu\", \"swiglu\"; got "
       "\"gleu\" (did you mean 'gelu'?)"},
      {"negative width", "ffn.d_ff = -1", "config.toml:10:12: model.ffn.d_ff must not be negative; got -1"},
      {"unknown norm", "norm.type = \"batchnorm\"",
       "config.toml:10:13: model.norm.type must be one of \"layernorm\", \"rmsnorm\"; got \"batchnorm\""},
      {"norm neither before nor after", "norm.place = \"inside\"",
       "config.toml:10:14: model.norm.place must be one of \"pre\", \"post\"; got \"inside\""},
      {"eps of zero", "norm.eps = 0", "config.toml:10:12: model.norm.eps must be positive; got 0"},
      {"dropout above one", "dropout = 1.5",
       "config.toml:10:11: model.dropout must be between 0 and 0.999; got 1.5"},
      {"dropout of everything", "dropout = 1.0",
       "config.toml:10:11: model.dropout must be between 0 and 0.999; got 1.0"},
      {"number of layers as text", "n_layer = \"two\"",
       "config.toml:10:11: model.n_layer must be an integer; got \"two\""},
      {"unknown model", "type = \"encoder-clasifier\"",
       "config.toml:10:8: model.type must be one of *; got \"encoder-clasifier\" (did you mean "
       "'encoder-classifier'?)"},
      {"a key of another model", "type = \"static\"\nn_head = 2",
       "config.toml:11:1: unknown key 'model.n_head' (known: max_seq_len, d_model, type, dropout, "
       "embedding)"},
      {"layers that are no tables", "layers = 3",
       "config.toml:10:10: model.layers must be an array of tables; got 3 (write [[model.layers]])"},
      {"unknown layer", "[[model.layers]]\ntype = \"blok\"\nany = 1\n[[model.layers]]\ntype = \"linear\"",
       "config.toml:11:8: model.layers[0].type must be one of *; got \"blok\" (did you mean 'block'?)"},
      {"positions for which no layer is made",
       "attention.d_head = 5\nposition.type = \"rope\"\n[[model.layers]]\ntype = \"attention\"\nn_head = 2",
       "config.toml:11:17: model.position.type \"rope\" needs heads of even width; got 5 (try "
       "model.attention.d_head "
       "= 6)"},
      {"unknown key of a layer", "[[model.layers]]\ntype = \"linear\"\nwidth = 8",
       "config.toml:12:1: unknown key 'model.layers[0].width' (known: type, d_in, d_out, bias)"},
      {"two counts of layers",
       "n_layer = 3\n[[model.layers]]\ntype = \"block\"\n[[model.layers]]\ntype = \"block\"",
       "config.toml:10:11: model.n_layer must be left out or be the number of [[model.layers]], 2; got 3"},
      {"heads do not divide the width that a layer gives",
       "[[model.layers]]\ntype = \"linear\"\nd_out = 30\n[[model.layers]]\ntype = "
       "\"block\"\nattention.n_head = 4",
       "config.toml:15:20: model.layers[1].attention.n_head must divide d_model = 30; got 4 (try 3 or 5)"},
      {"input width of a layer",
       "[[model.layers]]\ntype = \"linear\"\nd_out = 24\n[[model.layers]]\ntype = \"linear\"\nd_in = 32",
       "config.toml:15:8: model.layers[1].d_in must be the width 24 of the layer before; got 32"},
      {"feed-forward layer without width", "[[model.layers]]\ntype = \"feed-forward\"\nd_ff = 0",
       "config.toml:12:8: model.layers[0].d_ff must be positive; got 0"},
      {"dropout layer of everything", "[[model.layers]]\ntype = \"dropout\"\np = 1.0",
       "config.toml:12:5: model.layers[0].p must be between 0 and 0.999; got 1.0"},
      {"a model for another task", "type = \"decoder-lm\"",
       "config.toml:7:1: model does not fit; cross_entropy: targets must be i32 of the shape of the logits "
       "without the last axis; got targets i32 [32], logits [32, 16, 10] (models that fit: *)"},
      {"rotary positions in heads of odd width", "position.type = \"rope\"\nattention.d_head = 5",
       "config.toml:10:17: model.position.type \"rope\" needs heads of even width; got 5 (try "
       "model.attention.d_head = 6)"},
      {"a layer that gives another width than it says",
       "[[model.layers]]\ntype = \"test-liar\"\n[[model.layers]]\ntype = \"block\"",
       "config.toml:10:1: model.layers[0] does not fit; layer: output must have the width 16 it says; got "
       "[32, 16, 32] (is its out_width() right?) (in layers.0)"},
      {"a mask of another length than the keys",
       "[[model.layers]]\ntype = \"test-shortener\"\n[[model.layers]]\ntype = \"block\"",
       "config.toml:12:1: model.layers[1] does not fit; attention: key_keep must be [32, 8]; got [32, 16] "
       "(did a layer change the length?) (in layers.1.attn)"},
  };
  const test::WsdConfig folder;
  for (const CheckCase& c : cases) {
    CAPTURE(std::string(c.name));
    const std::int64_t products = gemm_flops();
    const auto problems = problems_of(folder, kModel + std::string(c.config));
    CHECK(gemm_flops() == products);  // of shapes alone
    REQUIRE(problems.size() == 1);
    const std::string wanted = c.problem, got = problems[0];
    test::counted("broken model configs", "one message with place, rule, values");
    const std::size_t star = wanted.find('*');
    if (star == std::string::npos)
      CHECK(got == wanted);
    else
      CHECK((starts_with(got, wanted.substr(0, star)) && ends_with(got, wanted.substr(star + 1))));
  }
  test::check_counted("broken model configs", 30);
}

TEST_CASE("all problems of a config come at once, from every table, whatever else is wrong") {
  const test::WsdConfig folder;
  const CheckReport report = check_config(Section::load(folder.write(R"([run]
shards = 3
[tokenizer]
type = "wrod"
[model]
n_heads = 2
d_model = 30
attention.n_head = 4
[optimizer]
type = "adamm"
momentum = 0.9
[schedule]
warmup = 10
[train]
epochs = 10
freeze = ["head.wieght"]
[eval]
metric = "acuracy"
[checkpoint]
every = -1
[log]
evry = 1
[expect]
accuracy = 0.9
[oops]
)",
                                                                     "batch_size = 0")));
  std::vector<std::string> lines;
  for (const std::string& problem : report.problems)
    lines.push_back(problem.substr(problem.find("config.toml") + 11));
  CHECK(join(lines, "\n") == R"(:5:14: data.batch_size must be positive; got 0
:7:10: run.shards must be a power of two; got 3
:9:8: tokenizer.type must be one of "bpe", "char", "file", "word", "wordpiece"; got "wrod" (did you mean 'word'?)
:11:1: unknown key 'model.n_heads' (`n_heads` is called `model.attention.n_head`)
:13:20: model.attention.n_head must divide d_model = 30; got 4 (try 3 or 5)
:15:8: optimizer.type must be one of "adam", "adamw", "lion", "muon", "sgd", "sparse-sgd"; got "adamm" (did you mean 'adam'?)
:18:1: unknown key 'schedule.warmup' (`warmup` is called `warmup_steps`)
:19:1: train.max_steps and max_epochs: exactly one must be set; got 0 and 0
:20:1: unknown key 'train.epochs' (`epochs` is called `max_epochs`)
:25:9: checkpoint.every must not be negative; got -1
:27:1: unknown key 'log.evry' (did you mean 'every'?)
:29:12: expect.accuracy must be a metric followed by _min or _max; got 'accuracy'
:30:2: unknown table 'oops')");
}

TEST_CASE(
    "missing data is reported together with the problems of the config, and alone is a problem of the data") {
  const test::WsdConfig folder;
  fs::remove(folder / "train.tsv");
  auto of = [&](const std::string& text) {
    return check_config(Section::load(folder.write("[train]\nmax_steps = 5\n" + text)));
  };
  const std::string missing = folder / "train.tsv" + ": cannot be read; got No such file or directory";
  CheckReport report = of("[model]\nd_model = 12\nattention.n_head = 5");
  CHECK(report.data_problems == std::vector<std::string>{missing});
  REQUIRE(report.problems.size() == 1);
  CHECK(ends_with(report.problems[0], "model.attention.n_head must divide d_model = 12; got 5 (try 4 or 6)"));
  report = of("[model]\n[[model.layers]]\ntype = \"test-liar\"");  // found by the walk
  REQUIRE(report.problems.size() == 1);
  CHECK(report.problems[0].find("model.layers[0] does not fit; layer") != std::string::npos);
  for (const std::string& right : {std::string(), std::string("[model]\nembedding = \"one-hot\""),
                                   std::string("[model]\nd_model = 0\nembedding = \"one-hot\"")}) {
    CAPTURE(right);
    report = of(right);
    CHECK(report.problems.empty());
    CHECK(report.data_problems == std::vector<std::string>{missing});
  }
}

TEST_CASE("no shipped config raises a false alarm") {
  int configs = 0;
  for (const char* folder : {"/configs", "/configs/bench"})
    for (auto& entry : fs::directory_iterator(source_dir() + folder)) {
      if (entry.path().extension() != ".toml") continue;
      CAPTURE(entry.path().string());
      const CheckReport report = check_config(Section::load(entry.path().string()));
      CHECK(report.problems == std::vector<std::string>{});
      // What is not shipped is named by a path that the user gives.
      bool shipped = true;
      for (const char* key :
           {"data.path", "data.train", "data.train_source", "train.init_from", "tokenizer.file"}) {
        const std::string path = report.config.path(key);
        shipped = shipped && (path.empty() || path.find("/configs/data/") != std::string::npos);
      }
      if (shipped) CHECK(report.data_problems == std::vector<std::string>{});
      configs++;
    }
  CHECK(configs >= 5);
}

TEST_CASE("checking allocates no model") {
  const test::WsdConfig folder;
  const std::string file =
      folder.write("[model]\nd_model = 16384\nn_layer = 64\nattention.n_head = 64\n[train]\nmax_steps = 1\n");
  const std::int64_t before = memory::statistics().bytes;
  const CheckReport report = check_config(Section::load(file));
  CHECK(report.problems == std::vector<std::string>{});
  CHECK(report.size.parameters > 68'000'000'000);
  CHECK(report.memory_bytes > std::size_t{1} << 40);
  CHECK(memory::statistics().bytes - before < 1 << 20);
  // Nor lists of the parts of its weights, which would fill the memory here.
  const std::string wide = folder.write("[model]\nffn.d_ff = 1000000000000\n[train]\nmax_steps = 1\n");
  CHECK(check_config(Section::load(wide)).size.parameters > 16'000'000'000'000);
}
