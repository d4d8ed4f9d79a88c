// What imported and exported models compute, and copies of the shipped folders to damage.
#pragma once
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file.h"
#include "base/temporary_folder.h"
#include "cli/process.h"
#include "interop/format.h"
#include "interop/import.h"
#include "paths.h"
#include "qkv/base/json.h"
#include "qkv/model/generate.h"
#include "qkv/tensor/safetensors.h"
#include "qkv/train/experiment.h"

namespace qkv::test {

/// Runs qkv in a folder; it must succeed.
inline Finished run_well(const std::vector<std::string>& arguments, const TemporaryFolder& folder) {
  const Finished done = run_qkv(arguments, {folder.path});
  CAPTURE(arguments[0]);
  CAPTURE(done.err);
  CHECK(done.code == 0);
  return done;
}

inline std::string model_folder(const std::string& name) {
  return source_dir() + "/tests/interop/models/" + name;
}

inline Tensor logits_of(const Experiment& e, const Tensor& ids) {
  Batch batch;
  batch.fill("ids", ids.shape(), Dtype::i32).copy_from(ids);
  return e.model->forward(batch).value();
}

/// The same of a model that reads more than ids: what is stored beside its logits.
inline Tensor logits_of(const Experiment& e, const std::vector<NamedTensor>& expected) {
  Batch batch;
  for (const NamedTensor& one : expected)
    if (one.name != "logits" && one.name != "greedy") batch.set(one.name, one.tensor);
  return e.model->forward(batch).value();
}

/// The likeliest tokens after the first row of ids, without the one that ends the text.
inline std::vector<int> greedy_of(const Experiment& e, const Tensor& ids, Index count) {
  const int* first = ids.data<std::int32_t>();
  GenerateOptions options;
  options.sampling.temperature = 0;
  options.max_tokens = count;
  options.never = e.task->tokenizer()->unwritten();
  options.stop = e.task->end_id();
  std::vector<int> result;
  generate(dynamic_cast<const Generator&>(*e.model), {first, first + ids.dim(1)}, options, [&](int id) {
    result.push_back(id);
    return true;
  });
  return result;
}

/// Largest difference, relative to the largest magnitude.
inline double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0, magnitude = 0;
  for (Index i = 0; i < a.size(); i++) {
    most = std::max(most, std::abs(a.at(i) - b.at(i)));
    magnitude = std::max(magnitude, std::abs(b.at(i)));
  }
  return most / magnitude;
}

inline void check_same_bits(const std::vector<NamedTensor>& a, const std::vector<NamedTensor>& b) {
  REQUIRE(a.size() == b.size());
  for (const NamedTensor& one : a) {
    CAPTURE(one.name);
    const Tensor other = tensor_named(one.name, b);
    REQUIRE(other.defined());
    REQUIRE(other.shape() == one.tensor.shape());
    REQUIRE(other.dtype() == one.tensor.dtype());
    CHECK(std::memcmp(other.bytes(), one.tensor.bytes(), one.tensor.byte_size()) == 0);
  }
}

/// import(export(e)): parameters to the bit, and the ids of the tokenizer.
inline Experiment check_round_trip(const Experiment& e, const std::string& scratch) {
  export_model(e, "hf", scratch + "/hf");
  const Imported made = import_folder(scratch + "/hf", scratch + "/run", {});
  Experiment again = load_experiment(made.run);
  check_same_bits(e.parameters->named(), again.parameters->named());
  const Tokenizer &a = *e.task->tokenizer(), &b = *again.task->tokenizer();
  for (const char* text : {"the bank", "She ran, past it\n\n twice", "one  more \u00e9 \u4f60"})
    CHECK(a.encode(text) == b.encode(text));
  CHECK(a.vocab().tokens() == b.vocab().tokens());
  CHECK(e.task->end_id() == again.task->end_id());
  return again;
}

/// A folder of transformers, with NAME.safetensors beside it (see make_reference.py), gives the same here.
inline void check_against_reference(const std::string& folder) {
  CAPTURE(folder);
  const std::vector<NamedTensor> expected = read_safetensors(folder + ".safetensors");
  const Tensor ids = tensor_named("ids", expected), greedy = tensor_named("greedy", expected);
  const TemporaryFolder scratch;
  const Imported made = import_folder(folder, scratch / "imported", {});
  const Experiment e = load_experiment(made.run);
  CHECK(difference(logits_of(e, expected), tensor_named("logits", expected)) < 1e-4);
  check_round_trip(e, scratch.path);
  if (!greedy.defined()) return;
  std::vector<int> tokens(greedy.data<std::int32_t>(), greedy.data<std::int32_t>() + greedy.size());
  if (!tokens.empty() && tokens.back() == e.task->end_id()) tokens.pop_back();
  CHECK(greedy_of(e, ids, greedy.size()) == tokens);
}

}  // namespace qkv::test
