// Export as a folder of Hugging Face.
#include "base/file.h"
#include "interop/family.h"
#include "interop/format.h"
#include "qkv/base/text.h"
#include "qkv/model/generate.h"
#include "qkv/ops/shape_ops.h"

namespace qkv {
namespace {

// The first family that can say all of the model, and its config.json. Else the problems of the nearest ones.
const Family& family_for(const Section& config, Json& written) {
  KeyValues keys;
  for (const ResolvedKey& key : config.resolved()) keys.emplace_back(key.key, key.value);
  std::vector<std::string> nearest;
  std::size_t least = std::size_t(-1);
  for (const Family& family : families()) {
    std::vector<std::string> problems;
    written = keys_there(family, keys, problems);
    if (problems.empty()) return family;
    if (problems.size() > least) continue;
    if (problems.size() < least) nearest.clear();
    least = problems.size();
    nearest.push_back(fmt::format("to be a {}, {}", family.architecture, join(problems, "; ")));
  }
  fail(Fault::usage, "export: {}", join(nearest, "; "));
}

Tensor joined(const Placed& place, const std::vector<NamedTensor>& parameters) {
  std::vector<Var> parts;
  for (const std::string& name : place.ours) parts.emplace_back(tensor_named(name, parameters));
  const Var all = parts.size() == 1 ? parts[0] : concat(parts.data(), int(parts.size()), 0);
  return place.transposed ? permute(all, {1, 0}).value() : all.value();
}

}  // namespace

void write_hf(const Experiment& e, const std::string& folder) {
  const Tokenizer* tokenizer = e.task->tokenizer();
  Json config;
  const Family& family = family_for(e.config, config);
  if (!tokenizer) fail(Fault::usage, "export: the run must have a tokenizer; got none");
  const std::vector<NamedTensor> parameters = e.parameters->named();
  std::vector<NamedTensor> tensors;
  for (const Placed& place : layout(family, parameters)) {
    if (place.copy) continue;
    const Tensor tensor = joined(place, parameters);
    tensors.push_back({place.theirs, tensor});
    if (!place.also.empty()) tensors.push_back({place.also, tensor});
  }

  const Vocab& vocab = tokenizer->vocab();
  Json generation = Json::object(),
       texts = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                {"model_max_length", config.at(family.key_for("model.max_seq_len"))},
                {"clean_up_tokenization_spaces", false},
                {"model_input_names", {"input_ids", "attention_mask"}}};
  const auto special = [&](const char* name, int id) {
    config[fmt::format("{}_token_id", name)] = id >= 0 ? Json(id) : Json();
    if (id < 0) return;
    generation[fmt::format("{}_token_id", name)] = id;
    texts[fmt::format("{}_token", name)] = vocab.token(id);
  };
  int begin = -1;
  for (const char* name : {"<bos>", "<s>", "<|begin_of_text|>", "<|endoftext|>"})
    if (begin < 0 && vocab.is_special(vocab.find(name))) begin = vocab.find(name);
  special("bos", begin);
  special("eos", e.task->end_id());
  special("pad", vocab.pad_id());
  for (const auto& [name, token] :
       {std::pair("cls_token", "[CLS]"), {"sep_token", "[SEP]"}, {"mask_token", "[MASK]"}})
    if (vocab.is_special(vocab.find(token))) texts[name] = token;
  if (!family.key_for("model.token_types").empty()) texts["model_input_names"].push_back("token_type_ids");
  const std::vector<std::string> labels = e.task->classes();
  for (std::size_t i = 0; i < labels.size(); i++) {
    config["id2label"][std::to_string(i)] = labels[i];
    add_member(config["label2id"], labels[i], i);
  }
  if (vocab.unk_id() >= 0) texts["unk_token"] = vocab.token(vocab.unk_id());
  if (const std::vector<int> never = tokenizer->unwritten(); !never.empty())
    generation["suppress_tokens"] = never;
  config["vocab_size"] = e.task->shape().vocab_size;
  config["dtype"] = config["torch_dtype"] = e.run.dtype == Dtype::f64 ? "float64" : "float32";

  write_safetensors(folder + "/model.safetensors", tensors);
  for (const auto& [name, json] : {std::pair<const char*, const Json&>{"config.json", config},
                                   {"tokenizer_config.json", texts},
                                   {"generation_config.json", generation}})
    if (&json != &generation || dynamic_cast<const Generator*>(e.model.get()))
      write_file_atomic(folder + "/" + name, dump_json(json, 2) + "\n");
}

}  // namespace qkv
