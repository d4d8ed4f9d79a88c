// SparseSgd: the optimizer of models whose rows learn in place.
#pragma once
#include "model/skip_gram.h"
#include "qkv/train/optimizer.h"

namespace qkv {

/// The steps of a run are the model's (see RowLearner and InPlaceStep); in your own loop this is plain
/// gradient descent.
class SparseSgd : public Optimizer {
 public:
  SparseSgd(const Section& config, const ParameterStore& store);
  RowSharing sharing() const { return sharing_; }

 private:
  void update(const Chunk& chunk, Tensor& value, const Tensor& gradient, const Step& step,
              bool decay) override;
  RowSharing sharing_;
};

}  // namespace qkv
