// TaskInput: what a task is made from, with the keys that tasks share with the trainer and the models.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "qkv/base/config.h"
#include "qkv/base/json_fwd.h"
#include "qkv/data/tokenizer.h"
#include "qkv/tensor/dtype.h"
#include "qkv/tensor/shape.h"

namespace qkv {

/// The table [run].
struct RunConfig {
  std::string name, out_dir = "runs";
  std::int64_t seed = 1337, threads = 0, shards = 0;
  Dtype dtype = Dtype::f32;
  template <class F>
  void fields(F& f) {
    f("name", name, "name of the run directory; empty = name of the config file");
    f("out_dir", out_dir, "where run directories go, relative to the working directory", rule::folder);
    f("seed", seed, "seed of everything random", rule::non_negative);
    f("threads", threads, "worker threads; 0 = all. Never changes the result", rule::between(0, 1024));
    f("shards", shards, "parts a batch is split into (a power of two); 0 = chosen from the batch",
      rule::between(0, 256));
    f("dtype", dtype, "type of the parameters", rule::one_of({"f32", "f64"}));
  }
};

/// The key of [train] that shapes the loss of tasks whose targets can be smoothed.
struct LossConfig {
  double label_smoothing = 0.0;
  template <class F>
  void fields(F& f) {
    f("label_smoothing", label_smoothing,
      "share of the target's probability spread over all classes or tokens", rule::probability);
  }
};

/// Where a task comes from: a config, and for a trained model what its checkpoint kept. A task reads all its
/// keys in its constructor and reports what is wrong with them; data is read later (Task::prepare): so all
/// problems of a config come out together. What other tables say that a task needs, it gets from here.
struct TaskInput {
  Section config;                                  ///< the whole config
  std::shared_ptr<Tokenizer> tokenizer = nullptr;  ///< null for a new run: trained on the training data
  const Json* state = nullptr;                     ///< what `state()` gave, or null for a new run

  // ---- tables with keys of tasks
  Section data() const { return config.section("data"); }
  Section options() const { return config.section("task"); }
  Section tokenizer_table() const { return config.section("tokenizer"); }

  // ---- keys that others state
  std::uint64_t seed() const;      ///< run.seed
  Index max_length() const;        ///< model.max_seq_len
  std::string model_type() const;  ///< model.type
  /// The keys of [train] that a task has: LossConfig, or a struct that adds to it.
  template <class Config = LossConfig>
  Config loss() const {
    return config.section("train").read<Config>();
  }
};

}  // namespace qkv
