// SkipGram: word vectors that predict the words around them, with negative sampling.
#pragma once
#include <memory>

#include "model/row_learner.h"
#include "qkv/model/model.h"

namespace qkv {

struct SkipGramConfig {
  Index d_model = 100;
  template <class F>
  void fields(F& f) {
    f("d_model", d_model, "width of the vectors", rule::positive);
  }
};

/// Mikolov et al., "Distributed representations of words and phrases and their compositionality" (NeurIPS
/// 2013). Parameters: `embed.weight` [V, d], the vectors, and `output.weight` [V, d]. A batch holds P
/// predictions: `input_ids` [N] and `input_offsets` [P + 1] (i32), the words whose mean vector predicts
/// (skip-gram: one, CBOW: those around), and `targets` [P, 1 + K] (i32), the true word and K drawn ones.
/// forward() gives the scores [P, 1 + K]: score = mean of the inputs . output row. The loss is
/// -log s(true) - sum log s(-drawn), s the logistic function. learn() follows its gradient one prediction
/// after the other; each of several inputs makes the whole step of their mean, as in the published program.
class SkipGram : public Model, public RowLearner {
 public:
  SkipGram(const Scope& scope, const Section& section, const DataShape& shape);
  ~SkipGram() override;
  Var forward(const Batch& batch) const override;

  void share(int shards, RowSharing sharing) override;
  Learned learn(const Batch& batch, int shard, double lr) override;
  double join(bool keep) override;

  const SkipGramConfig config;
  Parameter embed, output;

 private:
  struct Shards;
  std::unique_ptr<Shards> shards_;
  RowSharing sharing_ = RowSharing::separate;
};

}  // namespace qkv
