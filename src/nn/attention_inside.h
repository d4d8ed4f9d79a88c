// What an attention layer shows of its inside to a Capture.
#pragma once
#include <string>

#include "qkv/ops/attention.h"

namespace qkv {

/// Where queries, keys and values lie in rows [B, T, ld]: the column at which each begins.
struct QkvColumns {
  Index query, key, value;
};

/// Offers what a capture of this thread wants of "scores", "queries", "keys", "values", "scale" and "bias",
/// as MultiHeadAttention says. `o` holds the mask; D is the width of a head.
void offer_inside(const std::string& path, const Tensor& rows, const QkvColumns& columns,
                  const AttentionOptions& o, Index D);

}  // namespace qkv
