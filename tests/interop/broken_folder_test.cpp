// Folders of Hugging Face that are damaged, lie, or ask for what models here cannot do.
#include <sys/stat.h>

#include "cli/process.h"
#include "count.h"
#include "interop/models.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv::test {
namespace {

// A copy of a shipped folder, to change.
struct Folder {
  explicit Folder(const std::string& model) {
    fs::create_directory(path);
    for (const std::string& name : entries_of(model_folder(model)))
      fs::copy_file(model_folder(model) + "/" + name, path + "/" + name);
  }
  std::string file(const std::string& name) const { return path + "/" + name; }
  std::string read(const std::string& name) const { return read_file(file(name)); }
  void write(const std::string& name, const std::string& bytes) const {
    write_file_atomic(file(name), bytes);
  }
  void remove(const std::string& name) const { fs::remove(file(name)); }
  void pipe(const std::string& name) const {
    remove(name);
    REQUIRE(::mkfifo(file(name).c_str(), 0600) == 0);
  }
  void loop(const std::string& name) const {
    remove(name);
    fs::create_symlink(name, file(name));
  }
  void cut(const std::string& name) const { fs::resize_file(file(name), fs::file_size(file(name)) / 2); }
  /// Moves a file out of the folder and leaves a link to it.
  void link_out(const std::string& name) const {
    fs::rename(file(name), scratch / "outside");
    fs::create_symlink("../outside", file(name));
  }
  void edit(const std::string& name, const std::function<void(Json&)>& change) const {
    Json json = read_json(file(name));
    change(json);
    write(name, dump_json(json));
  }
  void set(const std::string& key, const Json& value) const {
    edit("config.json", [&](Json& config) { config[key] = value; });
  }
  /// The text of config.json with a part of it replaced.
  void spell(const std::string& from, const std::string& to) const {
    const std::string text = read("config.json");
    REQUIRE(text.find(from) != std::string::npos);
    write("config.json", replace_all(text, from, to));
  }
  std::vector<NamedTensor> weights() const { return read_safetensors(file("model.safetensors")); }
  void tensor(const std::string& name, const Tensor& value) const {
    std::vector<NamedTensor> all = weights();
    bool found = false;
    for (NamedTensor& one : all)
      if (one.name == name) one.tensor = value, found = true;
    if (!found) all.push_back({name, value});
    write_safetensors(file("model.safetensors"), all);
  }
  void drop(const std::string& name) const {
    std::vector<NamedTensor> all = weights();
    const auto end = std::remove_if(all.begin(), all.end(), [&](auto& one) { return one.name == name; });
    REQUIRE(end != all.end());
    all.erase(end, all.end());
    write_safetensors(file("model.safetensors"), all);
  }
  /// Two shards and their index, which `change` may alter.
  void shard(const std::function<void(Json& map)>& change) const {
    const std::vector<NamedTensor> all = weights();
    const auto half = all.begin() + std::ptrdiff_t(all.size() / 2);
    write_safetensors(file("a.safetensors"), {all.begin(), half});
    write_safetensors(file("b.safetensors"), {half, all.end()});
    Json map = Json::object();
    for (auto one = all.begin(); one != all.end(); ++one)
      map[one->name] = one < half ? "a.safetensors" : "b.safetensors";
    change(map);
    write("model.safetensors.index.json", dump_json({{"metadata", Json::object()}, {"weight_map", map}}));
    remove("model.safetensors");
  }

  TemporaryFolder scratch;
  std::string path = scratch / "model";
};

struct Broken {
  const char *what, *model;
  std::function<void(const Folder&)> change;
  const char* message;  ///< a part of it
};

std::function<void(const Folder&)> key(const std::string& name, const Json& value) {
  return [=](const Folder& f) {
    f.set(name, value);
  };
}
std::function<void(const Folder&)> index_entry(const Json& value) {
  return [=](const Folder& f) {
    f.shard([&](Json& map) { map.begin().value() = value; });
  };
}
std::string nested(int depth) {
  return std::string(std::size_t(depth), '[') + std::string(std::size_t(depth), ']');
}

const char* const kQ = "model.layers.0.self_attn.q_proj.weight";

const std::vector<Broken> kBroken{
    // ---- config.json
    {"no config", "gpt2", [](auto& f) { f.remove("config.json"); }, "config.json: must exist"},
    {"empty config", "gpt2", [](auto& f) { f.write("config.json", ""); }, "invalid JSON"},
    {"cut config", "gpt2", [](auto& f) { f.cut("config.json"); }, "invalid JSON"},
    {"a list", "gpt2", [](auto& f) { f.write("config.json", "[]"); }, "must be a JSON object"},
    {"deep", "gpt2", [](auto& f) { f.write("config.json", "{\"a\": " + nested(5000) + "}"); },
     "invalid JSON"},
    {"key twice", "gpt2", [](auto& f) { f.spell("\"n_layer\"", "\"n_head\": 3, \"n_layer\""); }, "n_head"},
    {"NaN", "gpt2", [](auto& f) { f.spell("1e-05", "NaN"); }, "invalid JSON"},
    {"infinity", "gpt2", [](auto& f) { f.spell("1e-05", "Infinity"); }, "invalid JSON"},
    {"beyond f64", "gpt2", [](auto& f) { f.spell("1e-05", "1e999"); }, "config.json"},
    {"NUL behind", "gpt2", [](auto& f) { f.write("config.json", f.read("config.json") + '\0'); },
     "invalid JSON"},
    {"bad UTF-8", "gpt2", [](auto& f) { f.spell("gelu_new", "gelu\xff"); }, "invalid JSON"},
    {"folder for a file", "gpt2",
     [](auto& f) {
       f.remove("config.json");
       fs::create_directory(f.file("config.json"));
     },
     "config.json"},
    {"config a pipe", "gpt2", [](auto& f) { f.pipe("config.json"); }, "must be a plain file"},
    {"config a loop", "gpt2", [](auto& f) { f.loop("config.json"); }, "config.json: must exist"},
    {"line break in a key", "gpt2", key("use\nmagic", true), "must be left out"},
    {"heads beyond 2^60", "llama",
     [](auto& f) {
       f.set("head_dim", 1 << 30);
       f.set("num_attention_heads", 1 << 30);
     },
     "must describe a model"},
    {"endless positions", "llama", key("max_position_embeddings", 1 << 30), "must be at most 1048576"},
    {"base 0", "llama", key("rope_parameters", {{"rope_theta", 0}}), "theta"},
    {"linked config", "gpt2", [](auto& f) { f.link_out("config.json"); }, "lead out"},
    {"n_embd < 0", "gpt2", key("n_embd", -12), "'n_embd' must be an integer"},
    {"n_layer = 0", "gpt2", key("n_layer", 0), "'n_layer' must be an integer"},
    {"n_layer huge", "gpt2", key("n_layer", std::uint64_t{1} << 40), "'n_layer' must be an integer"},
    {"n_layer large", "gpt2", key("n_layer", 1 << 30), "n_layer"},
    {"n_embd large", "gpt2", key("n_embd", 3 << 28), "must be"},
    {"n_layer = 1.5", "gpt2", key("n_layer", 1.5), "'n_layer' must be an integer"},
    {"n_head a text", "gpt2", key("n_head", "3"), "'n_head' must be an integer"},
    {"n_head = 5", "gpt2", key("n_head", 5), "must divide"},
    {"n_embd null", "gpt2", key("n_embd", nullptr), "'n_embd' must be given"},
    {"n_embd a list", "gpt2", key("n_embd", {12}), "'n_embd' must be an integer"},
    {"another model", "gpt2", key("model_type", "bloom"), "'model_type' must be one of gpt2"},
    {"model_type a number", "gpt2", key("model_type", 2), "'model_type'"},
    {"model_type null", "gpt2", key("model_type", nullptr), "'model_type'"},
    {"lying model_type", "gpt2", key("model_type", "llama"),
     "'architectures' must be one of LlamaForCausalLM"},
    {"another head", "gpt2", key("architectures", {"GPT2ForSequenceClassification"}),
     "GPT2ForSequenceClassification"},
    {"two heads", "gpt2", key("architectures", {"GPT2LMHeadModel", "GPT2Model"}), "'architectures'"},
    {"activation", "gpt2", key("activation_function", "mish"), "'activation_function' must be"},
    {"activation a number", "gpt2", key("activation_function", 3), "'activation_function' must be"},
    {"unknown key", "gpt2", key("use_magic", true), "'use_magic' must be left out"},
    {"unknown table", "gpt2", key("adapter", {{"rank", 4}}), "'adapter.rank' must be left out"},
    {"cross-attention", "gpt2", key("add_cross_attention", true), "'add_cross_attention' must be false"},
    {"layer scale", "gpt2", key("scale_attn_by_inverse_layer_idx", true),
     "'scale_attn_by_inverse_layer_idx'"},
    {"encoder-decoder", "gpt2", key("is_encoder_decoder", true), "'is_encoder_decoder'"},
    {"quantized", "gpt2", key("quantization_config", {{"bits", 4}}), "'quantization_config.bits'"},
    {"eps < 0", "gpt2", key("layer_norm_epsilon", -1e-5), "'layer_norm_epsilon' must be a number"},
    {"eps = 0", "gpt2", key("layer_norm_epsilon", 0), "must be positive"},
    {"dropout", "gpt2", key("resid_pdrop", 1.5), "dropout"},
    {"tied a text", "gpt2", key("tie_word_embeddings", "yes"), "'tie_word_embeddings' must be true or false"},
    {"vocab_size = 0", "gpt2", key("vocab_size", 0), "vocab_size"},
    {"vocab_size small", "gpt2", key("vocab_size", 20), "'transformer.wte.weight' must be [20, 12]"},
    {"vocab_size large", "gpt2", key("vocab_size", 1 << 30), "'transformer.wte.weight' must be"},
    {"n_positions", "gpt2", key("n_positions", 81),
     "'transformer.wpe.weight' must be [81, 12]; got [80, 12]"},
    {"n_ctx", "gpt2", key("n_ctx", 81), "'n_ctx' must be 'n_positions'"},
    {"n_inner", "gpt2", key("n_inner", 47), "c_fc.weight' must be [12, 47]; got [12, 48]"},
    {"one layer more", "gpt2", key("n_layer", 3), "'transformer.h.2.ln_1.weight' [12] is missing"},
    {"one layer less", "gpt2", key("n_layer", 1), "'transformer.h.1.ln_1.weight' [12] is not in the model"},
    {"eos a text", "gpt2",
     [](auto& f) {
       f.remove("generation_config.json");
       f.set("eos_token_id", "end");
     },
     "'eos_token_id'"},
    {"generation config", "gpt2", [](auto& f) { f.write("generation_config.json", "{"); }, "invalid JSON"},
    {"RoPE scaled", "llama", key("rope_scaling", {{"type", "linear"}, {"factor", 2.0}}),
     "'rope_scaling.type' must be"},
    {"RoPE of Llama 3", "llama", key("rope_parameters", {{"rope_type", "llama3"}, {"rope_theta", 500.0}}),
     "'rope_parameters.rope_type' must be"},
    {"two bases", "llama", key("rope_theta", 7.0), "'rope_parameters.rope_theta' must be 'rope_theta'"},
    {"base < 0", "llama", key("rope_parameters", {{"rope_theta", -1.0}}),
     "'rope_parameters.rope_theta' must be"},
    {"part of a head", "llama", key("partial_rotary_factor", 0.5), "'partial_rotary_factor' must be 1.0"},
    {"kv heads", "llama", key("num_key_value_heads", 2), "n_kv_head must divide"},
    {"kv heads lie", "llama", key("num_key_value_heads", 3), "k_proj.weight' must be [24, 12]; got [8, 12]"},
    {"odd heads", "llama", key("head_dim", 7), "heads of even width"},
    {"hidden_act", "llama", key("hidden_act", "gelu"), "'hidden_act' must be"},
    {"biases lie", "llama", key("mlp_bias", true), "gate_proj.bias' [20] is missing"},
    {"tied lie", "llama", key("tie_word_embeddings", true), "'lm_head.weight' must be the token table"},
    {"sliding window", "llama",
     [](auto& f) {
       f.set("model_type", "mistral");
       f.set("architectures", {"MistralForCausalLM"});
       f.set("sliding_window", "all");
     },
     "'sliding_window' must be an integer"},
    // ---- BERT and DistilBERT
    {"relative positions", "bert", key("position_embedding_type", "relative_key"),
     "'position_embedding_type' must be \"absolute\""},
    {"a decoder", "bert", key("is_decoder", true), "'is_decoder' must be false"},
    {"no head", "bert", key("architectures", {"BertModel"}),
     "'architectures' must be one of BertForMaskedLM"},
    {"head lies", "bert", key("architectures", {"BertForSequenceClassification"}),
     "'classifier.bias' [2] is missing"},
    {"type_vocab_size = 0", "bert", key("type_vocab_size", 0), "'type_vocab_size' must be an integer"},
    {"types lie", "bert", key("type_vocab_size", 3),
     "token_type_embeddings.weight' must be [3, 12]; got [2, 12]"},
    {"heads", "bert", key("num_attention_heads", 5), "must divide"},
    {"BERT's activation", "bert", key("hidden_act", "tanh"), "'hidden_act' must be"},
    {"untied lie", "bert", key("tie_word_embeddings", false),
     "'cls.predictions.decoder.weight' [60, 12] is missing"},
    {"other decoder", "bert",
     [](auto& f) {
       f.tensor("cls.predictions.decoder.weight", Tensor::zeros({60, 12}));
     },
     "'cls.predictions.decoder.weight' must be the token table"},
    {"no bias", "bert", [](auto& f) { f.drop("cls.predictions.bias"); },
     "'cls.predictions.bias' [60] is missing"},
    {"adapter", "bert", [](auto& f) { f.tensor("bert.adapter.weight", Tensor::zeros({2})); },
     "is not in the model"},
    {"one class", "distilbert-classes",
     [](auto& f) { f.edit("config.json", [](Json& json) {
                     json["id2label"] = {{"0", "only"}};
                   }); },
     "'id2label' must name 2 to"},
    {"a class twice", "distilbert-classes",
     [](auto& f) { f.edit("config.json", [](Json& json) { json["id2label"]["1"] = "good"; }); },
     "'id2label' must name 2 to"},
    {"classes with a gap", "distilbert-classes",
     [](auto& f) {
       f.edit("config.json", [](Json& json) { json["id2label"] = {{"0", "a"}, {"1", "b"}, {"7", "c"}}; });
     },
     "id2label"},
    {"classes lie", "distilbert-classes",
     [](auto& f) { f.edit("config.json", [](Json& json) {
                     json["id2label"] = {{"0", "a"}, {"1", "b"}};
                   }); },
     "'classifier.weight' must be [2, 12]; got [3, 12]"},
    {"num_labels lies", "distilbert-classes", key("num_labels", 4), "id2label"},
    {"num_labels huge", "distilbert-classes", key("num_labels", 1 << 30), "num_labels"},
    {"regression", "distilbert-classes", key("problem_type", "regression"), "'problem_type' must be"},
    {"no pooler", "distilbert-classes", [](auto& f) { f.drop("pre_classifier.weight"); },
     "'pre_classifier.weight' [12, 12] is missing"},
    // ---- weights
    {"no weights", "gpt2", [](auto& f) { f.remove("model.safetensors"); }, "model.safetensors: must exist"},
    {"pickle", "gpt2",
     [](auto& f) {
       f.remove("model.safetensors");
       f.write("pytorch_model.bin", "PK\x03\x04");
     },
     "'pytorch_model.bin', which is not read"},
    {"pickle by another name", "gpt2", [](auto& f) { f.write("model.safetensors", "\x80\x04\x95 pickled"); },
     "model.safetensors"},
    {"empty weights", "gpt2", [](auto& f) { f.write("model.safetensors", ""); }, "at least 8 bytes"},
    {"cut weights", "gpt2", [](auto& f) { f.cut("model.safetensors"); }, "truncated"},
    {"huge header", "gpt2", [](auto& f) { f.write("model.safetensors", std::string(8, '\x7f') + "{}"); },
     "header"},
    {"linked weights", "gpt2", [](auto& f) { f.link_out("model.safetensors"); }, "lead out"},
    {"pipe", "gpt2", [](auto& f) { f.pipe("model.safetensors"); }, "must be a plain file"},
    {"loop", "gpt2", [](auto& f) { f.loop("model.safetensors"); }, "model.safetensors: must exist"},
    {"one byte", "gpt2", [](auto& f) { f.write("model.safetensors", "x"); }, "at least 8 bytes"},
    {"8-bit floats", "gpt2",
     [](auto& f) {
       f.write("model.safetensors", replace_all(f.read("model.safetensors"), "\"F32\"", "\"F8X\""));
     },
     "dtype must be one of"},
    {"nothing in a tensor", "llama",
     [](auto& f) {
       f.tensor(kQ, Tensor::zeros({0, 12}));
     },
     "must be [24, 12]; got [0, 12]"},
    {"no head", "llama", [](auto& f) { f.drop("lm_head.weight"); }, "'lm_head.weight' [60, 12] is missing"},
    {"a tensor less", "llama", [](auto& f) { f.drop("model.norm.weight"); },
     "'model.norm.weight' [12] is missing"},
    {"a tensor more", "llama", [](auto& f) { f.tensor("adapter", Tensor::zeros({2})); },
     "'adapter' [2] is not in"},
    {"transposed", "llama",
     [](auto& f) {
       f.tensor(kQ, Tensor::zeros({12, 24}));
     },
     "must be [24, 12]; got [12, 24]"},
    {"flat", "llama", [](auto& f) { f.tensor(kQ, Tensor::zeros({288})); }, "must be [24, 12]; got [288]"},
    {"integers", "llama",
     [](auto& f) {
       f.tensor(kQ, Tensor::zeros({24, 12}, Dtype::i32));
     },
     "must hold floats"},
    {"NaN in weights", "llama",
     [](auto& f) {
       f.tensor(kQ, Tensor::full({24, 12}, NAN));
     },
     "finite"},
    {"inf in weights", "llama",
     [](auto& f) {
       f.tensor(kQ, Tensor::full({24, 12}, INFINITY));
     },
     "finite"},
    {"a tensor twice", "gpt2",
     [](auto& f) { f.tensor("wte.weight", tensor_named("transformer.wte.weight", f.weights())); },
     "wte.weight"},
    // ---- shards
    {"up", "gpt2", index_entry("../model/a.safetensors"), "must lie in the folder"},
    {"absolute", "gpt2", index_entry("/etc/passwd"), "must lie in the folder"},
    {"below", "gpt2", index_entry("./a.safetensors"), "must lie in the folder"},
    {"dots", "gpt2", index_entry(".."), "must lie in the folder"},
    {"no name", "gpt2", index_entry(""), "must lie in the folder"},
    {"NUL in a name", "gpt2", index_entry(std::string("a.safetensors\0x", 15)), "must lie in the folder"},
    {"a number", "gpt2", index_entry(3), "must be strings"},
    {"line break in a name", "gpt2", index_entry("a\n.safetensors"), "must lie in the folder"},
    {"a tensor listed twice", "gpt2",
     [](auto& f) {
       f.shard([](Json&) {});
       f.write("model.safetensors.index.json",
               R"({"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}})");
     },
     "model.safetensors.index.json"},
    {"a shard by two names", "gpt2",
     [](auto& f) {
       f.shard([](Json&) {});
       f.remove("b.safetensors");
       fs::create_symlink("a.safetensors", f.file("b.safetensors"));
     },
     "must lie in one file"},
    {"missing shard", "gpt2", index_entry("c.safetensors"), "c.safetensors: must exist"},
    {"wrong shard", "gpt2", index_entry("b.safetensors"), "not in 'b.safetensors'"},
    {"not a shard", "gpt2", index_entry("config.json"), "config.json"},
    {"unlisted", "gpt2", [](auto& f) { f.shard([](Json& map) { map.erase(map.begin()); }); },
     "is not listed"},
    {"no tensor", "gpt2", [](auto& f) { f.shard([](Json& map) { map["more"] = "a.safetensors"; }); },
     "'more' is missing"},
    {"no map", "gpt2", [](auto& f) { f.shard([](Json& map) { map = 7; }); }, "'weight_map'"},
    {"empty map", "gpt2", [](auto& f) { f.shard([](Json& map) { map = Json::object(); }); }, "'weight_map'"},
    {"deep index", "gpt2", [](auto& f) { f.shard([](Json& map) { map = Json::parse(nested(60)); }); },
     "invalid JSON"},
    {"linked shard", "gpt2",
     [](auto& f) {
       f.shard([](Json&) {});
       f.link_out("a.safetensors");
     },
     "lead out"},
    {"in two shards", "gpt2",
     [](auto& f) {
       f.shard([](Json&) {});
       fs::copy_file(f.file("a.safetensors"), f.file("b.safetensors"), fs::copy_options::overwrite_existing);
     },
     "must lie in one file"},
    // ---- tokenizer
    {"no tokenizer", "gpt2", [](auto& f) { f.remove("tokenizer.json"); }, "tokenizer.json: must exist"},
    {"cut tokenizer", "gpt2", [](auto& f) { f.cut("tokenizer.json"); }, "invalid JSON"},
    {"deep tokenizer", "gpt2", [](auto& f) { f.write("tokenizer.json", nested(100)); }, "tokenizer.json"},
    {"linked tokenizer", "gpt2", [](auto& f) { f.link_out("tokenizer.json"); }, "lead out"},
    {"no [MASK]", "bert",
     [](auto& f) { f.write("tokenizer.json", replace_all(f.read("tokenizer.json"), "[MASK]", "[HIDE]")); },
     "must know the special token [MASK]"},
    {"unigrams", "gpt2",
     [](auto& f) { f.edit("tokenizer.json", [](Json& json) { json["model"]["type"] = "Unigram"; }); },
     "Unigram"},
    {"tokenizer a pipe", "gpt2", [](auto& f) { f.pipe("tokenizer.json"); }, "must be a plain file"},
    {"tokens beyond the table", "gpt2",
     [](auto& f) {
       f.edit("tokenizer.json", [](Json& json) {
         Json more = json["added_tokens"].at(0);
         more["id"] = 4000000000u, more["content"] = "<more>";
         json["added_tokens"].push_back(more);
       });
     },
     "4000000000"},
    {"mostly unused", "gpt2",
     [](auto& f) {
       f.set("vocab_size", 70000);
       f.tensor("transformer.wte.weight", Tensor::zeros({70000, 12}));
     },
     "must have 4464 to 70000 tokens"},
    {"more words than vectors", "gpt2",
     [](auto& f) { f.edit("tokenizer.json", [](Json& json) { json["model"]["vocab"]["onemore"] = 60; }); },
     "must have 1 to 60 tokens"},
};

}  // namespace

TEST_CASE("a damaged or lying folder is refused with one message, and nothing is written") {
  int n = 0;
  for (const Broken& broken : kBroken) {
    CAPTURE(broken.what);
    const Folder folder(broken.model);
    broken.change(folder);
    const std::string before = snapshot(folder.scratch.path);
    std::string message;
    int code = 0;
    try {
      import_folder(folder.path, folder.scratch / "runs/out", {});
    } catch (const Error& error) {
      message = error.what();
      code = error.exit_code();
    }
    CAPTURE(message);
    CHECK(code == 3);
    CHECK(message.find(broken.message) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    CHECK(starts_with(message, folder.path));
    CHECK(snapshot(folder.scratch.path) == before);
    counted("Hugging Face folders refused", broken.model);
    n++;
  }
  CHECK(n >= 60);
}

TEST_CASE("a folder's name adds nothing to the config, and an id that is no token ends no text") {
  const Folder folder("gpt2");
  folder.remove("generation_config.json");
  folder.set("eos_token_id", 60);
  const std::string odd = folder.scratch / "x\n[run]\nseed = 7";
  fs::rename(folder.path, odd);
  const Imported made = import_folder(odd, folder.scratch / "run", {});
  CHECK(read_file(made.run + "/config.toml").find("\n[run]\nseed") == std::string::npos);
  REQUIRE(made.notes.size() == 1);
  CHECK(made.notes[0].find("'eos_token_id' is '[60]'; no such token") != std::string::npos);
}

TEST_CASE("the program refuses a damaged folder with exit code 3, and an existing run with 2") {
  const Folder folder("gpt2");
  const std::string out = folder.scratch / "run";
  check_refused(run_qkv({"import", folder.scratch / "nothing", "--out", out}), 3, "must be a folder");
  folder.set("n_embd", -1);
  check_refused(run_qkv({"import", folder.path, "--out", out}), 3, "'n_embd' must be an integer");
  CHECK(!exists(out));
  folder.set("n_embd", 12);
  ProcessOptions full;
  full.max_file_bytes = 4000;
  check_refused(run_qkv({"import", folder.path, "--out", out}, full), 1, "File too large");
  CHECK(!exists(out));
  CHECK(run_qkv({"import", folder.path, "--out", out}).code == 0);
  check_refused(run_qkv({"import", folder.path, "--out", out}), 2, "exists");
  check_refused(run_qkv({"export", out, "--format", "gguf"}), 2, "--format");
  check_refused(run_qkv({"export", out, "--format", "hf", "--out", folder.path}), 2,
                "new folder or an empty one");
}

TEST_CASE("a folder of the hub's cache, whose files are links to blobs, is read") {
  const Folder folder("gpt2");
  const std::string cache = folder.scratch / "models--x", snapshot = cache + "/snapshots/0123";
  fs::create_directories(snapshot);
  fs::create_directory(cache + "/blobs");
  for (const std::string& name : entries_of(folder.path)) {
    fs::rename(folder.file(name), cache + "/blobs/" + name);
    fs::create_symlink("../../blobs/" + name, snapshot + "/" + name);
  }
  CHECK(exists(import_folder(snapshot, folder.scratch / "run", {}).run +
               "/checkpoints/best/model.safetensors"));
}

}  // namespace qkv::test
