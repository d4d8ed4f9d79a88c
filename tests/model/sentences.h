// Batches of the model tests: sentences of word ids with a target, padded on the right, with n-grams.
#pragma once
#include "nn/layer_check.h"
#include "qkv/model/model.h"

namespace qkv::test {

struct Sentence {
  std::vector<std::int32_t> ids;
  std::int32_t target = 0;
};

constexpr std::int32_t kBuckets = 7;

/// The n-grams of word i are i and 2 i, modulo kBuckets; padding has none.
inline Batch batch_of(const std::vector<Sentence>& sentences, std::size_t length = 0) {
  for (const Sentence& s : sentences) length = std::max(length, s.ids.size());
  std::vector<std::int32_t> words, keep, target, grams, offsets{0};
  for (const Sentence& s : sentences) {
    target.push_back(s.target);
    for (std::size_t t = 0; t < length; t++) {
      const bool word = t < s.ids.size();
      words.push_back(word ? s.ids[t] : 0);
      keep.push_back(word);
      if (word) grams.insert(grams.end(), {s.ids[t] % kBuckets, 2 * s.ids[t] % kBuckets});
      offsets.push_back(static_cast<std::int32_t>(grams.size()));
    }
  }
  const Index B = static_cast<Index>(sentences.size()), T = static_cast<Index>(length);
  Batch batch;
  batch.set("ids", Tensor::from({B, T}, words));
  batch.set("keep", Tensor::from({B, T}, keep));
  batch.set("target", Tensor::from({B}, target));
  batch.set("ngram_ids", Tensor::from({static_cast<Index>(grams.size())}, grams));
  batch.set("ngram_offsets", Tensor::from({B * T + 1}, offsets));
  return batch;
}

/// A model of 10 words and 3 classes with random parameters, built from the text of its [model] table.
struct TestModel {
  explicit TestModel(const std::string& table, Dtype dtype = Dtype::f64, bool symbolic = false)
      : store(1, dtype, symbolic),
        config(Section::parse("[model]\n" + table, "c.toml")),
        model(make_model(Scope(store), config.section("model"), {10, 3, kBuckets})) {
    config.finish();
    if (!symbolic) randomize(store);
  }
  Tensor logits(const Batch& batch) const { return model->forward(batch).value(); }
  Tensor logits(const std::vector<Sentence>& sentences) const { return logits(batch_of(sentences)); }

  ParameterStore store;
  Section config;
  std::unique_ptr<Model> model;
};

}  // namespace qkv::test
