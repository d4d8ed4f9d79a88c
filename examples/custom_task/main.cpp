// A user-defined task: at which position of a row is the largest digit? The examples are generated on the
// fly, as a function of (seed, split, index), and the model is the library's encoder classifier.
#include <qkv/base/json.h>
#include <qkv/qkv.h>

using namespace qkv;

struct LargestConfig {
  Index digits = 6, examples = 4000;
  void fields(FieldCollector& f) {
    f("digits", digits, "number of different digits in a row", rule::between(2, 10));
    f("examples", examples, "rows to train on", rule::positive);
  }
};

class Largest : public Task {
 public:
  explicit Largest(const TaskInput& input)
      : config_(input.data().read<LargestConfig>()), seed_(input.seed()) {
    for (Index i = 1; i <= config_.digits; i++) labels_.push_back("position " + std::to_string(i));
  }

  DataShape shape() const override { return {10, config_.digits, 0}; }
  Index examples(Split split) override { return split == Split::train ? config_.examples : 500; }
  Index length(Split, int) const override { return config_.digits; }

  void collate(Split split, const int* indices, Index n, const Stream*, Batch& batch) const override {
    const Index T = config_.digits;
    std::int32_t* ids = batch.fill("ids", {n, T}, Dtype::i32).data<std::int32_t>();
    std::int32_t* label = batch.fill("label", {n}, Dtype::i32).data<std::int32_t>();
    batch.fill("keep", {n, T}, Dtype::i32).fill(1);
    for (Index b = 0; b < n; b++) {
      const std::vector<int> order = permutation(10, Stream(seed_, name_of(split), indices[b]));
      std::copy_n(order.begin(), T, ids + b * T);
      label[b] = static_cast<std::int32_t>(std::max_element(ids + b * T, ids + (b + 1) * T) - (ids + b * T));
    }
  }

  Loss loss(const Model& model, const Batch& batch) const override {
    const CrossEntropy loss = cross_entropy(model.forward(batch), batch.at("label"));
    return {loss.sum, loss.weight};
  }

  void score(const Model& model, const Batch& batch, Metrics& metrics) const override {
    score_classes(model.forward(batch), batch, labels_, metrics);
  }

  Json predict(const Model& model, const std::string& text) const override {
    std::vector<std::int32_t> digits;
    for (char c : text)
      if (c >= '0' && c <= '9') digits.push_back(c - '0');
    if (static_cast<Index>(digits.size()) != config_.digits)
      fail(Fault::data, "largest: a row must have {} digits; got '{}'", config_.digits, text);
    Batch batch;
    batch.set("ids", Tensor::from({1, config_.digits}, digits));
    batch.set("keep", Tensor::full({1, config_.digits}, 1, Dtype::i32));
    const Tensor p = softmax(model.forward(batch)).value();
    const std::int32_t best = argmax(p, 1).data<std::int32_t>()[0];
    return {
        {"text", text}, {"position", best + 1}, {"probability", json_number(static_cast<float>(p.at(best)))}};
  }

  std::string readable(const Json& p) const override {
    return fmt::format("{}: the largest is at position {}  (p = {:.3f})\n", p["text"].get<std::string>(),
                       p["position"].get<int>(), p["probability"].get<double>());
  }

 private:
  LargestConfig config_;
  std::uint64_t seed_;
  std::vector<std::string> labels_;
};

QKV_REGISTER(Task, "largest", Largest, "the position of the largest of some digits");

int main(int argc, char** argv) {
  return qkv::run(argc, argv);
}
