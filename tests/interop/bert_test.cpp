// BERT and DistilBERT: what they are here and in transformers.
#include <cstdlib>

#include "cli/process.h"
#include "interop/models.h"
#include "qkv/base/text.h"

namespace qkv::test {
namespace {

constexpr const char* kLabelled =
    "good\tthe old stone bank\nbad\ta bank lends money\tshe ran\ngood\tone more stone\nbad\the sat there\n";
constexpr const char* kBertShape =
    "d_model = 12\nn_layer = 2\nmax_seq_len = 40\nembed_norm = true\nnorm = { place = \"post\", eps = 1e-12 "
    "}\n"
    "attention.n_head = 3\nffn = { d_ff = 20, activation = \"gelu-erf\" }\n";

// Encoders that are a BERT or a DistilBERT: task, and more of [model].
struct OwnEncoder {
  const char *name, *task, *model;
};
const OwnEncoder kEncoders[] = {
    {"bert", "masked-language-model", "token_types = 2\n"},
    {"bert-untied", "masked-language-model", "token_types = 1\ntie_embeddings = false\n"},
    {"distilbert", "masked-language-model", ""},
    {"bert-classes", "text-classification", "token_types = 2\npooler = \"tanh\"\n"},
    {"distilbert-classes", "text-classification", "pooler = \"relu\"\n"},
};

// An untrained model with values that are all different.
Experiment own_encoder(const OwnEncoder& model, const std::string& folder, const std::string& more = "") {
  const bool lm = std::string(model.task) == "masked-language-model";
  std::string text;
  for (int i = 0; i < 8; i++) text += lm ? replace_all(kLabelled, "\t", " ") : kLabelled;
  write_file_atomic(folder + "/data.txt", text);
  Experiment e = build_experiment(Section::parse(fmt::format(
      "[data]\ntrain = \"{}/data.txt\"\n[task]\ntype = \"{}\"\n[tokenizer]\ntype = \"wordpiece\"\n"
      "vocab_size = 60\n[train]\nmax_steps = 1\n[model]\ntype = \"{}\"\n{}{}{}",
      folder, model.task, lm ? "encoder-lm" : "encoder-classifier",
      more.find("ffn") == std::string::npos ? kBertShape : "", model.model, more)));
  for (int i = 0; i < e.parameters->size(); i++) {
    Stream stream(7, "values", i);
    init::normal(0.3)(e.parameters->slot(i).value, stream);
  }
  finish_config(e);
  return e;
}

// A padded batch, as it is stored beside the logits.
std::vector<NamedTensor> encoder_batch(bool types, bool classes) {
  std::vector<NamedTensor> batch{
      {"ids", Tensor::from<std::int32_t>({2, 5}, {2, 9, 7, 10, 3, 2, 8, 3, 0, 0})},
      {"keep", Tensor::from<std::int32_t>({2, 5}, {1, 1, 1, 1, 1, 1, 1, 1, 0, 0})}};
  if (types)
    batch.push_back({"token_types", Tensor::from<std::int32_t>({2, 5}, {0, 0, 0, 1, 1, 0, 0, 0, 0, 0})});
  if (classes) batch.push_back({"target", Tensor::zeros({2}, Dtype::i32)});
  return batch;
}

}  // namespace

TEST_CASE("imported BERT and DistilBERT give the logits of transformers, and come back to the bit") {
  check_against_reference(model_folder("bert"));
  check_against_reference(model_folder("distilbert-classes"));
}

TEST_CASE("exported masked language models and classifiers come back to the bit, with their classes") {
  const char* kept = std::getenv("QKV_HF_EXPORTS");
  for (const OwnEncoder& model : kEncoders) {
    CAPTURE(model.name);
    const TemporaryFolder scratch;
    const Experiment e = own_encoder(model, scratch.path), again = check_round_trip(e, scratch.path);
    const std::string name = model.name;
    const bool classes = ends_with(name, "classes");
    std::vector<NamedTensor> batch = encoder_batch(name == "bert" || name == "bert-classes", classes);
    const Tensor logits = logits_of(e, batch);
    CHECK(difference(logits_of(again, batch), logits) == 0);
    CHECK(again.task->classes() ==
          (classes ? std::vector<std::string>{"bad", "good"} : std::vector<std::string>{}));
    const Json config = read_json(scratch / "hf/config.json");
    CHECK(config.at("model_type") == (name[0] == 'b' ? "bert" : "distilbert"));
    if (classes) CHECK(config.at("id2label") == Json({{"0", "bad"}, {"1", "good"}}));
    CHECK_FALSE(exists(scratch / "hf/generation_config.json"));
    if (!kept) continue;
    const std::string folder = std::string(kept) + "/" + name;
    export_model(e, "hf", folder);
    batch.push_back({"logits", logits});
    write_safetensors(folder + ".safetensors", batch);
  }
}

TEST_CASE("every verb works on an imported BERT, and a classifier can begin with its encoder") {
  const TemporaryFolder folder;
  const auto qkv = [&](const std::vector<std::string>& arguments) {
    return run_well(arguments, folder);
  };
  std::string lines;
  for (int i = 0; i < 8; i++) lines += kLabelled;
  write_file_atomic(folder / "lines.tsv", lines);
  const std::string text = "the old [MASK] bank";
  for (const std::string name : {"bert", "distilbert-classes"}) {
    const std::string run = "runs/" + name;
    CHECK(qkv({"import", model_folder(name)}).out.find(run + ": ") != std::string::npos);
    qkv({"verify", run});
    const Json answer = parse_json(qkv({"predict", run, text, "--json"}).out, "predict");
    CHECK(answer.contains(name == "bert" ? "masks" : "label"));
    qkv({"inspect", run, "attention", text});
    qkv({"inspect", run, "qkv", text});
    qkv({"tokenize", run, text});
    qkv({"report", run});
    if (name == "bert") qkv({"eval", run, "--data", "lines.tsv"});
  }
  const Finished tuned = qkv({"train", "runs/bert/config.toml", "--set", "run.name=\"tuned\"", "--set",
                              "data.train=\"lines.tsv\"", "--set", "task.type=\"text-classification\"",
                              "--set", "model.type=\"encoder-classifier\"", "--set", "model.pooler=\"tanh\"",
                              "--unset", "model.tie_embeddings", "--set", "train.max_steps=2"});
  CHECK(tuned.err.find("missing: 4 (head.weight, head.bias, pooler.weight, pooler.bias); unused: 5 (mlm.") !=
        std::string::npos);
  qkv({"predict", "runs/tuned", "the old bank"});
}

TEST_CASE("an encoder without counterpart is refused by the name of the feature") {
  const std::pair<const char*, const char*> refused[] = {
      {"norm = { place = \"pre\", eps = 1e-12 }\nffn = { activation = \"gelu-erf\" }\nembed_norm = true\n",
       "model.norm.place"},
      {"norm = { place = \"post\", eps = 1e-12 }\nffn = { activation = \"gelu-erf\" }\n", "model.embed_norm"},
      {"norm = { place = \"post\" }\nffn = { activation = \"gelu-erf\" }\nembed_norm = true\n",
       "model.norm.eps"},
      {"norm = { place = \"post\", eps = 1e-12 }\nffn = { activation = \"swiglu\" }\nembed_norm = true\n",
       "model.ffn.activation"},
      {"norm = { place = \"post\", eps = 1e-12 }\nffn = { activation = \"gelu-erf\" }\nembed_norm = true\n"
       "position.type = \"rope\"\n",
       "model.position.type"},
  };
  for (const auto& [text, feature] : refused) {
    CAPTURE(text);
    const TemporaryFolder scratch;
    const Experiment e = own_encoder(kEncoders[2], scratch.path, text);
    std::string message;
    try {
      export_model(e, "hf", scratch / "out/hf");
    } catch (const Error& error) {
      message = error.what();
      CHECK(error.fault() == Fault::usage);
    }
    CHECK_MESSAGE(message.find(feature) != std::string::npos, message);
  }
}

}  // namespace qkv::test
