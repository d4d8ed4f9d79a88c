// GPT-2 (Radford et al. 2019), as GPT2LMHeadModel has it.
#include "interop/family.h"

namespace qkv {
namespace {

// Names here, and those of config.json.
const std::vector<std::pair<std::string, Json>> kActivationFunctions{
    {"gelu", "gelu_new"}, {"gelu", "gelu_pytorch_tanh"},
    {"gelu-erf", "gelu"}, {"gelu-erf", "gelu_python"},
    {"relu", "relu"},     {"relu2", "relu2"},
    {"silu", "silu"},     {"silu", "swish"}};
const std::vector<std::pair<std::string, Json>> kScaled{{"sqrt_d_k", true}, {"none", false}};

}  // namespace

Family gpt2() {
  Family f{"gpt2", "GPT2LMHeadModel", "GPT2Model", "transformer."};
  f.keys = {
      {"task.type", "", KeyKind::name, "language-model"},
      {"model.type", "", KeyKind::name, "decoder-lm"},
      {"model.max_seq_len", "n_positions", KeyKind::count, {}, {}, {"n_ctx"}},
      {"model.d_model", "n_embd", KeyKind::count},
      {"model.n_layer", "n_layer", KeyKind::count},
      {"model.attention.n_head", "n_head", KeyKind::count},
      {"model.ffn.d_ff", "n_inner", KeyKind::count, {4, "n_embd"}},
      {"model.ffn.activation", "activation_function", KeyKind::name, "gelu_new", kActivationFunctions},
      {"model.norm.eps", "layer_norm_epsilon", KeyKind::number, 1e-5},
      {"model.tie_embeddings", "tie_word_embeddings", KeyKind::flag, true},
      {"model.dropout", "resid_pdrop", KeyKind::number, 0.1},
      {"model.dropout", "attn_pdrop", KeyKind::number, 0.1},
      {"model.dropout", "embd_pdrop", KeyKind::number, 0.1},
      {"model.attention.scale", "scale_attn_weights", KeyKind::name, true, kScaled},
      {"model.position.type", "", KeyKind::name, "learned"},
      {"model.position.origin", "", KeyKind::name, "start"},
      {"model.position.pairing", "", KeyKind::name, "halves"},
      {"model.position.theta", "", KeyKind::number, 10000.0},
      {"model.norm.type", "", KeyKind::name, "layernorm"},
      {"model.norm.place", "", KeyKind::name, "pre"},
      {"model.attention.type", "", KeyKind::name, "attention"},
      {"model.attention.qkv", "", KeyKind::name, "learned"},
      {"model.embed_norm", "", KeyKind::flag, false},
      {"model.attention.bias", "", KeyKind::flag, true},
      {"model.attention.n_kv_head", "", KeyKind::count, 0},
      {"model.attention.d_head", "", KeyKind::count, 0},
      {"model.ffn.bias", "", KeyKind::flag, true},
      {"", "scale_attn_by_inverse_layer_idx", KeyKind::flag, false},
      {"", "add_cross_attention", KeyKind::flag, false},
  };
  f.tensors = {
      {{"embed.weight"}, "transformer.wte.weight"},
      {{"position.weight"}, "transformer.wpe.weight"},
      {{"layers.*.norm1.weight"}, "transformer.h.*.ln_1.weight"},
      {{"layers.*.norm1.bias"}, "transformer.h.*.ln_1.bias"},
      {{"layers.*.attn.W_Q", "layers.*.attn.W_K", "layers.*.attn.W_V"},
       "transformer.h.*.attn.c_attn.weight",
       true},
      {{"layers.*.attn.b_Q", "layers.*.attn.b_K", "layers.*.attn.b_V"}, "transformer.h.*.attn.c_attn.bias"},
      {{"layers.*.attn.W_O"}, "transformer.h.*.attn.c_proj.weight", true},
      {{"layers.*.attn.b_O"}, "transformer.h.*.attn.c_proj.bias"},
      {{"layers.*.norm2.weight"}, "transformer.h.*.ln_2.weight"},
      {{"layers.*.norm2.bias"}, "transformer.h.*.ln_2.bias"},
      {{"layers.*.ffn.up.weight"}, "transformer.h.*.mlp.c_fc.weight", true},
      {{"layers.*.ffn.up.bias"}, "transformer.h.*.mlp.c_fc.bias"},
      {{"layers.*.ffn.down.weight"}, "transformer.h.*.mlp.c_proj.weight", true},
      {{"layers.*.ffn.down.bias"}, "transformer.h.*.mlp.c_proj.bias"},
      {{"norm.weight"}, "transformer.ln_f.weight"},
      {{"norm.bias"}, "transformer.ln_f.bias"},
      {{"head.weight"}, "lm_head.weight"},
  };
  f.copies = {{"lm_head.weight", "embed.weight"}};
  f.buffers = {"transformer.h.*.attn.bias", "transformer.h.*.attn.masked_bias"};
  f.ignored = {"reorder_and_upcast_attn", "summary_*"};
  return f;
}

}  // namespace qkv
