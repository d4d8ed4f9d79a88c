// SyntheticClassification: synthetic token sequences to classify, for benchmarks and first steps; no files.

#include "qkv/base/text.h"
#include "task/common.h"

namespace qkv {
namespace {

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
  explicit SyntheticClassification(const TaskInput& input) : seed_(input.seed()) {
    const Section data = input.data();
    data.read(data_);
    if (data_.vocab_size < data_.n_class)
      data.report("vocab_size",
                  fmt::format("must be at least n_class = {}; got {}", data_.n_class, data_.vocab_size));
    const Index longest = input.max_length();
    check_at_most(data, "length", data_.length, "model.max_seq_len", longest);
    data.check();
    for (Index i = 0; i < data_.n_class; i++) labels_.push_back(fmt::format("class {}", i));
  }

  DataShape shape() const override { return {data_.vocab_size, data_.n_class, 0}; }
  Index examples(Split split) override {
    return split == Split::train ? data_.examples : data_.eval_examples;
  }

  Index length(Split, int) const override { return data_.length; }
  void collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const override {
    const Index T = data_.length, V = data_.vocab_size, C = data_.n_class;
    std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
    std::int32_t* example = batch.fill("example", {n}, Dtype::i32).data<std::int32_t>();
    batch.fill("keep", {n, T}, Dtype::i32).fill(1);
    batch.fill("target", {n}, Dtype::i32).fill(0);
    for (Index b = 0; b < n; b++) {
      const Index c = indices[b] % C;
      example[b] = indices[b];
      label[b] = static_cast<std::int32_t>(c);
      std::int32_t* row = ids + b * T;
      Stream stream(seed_, name_of(split), indices[b]);
      for (Index t = 0; t < T; t++) {
        // 31 of the bits choose a token: multiply and shift, without division. The last one: of which kind?
        const std::uint64_t bits = stream.bits();
        const bool any = bits & 1;
        const Index below = any ? V : (V - c + C - 1) / C;  // tokens c, c + C, c + 2 C, ...
        const Index chosen = static_cast<Index>(((bits >> 1) * static_cast<std::uint64_t>(below)) >> 31);
        row[t] = static_cast<std::int32_t>(any ? chosen : c + C * chosen);
      }
    }
  }

  Index tokens(const Batch& batch) const override { return batch.at("ids").size(); }

 private:
  SyntheticClassificationConfig data_;
  std::uint64_t seed_;
};

QKV_REGISTER(Task, "synthetic-classification", SyntheticClassification,
             "synthetic token sequences to classify, for benchmarks");

}  // namespace
}  // namespace qkv
