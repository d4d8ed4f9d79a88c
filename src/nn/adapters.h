// Low-rank adapters (Hu et al. 2021, "LoRA: Low-rank adaptation of large language models"): where the model
// reads a matrix W [out, in] it finds W + (alpha / rank) B A, with A [rank, in] and B [out, rank]; W stays as
// it is, A and B are trained. This happens at the parameters: the sum is computed once per step, and the
// gradient of the sum becomes those of A and B. Layers, caches and products know nothing of it.
#pragma once
#include "qkv/nn/parameter.h"

namespace qkv {

/// out = base + scale B A, computed in the dtype of `base` whatever `run.matmul` says. `out` may be `base`.
void add_low_rank(Tensor& out, const Tensor& base, const Tensor& A, const Tensor& B, double scale);

class Adapters {
 public:
  /// Adds `NAME.lora_A` (initialised as a Linear is) and `NAME.lora_B` (zero) for each matrix that matches
  /// one of the patterns `targets`, and freezes all other parameters but those that match one of `whole`:
  /// these are trained and stored as a whole. A pattern that matches nothing is a usage error.
  Adapters(ParameterStore& store, Index rank, double alpha, const std::vector<std::string>& targets,
           const std::vector<std::string>& whole);

  /// Takes the present values of the matrices as W.
  void set_base();
  /// W of each matrix; the tensors share the buffers.
  std::vector<Tensor> base() const;
  /// Gives the matrices the values that the model reads, from W and the adapters.
  void compose();
  /// From the gradient of the sum, G: those of A, (alpha / rank) B^T G, and of B, (alpha / rank) G A^T.
  void project(Gradients& gradients) const;

  int count() const { return int(adapters_.size()); }
  double scale() const { return scale_; }
  /// What W takes, beside the values that the model reads.
  std::size_t bytes() const;

 private:
  struct Adapter {
    int slot, A, B;             // of the store
    ParameterStore::Part part;  // of the slot
    Tensor base;                // W
  };
  ParameterStore& store_;
  double scale_;
  std::vector<Adapter> adapters_;
};

}  // namespace qkv
