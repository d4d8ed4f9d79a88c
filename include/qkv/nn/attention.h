// MultiHeadAttention: W_Q, W_K, W_V, W_O and what they do.
#pragma once
#include "qkv/base/config.h"
#include "qkv/nn/relative_bias.h"

namespace qkv {

/// Where queries, keys and values come from.
enum class Projections { learned, identity };
inline std::vector<std::string> names_of(Projections) {
  return {"learned", "identity"};
}

/// Whether queries and keys are normed, and with a learned gain.
enum class QkNorm { none, rms, rms_gain };
inline std::vector<std::string> names_of(QkNorm) {
  return {"none", "rms", "rms-gain"};
}

/// The table [model.attention].
struct AttentionConfig {
  std::string type = "attention";
  Index n_head = 2, n_kv_head = 0, d_head = 0;
  Projections qkv = Projections::learned;
  NameOrNumber scale = std::string("sqrt_d_k");
  bool bias = true;
  QkNorm qk_norm = QkNorm::none;
  double softcap = 0.0;
  Index window = 0;
  std::string window_pattern = "S";
  // Set from the model's: dropout, eps of the norm, and of the positions what each layer learns for itself.
  double dropout = 0.0, norm_eps = 1e-5;
  RelativeConfig relative;
  void fields(FieldCollector& f) {
    f("n_head", n_head, "number of heads; must divide d_model unless d_head is set", rule::positive);
    f("n_kv_head", n_kv_head, "number of key/value heads; 0 = n_head", rule::non_negative);
    f("d_head", d_head, "width of a head; 0 = d_model / n_head", rule::non_negative);
    // What follows an open `type` are the keys of the default; another layer has its own.
    f("type", type,
      "layer that blocks use as self-attention, e.g. from a plug-in; its keys belong in this table");
    f("qkv", qkv, "learned W_Q, W_K, W_V, or identity: parameter-free dot-product attention");
    f("scale", scale, "factor of the scores: sqrt_d_k (1 / sqrt(d_k)), none, or a number",
      rule::one_of({"sqrt_d_k", "none"}));
    f("bias", bias, "learn b_Q, b_K, b_V, b_O");
    f("qk_norm", qk_norm,
      "RMS norm of queries and keys in each head, maybe with a learned gain (Henry et al. 2020, Dehghani et "
      "al. 2023)");
    f("softcap", softcap, "c: scores become c tanh(score / c) (Gemma 2); 0 = none", rule::non_negative);
    f("window", window, "a token sees those at a distance below this (Beltagy et al. 2020); 0 = all",
      rule::non_negative);
    f("window_pattern", window_pattern,
      "a letter per layer, repeated: S = with the window, L = the whole text; e.g. SSSL");
  }
  /// The window of a layer of a stack, by the pattern.
  Index window_of(Index layer) const {
    const std::size_t n = window_pattern.size();
    return n == 0 || window_pattern[std::size_t(layer) % n] == 'S' ? window : 0;
  }
  /// What the op needs of this.
  AttentionOptions options(Index width) const;
  Index head_width(Index width) const { return d_head ? d_head : width / n_head; }
  /// Reports `n_head must divide d_model = ..; got ..` and the like, at the place of the key in `where`.
  void check(const Section& where, Index width) const;
};

/// x [B, T, d] -> W_O concat_h(softmax(scale Q_h K_h^T) V_h), Q = x W_Q^T + b_Q and so on (Vaswani et al.
/// 2017). W_Q, W_K, W_V are named row ranges of one [(H + 2 H_kv) D, d] tensor, so that one product computes
/// all three. With qkv = "identity" there are no parameters: Q = K = V = x, cut into heads. Offers to a
/// Capture or Intervention "weights" [B, H, T, T], "heads" [B, T, H, D], what each head gives before W_O,
/// and, when learned, "qkv" [B, T, (H + 2 H_kv) D]; and unless it decodes, what the weights are made of:
/// "queries" [B, T, H, D], "keys" and "values" [B, T, H_kv, D], all after RoPE, "scale" and "softcap" []
/// (f64), "scores" [B, H, T, T] = scale Q K^T, soft-capped, and "bias" [B, H, T, T], which is added to them:
/// relative positions, -inf where a key may not be seen.
///
/// With qk_norm, queries and keys are qk_norm(Q), qk_norm(K). Relative positions that are a layer's own:
/// "shaw" adds scale q_t . a_(s - t) with a learned a^K [2 k + 1, D], distances clipped at k, shared by the
/// heads (Shaw et al. 2018, eq. 4 and section 3.2, keys only: there is no a^V); "t5" with per_layer has a
/// RelativeBias.
struct MultiHeadAttention : Layer {
  MultiHeadAttention(const Scope& s, const AttentionConfig& config, Index width);
  MultiHeadAttention(const Scope& s, const Section& section, Index width);
  Var forward(const Var& x, const Context& context) const override;
  Var operator()(const Var& x, const Context& context) const { return forward(x, context); }
  Index out_width() const override { return width; }
  bool continues() const override { return learned; }

  bool learned, qk_norm;
  double norm_eps;
  Index width, d_head, window;
  AttentionOptions options;
  Parameter W_QKV, b_QKV, g_QK, W_O, b_O, a_K;  ///< g_QK: gain of qk_norm
  RelativeBias relative;
  std::string path;
};

/// attention(q, k, v, options) for your own layers: offers its inputs and weights to a Capture, as
/// MultiHeadAttention does, so that `inspect` and the report show it.
Var attend(const Var& q, const Var& k, const Var& v, const AttentionOptions& options);

/// x [B, T, d], context.memory [B, S, d_memory] -> W_O concat_h(softmax(scale Q_h K_h^T) V_h) with Q = x
/// W_Q^T + b_Q, K = memory W_K^T + b_K, V = memory W_V^T + b_V (Vaswani et al. 2017, section 3.2.3). Padding
/// of the memory (context.memory_keep) is not seen. With a cache, keys and values are computed at the first
/// call only. Offers "weights" [B, H, T, S] to a Capture.
struct CrossAttention {
  CrossAttention(const Scope& s, const AttentionConfig& config, Index width, Index memory_width);
  Var operator()(const Var& x, const Context& context) const;

  AttentionOptions options;
  bool qk_norm;
  double norm_eps;
  Parameter W_Q, W_K, W_V, W_O, b_Q, b_K, b_V, b_O, g_Q, g_K;
  std::string path;
};

}  // namespace qkv
