// BERT (Devlin et al. 2019) and DistilBERT (Sanh et al. 2019): masked language models and classifiers of
// texts.
#include "interop/family.h"

namespace qkv {
namespace {

const std::vector<std::pair<std::string, Json>> kActivations{
    {"gelu-erf", "gelu"}, {"gelu-erf", "gelu_python"}, {"gelu", "gelu_new"}, {"gelu", "gelu_pytorch_tanh"},
    {"relu", "relu"},     {"relu2", "relu2"},          {"silu", "silu"},     {"silu", "swish"}};

// What both are.
const std::vector<KeyRow> kEncoder{
    {"model.embedding", "", KeyKind::name, "learned"},
    {"model.embed_norm", "", KeyKind::flag, true},
    {"model.position.type", "", KeyKind::name, "learned"},
    {"model.position.origin", "", KeyKind::name, "start"},
    {"model.position.pairing", "", KeyKind::name, "halves"},
    {"model.position.theta", "", KeyKind::number, 10000.0},
    {"model.norm.type", "", KeyKind::name, "layernorm"},
    {"model.norm.place", "", KeyKind::name, "post"},
    {"model.attention.type", "", KeyKind::name, "attention"},
    {"model.attention.qkv", "", KeyKind::name, "learned"},
    {"model.attention.scale", "", KeyKind::name, "sqrt_d_k"},
    {"model.attention.bias", "", KeyKind::flag, true},
    {"model.attention.n_kv_head", "", KeyKind::count, 0},
    {"model.attention.d_head", "", KeyKind::count, 0},
    {"model.ffn.bias", "", KeyKind::flag, true},
    {"", "is_decoder", KeyKind::flag, false},
    {"", "add_cross_attention", KeyKind::flag, false},
};

void append(std::vector<KeyRow>& keys, const std::vector<KeyRow>& more) {
  keys.insert(keys.end(), more.begin(), more.end());
}
void append(std::vector<TensorRow>& tensors,
            std::initializer_list<std::pair<const char*, const char*>> more) {
  for (const auto& [ours, theirs] : more) tensors.push_back({{ours}, theirs});
}
// A linear layer or a norm: both have a weight and a bias.
void append_pairs(std::vector<TensorRow>& tensors,
                  std::initializer_list<std::pair<const char*, const char*>> more) {
  for (const auto& [ours, theirs] : more)
    for (const char* part : {".weight", ".bias"})
      tensors.push_back({{std::string(ours) + part}, std::string(theirs) + part});
}

// The projections of attention; `names` are those of queries, keys, values and outputs.
void append_attention(std::vector<TensorRow>& tensors, const std::string& path,
                      std::initializer_list<const char*> names) {
  const char* letter = "QKVO";
  for (const char* name : names) {
    tensors.push_back({{std::string("layers.*.attn.W_") + *letter}, path + name + ".weight"});
    tensors.push_back({{std::string("layers.*.attn.b_") + *letter++}, path + name + ".bias"});
  }
}

Family bert() {
  Family f;
  f.model_type = "bert", f.prefix = "bert.";
  f.keys = {
      {"model.max_seq_len", "max_position_embeddings", KeyKind::count},
      {"model.d_model", "hidden_size", KeyKind::count},
      {"model.n_layer", "num_hidden_layers", KeyKind::count},
      {"model.attention.n_head", "num_attention_heads", KeyKind::count},
      {"model.ffn.d_ff", "intermediate_size", KeyKind::count},
      {"model.ffn.activation", "hidden_act", KeyKind::name, "gelu", kActivations},
      {"model.token_types", "type_vocab_size", KeyKind::count, 2},
      {"model.norm.eps", "layer_norm_eps", KeyKind::number, 1e-12},
      {"model.dropout", "hidden_dropout_prob", KeyKind::number, 0.1},
      {"model.dropout", "attention_probs_dropout_prob", KeyKind::number, 0.1},
      {"", "position_embedding_type", KeyKind::name, "absolute"},
  };
  append(f.keys, kEncoder);
  append(f.tensors, {{"embed.weight", "bert.embeddings.word_embeddings.weight"},
                     {"position.weight", "bert.embeddings.position_embeddings.weight"},
                     {"token_types.weight", "bert.embeddings.token_type_embeddings.weight"}});
  append_attention(f.tensors, "bert.encoder.layer.*.attention.",
                   {"self.query", "self.key", "self.value", "output.dense"});
  append_pairs(f.tensors, {{"embed_norm", "bert.embeddings.LayerNorm"},
                           {"layers.*.norm1", "bert.encoder.layer.*.attention.output.LayerNorm"},
                           {"layers.*.ffn.up", "bert.encoder.layer.*.intermediate.dense"},
                           {"layers.*.ffn.down", "bert.encoder.layer.*.output.dense"},
                           {"layers.*.norm2", "bert.encoder.layer.*.output.LayerNorm"}});
  f.endings = {{".LayerNorm.gamma", ".LayerNorm.weight"}, {".LayerNorm.beta", ".LayerNorm.bias"}};
  f.buffers = {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"};
  f.ignored = {"classifier_dropout", "directionality", "gradient_checkpointing", "model_input_names",
               "pooler_*"};
  return f;
}

Family distilbert() {
  Family f;
  f.model_type = "distilbert", f.prefix = "distilbert.";
  f.keys = {
      {"model.max_seq_len", "max_position_embeddings", KeyKind::count, 512},
      {"model.d_model", "dim", KeyKind::count, {}, {}, {"hidden_size"}},
      {"model.n_layer", "n_layers", KeyKind::count, {}, {}, {"num_hidden_layers"}},
      {"model.attention.n_head", "n_heads", KeyKind::count, {}, {}, {"num_attention_heads"}},
      {"model.ffn.d_ff", "hidden_dim", KeyKind::count},
      {"model.ffn.activation", "activation", KeyKind::name, "gelu", kActivations},
      {"model.dropout", "dropout", KeyKind::number, 0.1},
      {"model.dropout", "attention_dropout", KeyKind::number, 0.1},
      {"model.token_types", "", KeyKind::count, 0},
      {"model.norm.eps", "", KeyKind::number, 1e-12},
  };
  append(f.keys, kEncoder);
  append(f.tensors, {{"embed.weight", "distilbert.embeddings.word_embeddings.weight"},
                     {"position.weight", "distilbert.embeddings.position_embeddings.weight"}});
  append_attention(f.tensors, "distilbert.transformer.layer.*.attention.",
                   {"q_lin", "k_lin", "v_lin", "out_lin"});
  append_pairs(f.tensors, {{"embed_norm", "distilbert.embeddings.LayerNorm"},
                           {"layers.*.norm1", "distilbert.transformer.layer.*.sa_layer_norm"},
                           {"layers.*.ffn.up", "distilbert.transformer.layer.*.ffn.lin1"},
                           {"layers.*.ffn.down", "distilbert.transformer.layer.*.ffn.lin2"},
                           {"layers.*.norm2", "distilbert.transformer.layer.*.output_layer_norm"}});
  f.buffers = {"distilbert.embeddings.position_ids"};
  f.ignored = {"qa_dropout", "seq_classif_dropout", "sinusoidal_pos_embds", "tie_weights_"};
  return f;
}

Family masked(Family f, const char* architecture) {
  f.architecture = architecture;
  append(f.keys, {{"task.type", "", KeyKind::name, "masked-language-model"},
                  {"model.type", "", KeyKind::name, "encoder-lm"},
                  {"model.tie_embeddings", "tie_word_embeddings", KeyKind::flag, true}});
  return f;
}

Family classifier(Family f, const char* architecture, const char* pooler) {
  f.architecture = architecture;
  f.ignored.insert(f.ignored.end(), {"num_labels", "tie_word_embeddings"});
  append(f.keys, {{"", "problem_type", KeyKind::name, "single_label_classification"}});
  append(f.keys, {{"task.type", "", KeyKind::name, "text-classification"},
                  {"model.type", "", KeyKind::name, "encoder-classifier"},
                  {"model.readout", "", KeyKind::name, "target"},
                  {"model.pooler", "", KeyKind::name, pooler},
                  {"model.bag", "", KeyKind::number, 0.0}});
  append_pairs(f.tensors, {{"head", "classifier"}});
  return f;
}

}  // namespace

std::vector<Family> bert_families() {
  Family mlm = masked(bert(), "BertForMaskedLM");
  mlm.bare = "BertForPreTraining";
  append_pairs(mlm.tensors, {{"mlm.dense", "cls.predictions.transform.dense"},
                             {"mlm.norm", "cls.predictions.transform.LayerNorm"}});
  append(mlm.tensors, {{"mlm.weight", "cls.predictions.decoder.weight"}});
  // The bias that is used; the other one is the same, or without tied weights idle.
  mlm.tensors.push_back({{"mlm.bias"}, "cls.predictions.decoder.bias", false, "cls.predictions.bias"});
  mlm.copies = {{"cls.predictions.decoder.weight", "embed.weight"}};
  mlm.others = {"bert.pooler.*", "cls.seq_relationship.*"};

  Family distil = masked(distilbert(), "DistilBertForMaskedLM");
  append_pairs(distil.tensors, {{"mlm.dense", "vocab_transform"}, {"mlm.norm", "vocab_layer_norm"}});
  append(distil.tensors, {{"mlm.bias", "vocab_projector.bias"}, {"mlm.weight", "vocab_projector.weight"}});
  distil.copies = {{"vocab_projector.weight", "embed.weight"}};

  Family sorting = classifier(bert(), "BertForSequenceClassification", "tanh");
  append_pairs(sorting.tensors, {{"pooler", "bert.pooler.dense"}});
  Family distil_sorting = classifier(distilbert(), "DistilBertForSequenceClassification", "relu");
  append_pairs(distil_sorting.tensors, {{"pooler", "pre_classifier"}});
  return {mlm, sorting, distil, distil_sorting};
}

}  // namespace qkv
