// The definitions of fused ops from separate ones, each beside its op: what the gradient checks and the tests
// compare the ops with.
#pragma once
#include "qkv/ops/attention.h"
#include "qkv/ops/recurrent.h"

namespace qkv {

/// Scores [B, H, T, S] with what the mask adds to them: bias, ALiBi, -inf where a key may not be seen.
Var masked_scores(Var scores, const AttentionMask& mask);
/// Without dropout.
Var attention_composed(const Var& q, const Var& k, const Var& v, const AttentionOptions& options);

Var rnn_composed(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
                 const RecurrentOptions& options, bool use_relu);
Var lstm_composed(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b, const RecurrentState& start,
                  const RecurrentOptions& options);
Var gru_composed(const Var& x, const Var& W_ih, const Var& W_hh, const Var& b_ih, const Var& b_hh,
                 const RecurrentState& start, const RecurrentOptions& options);

}  // namespace qkv
