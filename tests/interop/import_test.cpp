#include "interop/models.h"

#include <cstdlib>

#include "cli/process.h"
#include "count.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

// What our models can be that both families can say: the table [model] and the rest.
struct OwnModel {
  const char *name, *tokenizer, *text;
};
const OwnModel kOwn[] = {
    {"gpt2-char", "char",
     "d_model = 12\nn_layer = 2\ntie_embeddings = true\n[model.attention]\nn_head = 3\n"},
    {"gpt2-bpe", "bpe",
     "d_model = 16\nn_layer = 1\ndropout = 0.1\n[model.ffn]\nactivation = \"gelu-erf\"\nd_ff = 20\n"
     "[model.norm]\neps = 1e-3\n[model.attention]\nscale = \"none\"\n"},
    {"gpt2-relu", "word", "d_model = 8\n[model.ffn]\nactivation = \"relu\"\n[run]\ndtype = \"f64\"\n"},
    {"llama-bias", "char",
     "d_model = 12\nn_layer = 2\ntie_embeddings = true\n[model.attention]\nn_head = 3\n[model.position]\n"
     "type = \"rope\"\n[model.ffn]\nd_ff = 20\nactivation = \"swiglu\"\n[model.norm]\ntype = \"rmsnorm\"\n"},
    {"llama-grouped", "wordpiece",
     "d_model = 12\nn_layer = 2\n[model.attention]\nn_head = 6\nn_kv_head = 2\nd_head = 4\nbias = false\n"
     "[model.position]\ntype = \"rope\"\ntheta = 300.0\n[model.ffn]\nd_ff = 20\nactivation = \"swiglu\"\n"
     "bias = false\n[model.norm]\ntype = \"rmsnorm\"\neps = 1e-6\n"},
    {"mistral-window", "char",
     "d_model = 12\nn_layer = 2\n[model.attention]\nn_head = 3\nwindow = 2\nbias = false\n"
     "[model.position]\ntype = \"rope\"\n[model.ffn]\nbias = false\nd_ff = 20\nactivation = "
     "\"swiglu\"\n[model.norm]\ntype = \"rmsnorm\"\n"},
};

constexpr const char* kText =
    "the river ran past the old stone bank. a bank lends money to those who bank on it.\n"
    "she sat there; he ran the bank! one more stone, and one more: the end of it.\n";

// An untrained model with values that are all different.
Experiment own_model(const OwnModel& model, const std::string& folder) {
  std::string text;
  for (int i = 0; i < 8; i++) text += kText;
  write_file_atomic(folder + "/text.txt", text);
  Experiment e = build_experiment(Section::parse(fmt::format(
      "[data]\ntrain = \"{}/text.txt\"\n[task]\ntype = \"language-model\"\n[tokenizer]\ntype = \"{}\"\n"
      "vocab_size = 300\n[train]\nmax_steps = 1\n[model]\ntype = \"decoder-lm\"\nmax_seq_len = 80\n{}",
      folder, model.tokenizer, model.text)));
  for (int i = 0; i < e.parameters->size(); i++) {
    Tensor& value = e.parameters->slot(i).value;
    Stream stream(7, "values", i);
    init::normal(0.3)(value, stream);
  }
  finish_config(e);
  return e;
}

}  // namespace

TEST_CASE(
    "imported models of transformers give its logits, its 64 likeliest tokens, and come back to the bit") {
  check_against_reference(model_folder("gpt2"));
  check_against_reference(model_folder("llama"));
}

// Run by tests/interop/transformers_test.sh.
TEST_CASE("all folders that QKV_HF_MODELS has give the logits of transformers") {
  const char* folder = std::getenv("QKV_HF_MODELS");
  if (!folder) return;
  int n = 0;
  for (const std::string& name : entries_of(folder))
    if (is_directory(std::string(folder) + "/" + name)) {
      check_against_reference(std::string(folder) + "/" + name);
      n++;
    }
  CHECK(n > 10);
}

TEST_CASE("exported models come back to the bit, whatever their tokenizer") {
  const char* kept = std::getenv("QKV_HF_EXPORTS");
  for (const OwnModel& model : kOwn) {
    CAPTURE(model.name);
    const TemporaryFolder scratch;
    const Experiment e = own_model(model, scratch.path);
    const Experiment again = check_round_trip(e, scratch.path);
    const Tensor ids = Tensor::from<std::int32_t>({2, 5}, {3, 5, 4, 9, 7, 10, 6, 3, 3, 8});
    CHECK(difference(logits_of(again, ids), logits_of(e, ids)) == 0);
    const std::string type(model.name, std::strcspn(model.name, "-"));
    CHECK(read_file(scratch / "hf/config.json").find('"' + type + '"') != std::string::npos);
    if (!kept) continue;
    const std::string folder = std::string(kept) + "/" + model.name;
    export_model(e, "hf", folder);
    const std::vector<int> greedy = greedy_of(e, ids, 64);
    write_safetensors(folder + ".safetensors",
                      {{"ids", ids},
                       {"logits", logits_of(e, ids)},
                       {"greedy", Tensor::from({Index(greedy.size())},
                                               std::vector<std::int32_t>(greedy.begin(), greedy.end()))}});
  }
}

TEST_CASE("every verb works on an imported run, and a run can begin with its weights") {
  const TemporaryFolder folder;
  const auto qkv = [&](const std::vector<std::string>& arguments) {
    return run_well(arguments, folder);
  };
  std::string text;
  for (int i = 0; i < 8; i++) text += kText;
  write_file_atomic(folder / "text.txt", text);
  for (const std::string name : {"gpt2", "llama"}) {
    const std::string run = "runs/" + name;
    CHECK(count(qkv({"import", model_folder(name)}).out, run + ": ") == 1);
    qkv({"verify", run});
    const Finished a = qkv({"generate", run, "--prompt", "the bank", "--temperature", "0"});
    CHECK(starts_with(a.out, "the bank"));
    qkv({"predict", run, "the bank"});
    qkv({"inspect", run, "attention", "the river bank"});
    qkv({"tokenize", run, "the bank"});
    qkv({"report", run});
    qkv({"eval", run, "--data", "text.txt"});
    qkv({"export", run, "--format", "safetensors"});
    CHECK(exists(folder / (name + "-safetensors/model.safetensors")));
    const Finished tuned =
        qkv({"train", run + "/config.toml", "--set", "run.name=\"tuned\"", "--set", "data.train=\"text.txt\"",
             "--set", "train.max_steps=2", "--set", "data.length=16"});
    CHECK(tuned.err.find("tensors loaded; missing: none; unused: none") != std::string::npos);
    qkv({"runs"});
    qkv({"eval", "runs/tuned", "--split", "val"});
    fs::remove_all(folder / "runs/tuned");
  }
  write_file_atomic(folder / "pairs.tsv", "the bank\tthe river\nthe river\tthe bank\n");
  qkv({"train", "runs/gpt2/config.toml", "--set", "run.name=\"tuned\"", "--set",
       "task.type=\"prompt-answer\"", "--set", "data.train=\"pairs.tsv\"", "--set", "data.end=\"e\"", "--set",
       "train.max_steps=2", "--set", "train.lora.rank=2", "--set", "train.lora.targets=[\"*.W_Q\"]"});
  qkv({"export", "runs/tuned", "--format", "hf"});
  qkv({"merge", "runs/tuned"});
  const Experiment back = load_experiment(import_folder(folder / "tuned-hf", folder / "runs/back", {}).run);
  check_same_bits(back.parameters->named(),
                  load_experiment(folder / "runs/tuned-merged").parameters->named());
}

TEST_CASE("a model without counterpart is refused by the name of the feature, and nothing is written") {
  const std::pair<const char*, const char*> refused[] = {
      {"[model.position]\ntype = \"alibi\"\n", "model.position.type"},
      {"[model.position]\ntype = \"sinusoidal\"\n", "model.position.type"},
      {"[model.position]\ntype = \"rope\"\n", "model.position.type"},
      {"[model.position]\ntype = \"rope\"\npairing = \"interleaved\"\n[model.ffn]\nactivation = \"swiglu\"\n"
       "[model.norm]\ntype = \"rmsnorm\"\n",
       "model.position.pairing"},
      {"[model.norm]\nplace = \"post\"\n", "model.norm.place"},
      {"[model.attention]\nbias = false\n", "model.attention.bias"},
      {"[model.attention]\nscale = 0.3\n", "model.attention.scale"},
      {"[model.ffn]\nd_ff = 0\n", "model.ffn.d_ff"},
      {"[model.attention]\nqk_norm = \"rms\"\n", "model.attention.qk_norm"},
      {"[model.attention]\nsoftcap = 5.0\n", "model.attention.softcap"},
      {"[model.attention]\nwindow = 5\n", "model.attention.window"},
      {"[model.position]\ntype = \"t5\"\n", "model.position.type"},
      {"[model.position]\ntype = \"shaw\"\n", "model.position.type"},
      {"[model.position]\ntype = \"rope\"\nrotary_fraction = 0.5\n[model.ffn]\nactivation = \"swiglu\"\n"
       "[model.norm]\ntype = \"rmsnorm\"\n",
       "model.position.rotary_fraction"},
      {"[model.attention]\nwindow = 5\nwindow_pattern = \"SL\"\n[model.position]\ntype = "
       "\"rope\"\n[model.ffn]\n"
       "activation = \"swiglu\"\n[model.norm]\ntype = \"rmsnorm\"\n",
       "model.attention.window_pattern"},
      {"[[model.layers]]\n", "model.layers"},
      {"logit_softcap = 30\n", "model.logit_softcap must be 0.0; got 30.0"},
      {"n_layer = 2\nshare_layers = 2\n", "model.share_layers must be 1; got 2"},
      {"value_embeddings = 1\n", "model.value_embeddings must be 0; got 1"},
      {"residual_scalars = true\n", "model.residual_scalars must be false; got true"},
  };
  for (const auto& [text, feature] : refused) {
    CAPTURE(text);
    const TemporaryFolder scratch;
    const Experiment e = own_model({"", "char", text}, scratch.path);
    std::string message;
    try {
      export_model(e, "hf", scratch / "out/hf");
    } catch (const Error& error) {
      message = error.what();
      CHECK(error.fault() == Fault::usage);
    }
    CHECK_MESSAGE(message.find(feature) != std::string::npos, message);
    CHECK(entries_of(scratch / "out").empty());
  }
}

}  // namespace qkv::test
