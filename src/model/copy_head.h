// CopyHead: lets a decoder copy words of the source beside those that it writes itself.
#pragma once
#include "qkv/nn/layer.h"
#include "qkv/nn/linear.h"

namespace qkv {

/// The pointer of a pointer-generator (See et al. 2017): one more head of cross-attention, whose weights say
/// how likely each source token is the next one, and a gate between copying and writing. The gate starts at
/// sigmoid(0): even.
struct CopyHead {
  /// `unknown`: the id that stands for words beyond the vocabulary in what the model reads; -1: there are
  /// none.
  CopyHead(const Scope& s, Index width, Index unknown);

  /// h [B, T, d] below the head, its logits [B, T, V] -> log p [B, T, V], or with words beyond the vocabulary
  /// [B, T, V + S], of which V + i is that at place i of the source. Reads memory (or a cache), memory_keep
  /// and memory_ids of the context. Offers "weights" [B, 1, T, S] to a Capture.
  Var operator()(const Var& h, const Var& logits, const Context& context) const;
  /// The ids with `unknown` in place of those from V on; the same tensor where there are none.
  Tensor known(const Tensor& ids, Index V) const;

  Index unknown;
  Linear query, key, gate;
  std::string path;
};

}  // namespace qkv
