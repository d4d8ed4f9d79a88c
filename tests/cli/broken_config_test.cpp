// Broken configs and command lines: one clear message with its place, exit code 2, nothing written.
#include <doctest/doctest.h>

#include <algorithm>

#include "cli/process.h"
#include "train/small_run.h"

namespace qkv::test {
namespace {

const std::string kConfig = R"(schema = 1
[run]
seed = 7
[data]
train = "train.tsv"
val = "val.tsv"
test = "test.tsv"
batch_size = 8
[tokenizer]
type = "word"
[model]
type = "encoder-classifier"
d_model = 16
n_layer = 1
max_seq_len = 12
[model.attention]
n_head = 2
[optimizer]
lr = 1e-2
[train]
max_steps = 4
[eval]
every = 2
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

struct ConfigCase {
  const char *from, *to, *part;
};

const ConfigCase kCases[] = {
    {"n_head = 2", "n_hed = 2", "a.toml:17:1: unknown key 'model.attention.n_hed' (did you mean 'n_head'?)"},
    {"[train]", "[trian]", "a.toml:20:2: unknown table 'trian' (did you mean 'train'?)"},
    {"batch_size = 8", "batch_size = \"8\"", "a.toml:8:14: data.batch_size must be an integer; got \"8\""},
    {"d_model = 16", "d_model = 16.5", "a.toml:13:11: model.d_model must be an integer; got 16.5"},
    {"lr = 1e-2", "lr = \"fast\"", "a.toml:19:6: optimizer.lr must be a number; got \"fast\""},
    {"seed = 7", "seed = [7]", "a.toml:3:8: run.seed must be an integer; got [7]"},
    {"every = 2", "every = true", "a.toml:23:9: eval.every must be an integer; got true"},
    {"batch_size = 8", "batch_size = 0", "a.toml:8:14: data.batch_size must be positive; got 0"},
    {"batch_size = 8", "batch_size = 9223372036854775807",
     "a.toml:8:14: data.batch_size must be at most 1000000000; got 9223372036854775807"},
    {"max_steps = 4", "max_steps = 4\ngrad_accum_steps = 9223372036854775807",
     "train.grad_accum_steps must be at most 1000000; got 9223372036854775807"},
    {"lr = 1e-2", "lr = -1e-2", "a.toml:19:6: optimizer.lr must be positive; got -0.01"},
    {"lr = 1e-2", "lr = nan", "a.toml:19:6: optimizer.lr must be"},
    {"d_model = 16", "d_model = 16\ndropout = 1.5",
     "a.toml:14:11: model.dropout must be between 0 and 0.999; got 1.5"},
    {"n_head = 2", "n_head = 3",
     "a.toml:17:10: model.attention.n_head must divide d_model = 16; got 3 (try 2 or 4)"},
    {"n_head = 2", "n_head = 4\nn_kv_head = 3",
     "a.toml:18:13: model.attention.n_kv_head must divide n_head = 4"},
    {"max_steps = 4", "max_steps = 4\nmax_epochs = 1",
     "a.toml:21:13: train.max_steps and max_epochs: exactly one must be set; got 4 and 1"},
    {"max_steps = 4", "", "train.max_steps and max_epochs: exactly one must be set; got 0 and 0"},
    {"max_steps = 4", "max_epochs = 0",
     "a.toml:21:14: train.max_epochs and max_steps: exactly one must be set; got 0 and 0"},
    {"type = \"encoder-classifier\"", "type = \"encoder-clasifier\"",
     "a.toml:12:8: model.type must be one of"},
    {"lr = 1e-2", "type = \"adamv\"", "(did you mean 'adam"},
    {"[eval]", "[schedule]\ntype = \"cosin\"\n[eval]", "(did you mean 'cosine'?)"},
    {"[eval]", "[task]\ntype = \"wds\"\n[eval]", "(did you mean 'wsd'?)"},
    {"type = \"word\"", "type = \"wird\"", "(did you mean 'word'?)"},
    {"seed = 7", "dtype = \"f16\"", "a.toml:3:9: run.dtype must be"},
    {"d_model = 16", "n_embd = 16", "d_model"},
    {"seed = 7", "seed = ", "a.toml:3:8: invalid TOML"},
    {"seed = 7", "seed = 7\nseed = 8", "a.toml:4:"},
    {"train = \"train.tsv\"", "train = \"train.tsv", "a.toml:5:"},
    {"seed = 7", "seed = 99999999999999999999", "a.toml:3:"},
    {"seed = 7", "seed = 7 # caf\xe9", "a.toml:3:15: text must be valid UTF-8 without NUL; got byte 0xe9"},
    {"schema = 1", "schema = 2", "a.toml:1:10: schema must be"},
    {"schema = 1", "extends = [\"base.toml\"]",
     "a.toml:1:12: extends names a file that cannot be used; base.toml"},
    {"schema = 1", "extends = [\"a.toml\"]", "a.toml:1:12: extends must not be circular"},
    {"every = 2", "metric = \"acuracy\"",
     "a.toml:23:10: eval.metric must be one of loss, accuracy, macro_f1; got 'acuracy' (did you mean "
     "'accuracy'?)"},
    {"[eval]", "[schedule]\nwarmup_steps = 4\n[eval]",
     "a.toml:23:16: schedule.warmup_steps must be below the 4 steps of the run; got 4"},
    {"max_steps = 4", "max_steps = 4\nfreeze = [\"head.wieght\"]",
     "train.freeze: pattern must match a parameter; got 'head.wieght' (did you mean 'head.weight'?)"},
    {"seed = 7", "shards = 3", "a.toml:3:10: run.shards must be a power of two; got 3"},
    {"seed = 7", "dtype = \"f64\"\nmatmul = \"bf16\"",
     "a.toml:4:10: run.matmul must be f32 with run.dtype = \"f64\"; got bf16"},
    {"seed = 7", "name = \"../up\"", "a.toml:3:8: run.name must be the name of a directory; got '../up'"},
    {"lr = 1e-2", "betas = [0.9]", "a.toml:19:9: optimizer.betas must be two numbers; got 1"},
    {"[eval]", "[expect]\naccuracy = 0.9\n[eval]",
     "expect.accuracy must be a metric followed by _min or _max"},
    {"train = \"train.tsv\"", "", "data.train must name the training sentences; got none"},
    {"d_model = 16", "d_model = 4611686018427387904",
     "a.toml:11:1: model cannot be built; shape: number of elements must be at most 2^60"},
};

}  // namespace

TEST_CASE("broken configs are refused with their place, and nothing is written") {
  SmallData data;
  const std::string before = snapshot(data.folder.path);
  for (const ConfigCase& c : kCases) {
    CAPTURE(std::string(c.to));
    write_file_atomic(data.folder / "a.toml", replaced(kConfig, c.from, c.to));
    check_refused(run_qkv({"train", "a.toml"}, {data.folder.path}), 2, c.part);
    std::filesystem::remove(data.folder / "a.toml");
    CHECK(snapshot(data.folder.path) == before);
  }
}

#ifndef __SANITIZE_ADDRESS__  // it takes terabytes of addresses
TEST_CASE("a model that no memory can hold is refused") {
  SmallData data;
  write_file_atomic(data.folder / "a.toml", replaced(kConfig, "d_model = 16", "d_model = 67108864"));
  ProcessOptions options{data.folder.path};
  options.max_memory_bytes = std::size_t{4} << 30;
  check_refused(run_qkv({"train", "a.toml"}, options), 1,
                "memory: weights, gradients and moments of the optimizer must fit into it; got 262144.2 TiB");
  check_refused(
      run_qkv({"train", "a.toml", "--set", "train.lora.rank=2", "--set", "train.lora.targets=['W_Q']"},
              options),
      1, "must fit into it; got 65536.0 TiB");  // with adapters, the weights alone
  CHECK(!exists(data.folder / "runs"));
}
#endif

TEST_CASE("all errors of a config come at once") {
  SmallData data;
  std::string text = replaced(kConfig, "n_head = 2", "n_heads = 2");
  text = replaced(replaced(text, "lr = 1e-2", "lr = 0"), "every = 2", "evry = 2");
  write_file_atomic(data.folder / "a.toml", text);
  const Finished result = run_qkv({"train", "a.toml"}, {data.folder.path});
  check_refused(result, 2, "a.toml:17:1: unknown key");
  CHECK(count(result.err, "a.toml:19:6: optimizer.lr must be positive") == 1);
  CHECK(count(result.err, "a.toml:23:1: unknown key 'eval.evry' (did you mean 'every'?)") == 1);
}

TEST_CASE("broken command lines are refused") {
  SmallData data;
  write_file_atomic(data.folder / "a.toml", kConfig);
  write_file_atomic(data.folder / "empty.toml", "");
  const std::string before = snapshot(data.folder.path);
  struct Case {
    std::vector<std::string> arguments;
    const char* part;
  };
  const Case cases[] = {
      {{}, "a verb must be given"},
      {{"trian", "a.toml"}, "unknown verb 'trian' (did you mean 'train'?)"},
      {{"train"}, "config"},
      {{"train", "a.toml", "b.toml"}, "b.toml"},
      {{"train", "a.toml", "--sed", "run.seed=1"}, "--sed"},
      {{"train", "a.toml", "--set"}, "--set"},
      {{"train", "a.toml", "--set", "train.max_steps"}, "--set #1: "},
      {{"train", "a.toml", "--set", "=3"}, "--set #1: "},
      {{"train", "a.toml", "--set", "train..max_steps=3"}, "--set #1: "},
      {{"train", "a.toml", "--set", "run.seed=1", "--set", "train.max_steps=many"},
       "--set #2: train.max_steps must be an integer; got"},
      {{"train", "a.toml", "--set", "train.max_step=3"},
       "--set #1: unknown key 'train.max_step' (did you mean"},
      {{"train", "a.toml", "--seeds", "0"}, "--seeds"},
      {{"train", "a.toml", "--folds", "1"}, "--folds"},
      {{"train", "nowhere.toml"}, "nowhere.toml: cannot be read; got No such file or directory"},
      {{"train", "."}, ".: must be a file; got a directory"},
      {{"train", "empty.toml"}, "data.train must name the training sentences; got none"},
      {{"train", "a.toml/b.toml"}, "a.toml/b.toml: cannot be read; got Not a directory"},
      {{"train", "/proc/self/mem"}, "/proc/self/mem: cannot be read; got Input/output error"},
      {{"train", "train.tsv"}, "train.tsv:2:"},
      {{"train", "a.toml", "--seeds", "3", "--set", "run.sed=1"}, "--set #1: unknown key 'run.sed'"},
      {{"--color", "blue", "train", "a.toml"}, "--color"},
  };
  for (const Case& c : cases) {
    CAPTURE(std::string(c.part));
    check_refused(run_qkv(c.arguments, {data.folder.path}), 2, c.part);
    CHECK(snapshot(data.folder.path) == before);
  }
}

}  // namespace qkv::test
