// The Llama family (Touvron et al. 2023): RoPE, RMS norm, SwiGLU, grouped queries.
#include "interop/family.h"

namespace qkv {

Family llama() {
  Family f{"llama", "LlamaForCausalLM", "LlamaModel", "model."};
  f.keys = {
      {"task.type", "", KeyKind::name, "language-model"},
      {"model.type", "", KeyKind::name, "decoder-lm"},
      {"model.max_seq_len", "max_position_embeddings", KeyKind::count, {}, {}, {"max_sequence_length"}},
      {"model.d_model", "hidden_size", KeyKind::count},
      {"model.n_layer", "num_hidden_layers", KeyKind::count},
      {"model.attention.n_head", "num_attention_heads", KeyKind::count},
      {"model.attention.n_kv_head", "num_key_value_heads", KeyKind::count, 0},
      {"model.attention.d_head", "head_dim", KeyKind::count, 0},
      {"model.attention.bias", "attention_bias", KeyKind::flag, false},
      {"model.ffn.d_ff", "intermediate_size", KeyKind::count},
      {"model.ffn.activation",
       "hidden_act",
       KeyKind::name,
       "silu",
       {{"swiglu", "silu"}, {"swiglu", "swish"}}},
      {"model.ffn.bias", "mlp_bias", KeyKind::flag, false},
      {"model.norm.eps", "rms_norm_eps", KeyKind::number, 1e-6},
      {"model.tie_embeddings", "tie_word_embeddings", KeyKind::flag, false},
      {"model.position.theta", "rope_theta", KeyKind::number, 10000.0, {}, {"rope_parameters.rope_theta"}},
      {"model.dropout", "attention_dropout", KeyKind::number, 0.0},
      {"model.position.type", "", KeyKind::name, "rope"},
      {"model.position.origin", "", KeyKind::name, "start"},
      {"model.position.pairing", "", KeyKind::name, "halves"},
      {"model.norm.type", "", KeyKind::name, "rmsnorm"},
      {"model.norm.place", "", KeyKind::name, "pre"},
      {"model.attention.type", "", KeyKind::name, "attention"},
      {"model.attention.qkv", "", KeyKind::name, "learned"},
      {"model.embed_norm", "", KeyKind::flag, false},
      {"model.attention.scale", "", KeyKind::name, "sqrt_d_k"},
      {"",
       "rope_parameters.rope_type",
       KeyKind::name,
       "default",
       {},
       {"rope_scaling.rope_type", "rope_scaling.type"}},
      {"", "rope_scaling", KeyKind::name, {}},
      {"", "partial_rotary_factor", KeyKind::number, 1.0, {}, {"rope_parameters.partial_rotary_factor"}},
  };
  f.tensors = {
      {{"embed.weight"}, "model.embed_tokens.weight"},
      {{"layers.*.norm1.weight"}, "model.layers.*.input_layernorm.weight"},
      {{"layers.*.attn.W_Q"}, "model.layers.*.self_attn.q_proj.weight"},
      {{"layers.*.attn.W_K"}, "model.layers.*.self_attn.k_proj.weight"},
      {{"layers.*.attn.W_V"}, "model.layers.*.self_attn.v_proj.weight"},
      {{"layers.*.attn.b_Q"}, "model.layers.*.self_attn.q_proj.bias"},
      {{"layers.*.attn.b_K"}, "model.layers.*.self_attn.k_proj.bias"},
      {{"layers.*.attn.b_V"}, "model.layers.*.self_attn.v_proj.bias"},
      {{"layers.*.attn.W_O"}, "model.layers.*.self_attn.o_proj.weight"},
      {{"layers.*.attn.b_O"}, "model.layers.*.self_attn.o_proj.bias"},
      {{"layers.*.norm2.weight"}, "model.layers.*.post_attention_layernorm.weight"},
      {{"layers.*.ffn.gate.weight"}, "model.layers.*.mlp.gate_proj.weight"},
      {{"layers.*.ffn.gate.bias"}, "model.layers.*.mlp.gate_proj.bias"},
      {{"layers.*.ffn.up.weight"}, "model.layers.*.mlp.up_proj.weight"},
      {{"layers.*.ffn.up.bias"}, "model.layers.*.mlp.up_proj.bias"},
      {{"layers.*.ffn.down.weight"}, "model.layers.*.mlp.down_proj.weight"},
      {{"layers.*.ffn.down.bias"}, "model.layers.*.mlp.down_proj.bias"},
      {{"norm.weight"}, "model.norm.weight"},
      {{"head.weight"}, "lm_head.weight"},
  };
  f.copies = {{"lm_head.weight", "embed.weight"}};
  f.buffers = {"model.layers.*.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"};
  f.ignored = {"pretraining_tp"};
  return f;
}

Family mistral() {
  Family f = llama();
  f.model_type = "mistral", f.architecture = "MistralForCausalLM", f.bare = "MistralModel";
  for (KeyRow& row : f.keys) {
    if (row.theirs == "num_key_value_heads") row.value = 8;
    if (row.theirs == "attention_bias" || row.theirs == "mlp_bias") row.theirs.clear();  // it has none
  }
  f.keys.push_back({"model.attention.window", "sliding_window", KeyKind::count, 4096u, {}, {}, 0u});
  return f;
}

}  // namespace qkv
