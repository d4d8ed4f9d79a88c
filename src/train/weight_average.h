// WeightAverage: the exponential moving average of the weights of a run, which is what it evaluates and what
// its checkpoints hold (Polyak and Juditsky 1992; Izmailov et al. 2018).
#pragma once
#include "qkv/nn/parameter.h"
#include "qkv/train/optimizer.h"

namespace qkv {

class WeightAverage {
 public:
  WeightAverage(const ParameterStore& store, double decay);

  /// Takes the weights after step 1, 2, ... in:  a = d a + (1 - d) w  with d = min(decay, (1 + step) / (10 +
  /// step)), so that the initial weights are soon forgotten.
  void add(const ParameterStore& store, std::int64_t step);
  /// Begins anew with the weights of the store.
  void restart(const ParameterStore& store);
  /// Takes what a checkpoint holds: the average as the weights of the store, and the weights themselves in
  /// `state`, whose tensors of that kind are removed. The average leaves the store.
  void load(ParameterStore& store, std::vector<NamedTensor>& state, const std::string& where);
  /// The weights of the store by the names they have in optimizer.safetensors: "weights.layers.0.attn.W_Q".
  static std::vector<NamedTensor> state(const ParameterStore& store);
  /// While one lives, the store has the average for its weights; nothing happens where there is none.
  class InUse {
   public:
    InUse(WeightAverage* average, ParameterStore& store) : average_(average), store_(store) { exchange(); }
    ~InUse() { exchange(); }
    InUse(const InUse&) = delete;
    InUse& operator=(const InUse&) = delete;

   private:
    void exchange();
    WeightAverage* average_;
    ParameterStore& store_;
  };
  std::size_t bytes() const;

 private:
  std::vector<Tensor> values_;  // by slot
  double decay_;
};

}  // namespace qkv
