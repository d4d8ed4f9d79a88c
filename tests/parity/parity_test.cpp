// The same tiny models from the same weights here and in an independent implementation (make_reference.py):
// logits, every gradient of the first step, and the losses of ten steps of AdamW.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "paths.h"
#include "qkv/base/text.h"
#include "qkv/model/model.h"
#include "qkv/ops/loss.h"
#include "qkv/tensor/safetensors.h"
#include "qkv/train/optimizer.h"

using namespace qkv;

namespace {

struct Reference {
  explicit Reference(const std::string& name)
      : tensors(read_safetensors(source_dir() + "/tests/parity/" + name + ".safetensors", &metadata)) {}
  const Tensor& at(const std::string& name) const {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const auto& t) { return t.name == name; });
    REQUIRE_MESSAGE(found != tensors.end(), name);
    return found->tensor;
  }
  /// Those whose name begins with `prefix`, without it.
  std::vector<NamedTensor> with(const std::string& prefix) const {
    std::vector<NamedTensor> result;
    for (const NamedTensor& t : tensors)
      if (starts_with(t.name, prefix)) result.push_back({t.name.substr(prefix.size()), t.tensor});
    return result;
  }
  Index size(const std::string& name) const { return std::stoll(metadata.at(name)); }

  SafetensorsMetadata metadata;
  std::vector<NamedTensor> tensors;
};

// Largest difference, relative to the largest magnitude of the reference. What is 0 but for rounding (softmax
// does not see the bias of the keys) counts as 1e-3.
double error(const Tensor& result, const Tensor& reference) {
  REQUIRE(result.shape() == reference.shape());
  double difference = 0, magnitude = 1e-3;
  for (Index i = 0; i < result.size(); i++) {
    difference = std::max(difference, std::abs(result.at(i) - reference.at(i)));
    magnitude = std::max(magnitude, std::abs(reference.at(i)));
  }
  return difference / magnitude;
}

void check_parity(const std::string& name, Dtype dtype, double bound) {
  CAPTURE(name);
  CAPTURE(dtype);
  const Reference reference(name);
  ParameterStore store(1, dtype);
  const Section config = Section::parse(reference.metadata.at("model"), name);
  const DataShape shape{reference.size("vocab"), reference.size("classes"), 0,
                        reference.size("source_vocab")};
  const auto model = make_model(Scope(store), config.section("model"), shape);
  config.finish();
  std::vector<NamedTensor> weights = reference.with("weight.");
  for (NamedTensor& weight : weights) weight.tensor = weight.tensor.to(dtype);
  CHECK(store.load(weights, name) == static_cast<int>(weights.size()));
  Batch batch;
  for (const NamedTensor& t : reference.with("batch.")) batch.set(t.name, t.tensor);

  CHECK(error(model->forward(batch).value(), reference.at("logits")) < bound);
  const auto optimizer = make_optimizer(reference.metadata.at("optimizer"), store);
  const Tensor& losses = reference.at("losses");
  CrossEntropyOptions options;
  if (reference.metadata.count("z_loss")) options.z_loss = std::stod(reference.metadata.at("z_loss"));
  Gradients gradients;
  for (Index step = 0; step < losses.size(); step++) {
    CAPTURE(step);
    gradients.clear();
    Tape tape;
    const Var loss = cross_entropy_mean(model->forward(batch), batch.at("targets"), options);
    tape.backward(loss, gradients);
    CHECK(std::abs(loss.value().item() / losses.at(step) - 1) < bound);
    if (step == 0)
      for (int s = 0; s < store.size(); s++)
        for (const ParameterStore::Part& part : store.slot(s).parts) {
          CAPTURE(part.name);
          CHECK(error(gradients.of_slot(s).rows(part.begin, part.rows),
                      reference.at("gradient." + part.name)) < bound);
        }
    optimizer->step(store, gradients);
  }
}

}  // namespace

TEST_CASE(
    "a GPT, an encoder, an encoder-decoder and a BERT, and such of modern blocks, agree with an independent "
    "implementation in f64 and f32") {
  for (const char* name : {"gpt", "encoder", "encoder-decoder", "bert", "modern", "gpt-window", "gpt-t5",
                           "gpt-shaw", "encoder-t5", "encoder-decoder-t5"}) {
    check_parity(name, Dtype::f64, 1e-5);
    check_parity(name, Dtype::f32, 1e-4);
  }
}
