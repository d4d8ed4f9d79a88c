// Broken configs of language models, translation and recurrent nets: each gives one message with its place.
#include <doctest/doctest.h>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "count.h"
#include "qkv/base/text.h"
#include "qkv/ops/loss.h"
#include "qkv/task/task.h"
#include "train/check.h"

using namespace qkv;
using test::counted;

namespace {

const std::string kData = R"([data]
train = "text.txt"
batch_size = 4
[task]
type = "language-model"
[tokenizer]
type = "char"
[train]
max_steps = 10
[model]
max_seq_len = 8
)";
const std::string kDecoder = kData + "type = \"decoder-lm\"\nd_model = 32\n";
const std::string kTranslation = R"([data]
train = "pairs.tsv"
batch_size = 4
[task]
type = "translation"
[train]
max_steps = 10
[model]
max_seq_len = 8
type = "encoder-decoder"
d_model = 32
)";

// One of its examples is long.
struct Ragged : Task {
  explicit Ragged(const TaskInput& input) : bad(input.config.section("data").get("bad", false)) {}
  DataShape shape() const override { return {5, 0, 0}; }
  Index examples(Split) override { return 100; }
  Index length(Split split, int example) const override {
    return split == Split::val && example == 70 ? 10 : 4;
  }
  void collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const override {
    if (bad) fail(Fault::runtime, "ragged: must hold letters; got none");
    Index T = 0;
    for (Index b = 0; b < n; b++) T = std::max(T, length(split, indices[b]));
    for (const char* name : {"ids", "targets"}) batch.fill(name, {n, T}, Dtype::i32).fill(1);
  }
  Loss loss(const Model& model, const Batch& batch) const override {
    const CrossEntropy loss = cross_entropy(model.forward(batch), batch.at("targets"));
    return {loss.sum, loss.weight};
  }
  void score(const Model&, const Batch&, Metrics&) const override {}
  bool bad;
};
QKV_REGISTER(Task, "test-ragged", Ragged, "a task of this test");
const std::string kRagged =
    "task.type = \"test-ragged\"\ntrain.max_steps = 10\n[model]\ntype = \"decoder-lm\"\nd_model = 8\n"
    "attention.n_head = 2\n";

std::string problems_of(const std::string& text) {
  return join(check_config(Section::parse(text, "a.toml")).problems, "\n");
}

struct Case {
  const std::string& base;
  const char* more;     // lines after the base
  const char* problem;  // * stands for the names of a registry
};

}  // namespace

TEST_CASE("each broken config of a model that generates gives one message, which says where and what to do") {
  const Case cases[] = {
      {kDecoder, "attention.n_head = 3",
       "14:20: model.attention.n_head must divide d_model = 32; got 3 (try 2 or 4)"},
      {kDecoder, "attention.n_head = 4\nattention.n_kv_head = 3",
       "15:23: model.attention.n_kv_head must divide n_head = 4; got 3 (try 2)"},
      {kDecoder, "attention.n_head = 0", "14:20: model.attention.n_head must be positive; got 0"},
      {kDecoder, "attention.qk_norm = \"layernorm\"",
       "14:21: model.attention.qk_norm must be one of \"none\", \"rms\", \"rms-gain\"; got \"layernorm\""},
      {kDecoder, "attention.dropout = 0.5",
       "14:11: unknown key 'model.attention.dropout' (did you mean 'model.dropout'?)"},
      {kDecoder, "tie_embeddings = true\n[[model.layers]]\ntype = \"linear\"\nd_out = 16",
       "14:18: model.tie_embeddings needs layers with the output width d_model = 32; got 16"},
      {kDecoder,
       "[[model.layers]]\ntype = \"linear\"\nd_out = 30\n[[model.layers]]\ntype = "
       "\"block\"\nattention.n_head = 4",
       "19:20: model.layers[1].attention.n_head must divide d_model = 30; got 4 (try 3 or 5)"},
      {kDecoder, "max_seq_lenn = 4", "14:1: unknown key 'model.max_seq_lenn' (did you mean 'max_seq_len'?)"},
      {kDecoder, "norm.place = \"middle\"",
       "14:14: model.norm.place must be one of \"pre\", \"post\"; got \"middle\""},
      {kDecoder, "ffn.activation = \"swish\"",
       "14:18: model.ffn.activation must be one of \"gelu\", \"gelu-erf\", \"relu\", \"relu2\", \"silu\", "
       "\"swiglu\"; got \"swish\""},
      {kDecoder, "share_layers = 2", "14:16: model.share_layers must divide the number of blocks, 1; got 2"},
      {kDecoder, "final_logit_softcapping = 30",
       "14:1: unknown key 'model.final_logit_softcapping' (`final_logit_softcapping` is called "
       "`logit_softcap`)"},
      {kDecoder, "value_embeddings = 1\n[[model.layers]]\ntype = \"block\"",
       "14:20: model.value_embeddings must be 0 with [[model.layers]], which are no equal blocks; got 1"},
      {kDecoder, "dropout = -0.1", "14:11: model.dropout must be between 0 and 0.999; got -0.1"},
      {kDecoder, "n_layer = -3", "14:11: model.n_layer must be between 0 and 1000; got -3"},
      {kDecoder, "[optimizer]\nbetas = [0.9, 1.5]",
       "15:15: optimizer.betas[1] must be between 0 and 0.999999999; got 1.5"},
      {kDecoder, "[schedule]\nwarmup_steps = 100",
       "15:16: schedule.warmup_steps must be below the 10 steps of the run; got 100"},
      {kDecoder, "[eval]\nmetric = \"perplexty\"",
       "15:10: eval.metric must be one of loss, perplexity, bits_per_char; got 'perplexty' (did you mean "
       "'perplexity'?)"},
      {kData, "type = \"encoder-classifier\"\nd_model = 32",
       "10:1: model does not fit; batch: must have 'keep'; got ids, targets (models that fit: *)"},
      {kData, "type = \"lstm\"\nd_model = 0", "13:11: model.d_model must be positive; got 0"},
      {kData, "type = \"gru\"\nn_layer = 0", "13:11: model.n_layer must be between 1 and 1000; got 0"},
      {kData, "type = \"rnn\"\nattention.n_head = 2",
       "13:1: unknown table 'model.attention' (known: max_seq_len, type, n_layer, d_model, d_embed, "
       "logit_softcap, bidirectional, dropout, embedding, readout)"},
      {kData, "type = \"lsmt\"", "12:8: model.type must be one of *; got \"lsmt\" (did you mean 'lstm'?)"},
      {kTranslation, "attention.n_head = 3",
       "12:20: model.attention.n_head must divide d_model = 32; got 3 (try 2 or 4)"},
      {kTranslation, "n_encoder_layer = -1",
       "12:19: model.n_encoder_layer must be between 0 and 1000; got -1"},
      {kTranslation, "tie_embeddings = \"yes\"",
       "12:18: model.tie_embeddings must be true or false; got \"yes\""},
      {kTranslation, "[[model.layers]]\ntype = \"block\"",
       "12:1: model.layers must be left out of an encoder-decoder; its layers are n_encoder_layer and "
       "n_decoder_layer blocks"},
      {kTranslation, "beam = 3", "12:1: unknown key 'model.beam' (did you mean 'task.beam'?)"},
      {kTranslation, "position.type = \"rope\"\nattention.d_head = 5",
       "12:17: model.position.type \"rope\" needs heads of even width; got 5 (try model.attention.d_head = "
       "6)"},
  };
  const TemporaryFolder folder;
  std::string text, pairs;
  for (int i = 0; i < 8; i++) text += "one two three four\n", pairs += "a b c\tc b a\n";
  write_file_atomic(folder / "text.txt", text);
  write_file_atomic(folder / "pairs.tsv", pairs);
  for (const Case& c : cases) {
    CAPTURE(std::string(c.more));
    counted("broken model configs", "one message with place, rule, values");
    const std::string file = folder / "config.toml";
    write_file_atomic(file, c.base + c.more + "\n");
    const CheckReport report = check_config(Section::load(file));
    CHECK(report.data_problems == std::vector<std::string>{});
    REQUIRE(report.problems.size() == 1);
    const std::string wanted = file + ":" + c.problem, got = report.problems[0];
    const std::size_t star = wanted.find('*');
    if (star == std::string::npos)
      CHECK(got == wanted);
    else
      CHECK((starts_with(got, wanted.substr(0, star)) && ends_with(got, wanted.substr(star + 1))));
  }
  test::check_counted("broken model configs", 20);
}

TEST_CASE("an example that is longer than the model is reported before training, with what would do") {
  CHECK(problems_of(kRagged + "max_seq_len = 10") == "");
  CHECK(problems_of(kRagged + "max_seq_len = 9") ==
        "a.toml:3:1: model does not fit; position: length must be at most max_seq_len = 9; got 10 (try "
        "model.max_seq_len = 10) (in position)");
}

TEST_CASE("an error of a task's batch says of which examples") {
  CHECK(problems_of("data.bad = true\n" + kRagged) ==
        "ragged: must hold letters; got none (in the batch of val examples 70, 0, 1, 2, ..)");
}
