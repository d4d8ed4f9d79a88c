// SkipGram: word vectors that predict the words around them, with negative sampling; and what its optimizer
// sees of it.
#pragma once
#include <memory>

#include "qkv/model/model.h"

namespace qkv {

/// How the shards of a step share the tables.
enum class RowSharing {
  separate,  ///< each learns on copies of the rows it meets; their changes are added up in the shards' order
  hogwild  ///< all write to the tables at once, without locks (Niu et al., 2011): fast, never twice the same
};

/// What models say that the optimizer "sparse-sgd" can train. A step is `learn` for each shard, by several
/// threads at once, then `join`. With `separate` the result depends on the number of shards, never on that of
/// threads; one shard is plain stochastic gradient descent.
struct RowLearner {
  struct Learned {
    double loss = 0, count = 0;
  };
  virtual ~RowLearner() = default;
  virtual void share(int shards, RowSharing sharing) = 0;
  /// A step of rate `lr` for each example of the batch; the losses before their steps.
  virtual Learned learn(const Batch& batch, int shard, double lr) = 0;
  /// Adds what the shards have changed to the tables, or forgets it without `keep`; the sum of squares of
  /// what was added, with hogwild 0.
  virtual double join(bool keep) = 0;
};

struct SkipGramConfig {
  Index d_model = 100;
  void fields(FieldCollector& f) { f("d_model", d_model, "width of the vectors", rule::positive); }
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
