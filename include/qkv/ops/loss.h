// Losses: cross entropy of logits against class ids, squared error, binary cross entropy.
#pragma once
#include "qkv/autograd/tape.h"

namespace qkv {

/// Which targets count, and how much.
struct CrossEntropyOptions {
  int ignore_index = -100;     ///< targets of this value count for nothing
  Tensor class_weights;        ///< [V], of the dtype of the logits; undefined = all 1
  double label_smoothing = 0;  ///< share e of the target spread evenly over the V classes, in [0, 1]
  /// Factor z of log^2 Z, Z = sum_c exp(x_c): keeps the logits near those whose Z is 1 (Chowdhery et al.
  /// 2022, "PaLM", section 5).
  double z_loss = 0;
};

/// The target t of an example whose lesson is left out: it counts in what a mean divides by, but has no loss
/// and no gradient. muted(muted(t)) is t.
constexpr std::int32_t muted(std::int32_t target) {
  return -1'000'000 - target;
}

/// A sum and what a mean divides it by.
struct CrossEntropy {
  Var sum;        ///< scalar: sum of the losses of the targets that count
  double weight;  ///< their number, or the sum of their class weights; what a mean divides by
};

/// Losses of logits [.., V] (f32, f64) against targets [..] (i32), with PyTorch's definition: for target t
///   loss = (1 - e) w_t (-log p_t) + e / V sum_c w_c (-log p_c) + z w_t log^2 Z,   p = softmax(logits)
/// (label smoothing: Szegedy et al. 2016, section 7). Losses are added up in f64. Between forward and
/// backward only the logits and two numbers per row are kept, and the gradient is written over the logits
/// if nothing else holds them. Throws `cross_entropy: target must be in [0, V) or ..; got .. at position
/// ..`.
CrossEntropy cross_entropy(const Var& logits, const Tensor& targets, const CrossEntropyOptions& = {});

/// sum / weight as one op: scalar. When no target counts it is 0 with zero gradient (PyTorch: NaN).
Var cross_entropy_mean(const Var& logits, const Tensor& targets, const CrossEntropyOptions& = {});

/// The unreduced losses [..]; 0 where the target is ignored.
Var cross_entropy_each(const Var& logits, const Tensor& targets, const CrossEntropyOptions& = {});

/// -w_t log p_t from log-probabilities [.., V]; [..], 0 where ignored. Label smoothing and Z-loss must be 0.
Var nll_loss_each(const Var& log_probs, const Tensor& targets, const CrossEntropyOptions& = {});

/// mean((x - y)^2) over all elements: scalar. x and y of equal shape and dtype (f32, f64); both get
/// gradients. Throws `mse_loss: shapes must agree; got ..`.
Var mse_loss(const Var& x, const Var& y);

/// Binary cross entropy -y log s(x) - (1 - y) log(1 - s(x)), s the logistic function, elementwise, of logits
/// x against targets y in [0, 1] of equal shape and dtype. Computed as max(x, 0) - x y + log(1 + exp(-|x|)),
/// which does not overflow.
Var bce_with_logits(const Var& logits, const Tensor& targets);

}  // namespace qkv
