// CrossAttention: a decoder's tokens look at the encoder's output.
#pragma once
#include "qkv/nn/attention.h"

namespace qkv {

/// x [B, T, d], context.memory [B, S, d_memory] -> W_O concat_h(softmax(scale Q_h K_h^T) V_h) with Q = x
/// W_Q^T + b_Q, K = memory W_K^T + b_K, V = memory W_V^T + b_V (Vaswani et al. 2017, section 3.2.3). Padding
/// of the memory (context.memory_keep) is not seen. With a cache, keys and values are computed at the first
/// call only. Offers "weights" [B, H, T, S] to a Capture.
struct CrossAttention {
  CrossAttention(const Scope& s, const AttentionConfig& config, Index width, Index memory_width);
  Var operator()(const Var& x, const Context& context) const;

  AttentionOptions options;
  Parameter W_Q, W_K, W_V, W_O, b_Q, b_K, b_V, b_O;
  std::string path;
};

}  // namespace qkv
