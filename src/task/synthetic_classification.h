// SyntheticClassification: made-up token sequences to classify, for benchmarks and first steps; no files.
#pragma once
#include "task/common.h"

namespace qkv {

/// The keys of [data] for this task.
struct SyntheticClassificationConfig {
  Index vocab_size = 256, length = 16, n_class = 2, examples = 4096, eval_examples = 256;
  template <class F>
  void fields(F& f) {
    f("vocab_size", vocab_size, "number of different tokens", rule::between(2, 1 << 30));
    f("length", length, "tokens per sequence", rule::between(1, 1 << 20));
    f("n_class", n_class, "number of classes", rule::between(2, 1 << 20));
    f("examples", examples, "training sequences", rule::between(1, 1 << 30));
    f("eval_examples", eval_examples, "sequences of the validation split and of the test split",
      rule::between(0, 1 << 30));
  }
};

/// Example i of a split has the class i modulo n_class and tokens drawn from Stream(seed, split, i): half of
/// them, on average, from all tokens alike, the other half from the share of the vocabulary that belongs to
/// its class (token modulo n_class = class). So it can be learned, by counting, and costs no memory.
/// Batches: ids [B, T], keep [B, T] (all 1), target [B] (0), label [B], example [B].
class SyntheticClassification : public ClassTask {
 public:
  explicit SyntheticClassification(const TaskInput& input);

  DataShape shape() const override { return {data_.vocab_size, data_.n_class, 0}; }
  Index examples(Split split) override;
  Index length(Split, int) const override { return data_.length; }
  void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const override;
  Index tokens(const Batch& batch) const override { return batch.at("ids").size(); }

 private:
  SyntheticClassificationConfig data_;
  std::uint64_t seed_;
};

}  // namespace qkv
