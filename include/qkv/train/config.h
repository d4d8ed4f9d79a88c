// The config tables that belong to a training run, whatever the task.
#pragma once
#include "qkv/task/task.h"

namespace qkv {

/// What the size of a batch counts.
enum class BatchBy { examples, tokens };
inline std::vector<std::string> names_of(BatchBy) {
  return {"examples", "tokens"};
}

/// The keys of [data] that say which examples come together, whatever they are.
struct BatchConfig {
  static constexpr std::int64_t kMax = 1'000'000'000;
  std::int64_t batch_size = 32, eval_batch_size = 128, shuffle_block = 0;
  BatchBy batch_by = BatchBy::examples;
  bool buckets = true;
  void fields(FieldCollector& f) {
    f("batch_size", batch_size, "examples per batch", rule::positive);
    f("eval_batch_size", eval_batch_size, "examples per evaluation batch", rule::positive);
    f("batch_by", batch_by,
      "what batch_size counts: examples, or tokens of examples of similar length, padding included");
    f("buckets", buckets, "batches of examples of similar length");
    f("shuffle_block", shuffle_block,
      "0: every example is shuffled by itself; else so many neighbours stay near each other in the random "
      "order of an epoch, and long texts are read piece by piece",
      rule::between(0, kMax));
  }
  bool by_tokens() const { return batch_by == BatchBy::tokens; }
};

/// What follows a step that is not finite.
enum class OnNonfinite { stop, skip };
inline std::vector<std::string> names_of(OnNonfinite) {
  return {"stop", "skip"};
}

/// The table [train].
struct TrainConfig {
  std::int64_t max_steps = 0, max_epochs = 0, grad_accum_steps = 1;
  double grad_clip_norm = 1.0, spike = 8.0, ema_decay = 0.0;
  std::vector<std::string> freeze, init_except;
  std::string init_from;
  OnNonfinite on_nonfinite = OnNonfinite::stop;
  void fields(FieldCollector& f) {
    f("max_steps", max_steps, "optimizer steps; 0 = none, keep the initial weights; instead of max_epochs",
      rule::between(0, 1e12));
    f("max_epochs", max_epochs, "passes over the training data; instead of max_steps", rule::between(0, 1e9));
    f("grad_accum_steps", grad_accum_steps, "batches whose gradients are added up for one optimizer step",
      rule::positive);
    f("grad_clip_norm", grad_clip_norm, "largest global norm of the gradient; 0 = no limit",
      rule::non_negative);
    f("ema_decay", ema_decay,
      "evaluate and save an exponential moving average of the weights, with the decay min(ema_decay, (1 + "
      "step) / (10 + step)) per step; 0 = the weights themselves",
      rule::between(0.0, 0.999999));
    f("freeze", freeze, "name patterns (with *) of parameters that keep their initial value");
    f("init_from", init_from,
      "run directory or safetensors file with initial values for parameters of the same name", rule::path);
    f("init_except", init_except,
      "name patterns (with *) of parameters that do not get theirs from init_from, such as a new head");
    f("on_nonfinite", on_nonfinite, "at a NaN or infinity: stop, or skip the step");
    f("spike", spike,
      "a loss or gradient norm this many standard deviations above its running mean is logged; 0 = never",
      rule::non_negative);
  }
};

/// The table [train.lora]: low-rank adapters (Hu et al. 2021).
struct LoraConfig {
  Index rank = 0;
  double alpha = 16;
  std::vector<std::string> targets;
  void fields(FieldCollector& f) {
    f("rank", rank, "rows of A and columns of B; 0 = no adapters", rule::between(0, 1 << 16));
    f("alpha", alpha, "adapters count times alpha / rank", rule::positive);
    f("targets", targets,
      "name patterns (with *) of matrices W of init_from that become W + (alpha / rank) B A; only A and B "
      "are "
      "trained, and what init_except names");
  }
};

/// Keys of [train] by which a fork differs from its run.
struct ForkConfig {
  std::int64_t seed = 0;
  std::vector<std::int64_t> without;
  std::vector<std::string> ablate;
  void fields(FieldCollector& f) {
    f("seed", seed, "seed of the order of the examples, of dropout and of other noise; 0 = run.seed",
      rule::non_negative);
    f("without", without,
      "numbers of training examples, from 0, that keep their places in the batches but have no loss",
      rule::non_negative);
    f("ablate", ablate,
      "attention heads that are cut out, LAYER.HEAD: \"0.1\", \"1.*\", \"decoder.layers.0.cross_attn.1\"; "
      "their columns of W_O stay 0");
  }
};

/// The table [train.attention_loss]: attention that somebody has drawn (train/attention_loss.h).
struct AttentionLossConfig {
  std::string file;
  double weight = 0;
  std::vector<std::string> heads = {"0.*"};
  void fields(FieldCollector& f) {
    f("file", file,
      "drawn attention: JSON lines such as {\"text\": \"the river [bank]\", \"arrows\": [[\"bank\", "
      "\"river\"]]}",
      rule::path);
    f("weight", weight,
      "factor of the mean KL(drawn || attention) over the words from which arrows start, which is added to "
      "the "
      "mean loss; 0 = none",
      rule::non_negative);
    f("heads", heads,
      "name patterns (with *) of the heads that are to follow, LAYER.HEAD: \"0.*\", "
      "\"encoder.layers.0.attn.1\"");
  }
};

/// Which values of the metric that decides are better; by_metric: the lower ones of loss and perplexity, the
/// higher ones of others.
enum class Better { by_metric, max, min };
inline std::vector<std::string> names_of(Better) {
  return {"auto", "max", "min"};
}

/// The table [eval].
struct EvalConfig {
  std::int64_t every = 0, patience = 0, samples = 0, train_examples = 0;
  std::string metric = "loss";
  Better mode = Better::by_metric;
  bool test = true, levels = true;
  void fields(FieldCollector& f) {
    f("every", every, "steps between evaluations; 0 = once per epoch", rule::non_negative);
    f("metric", metric, "validation metric that decides which checkpoint is best");
    f("mode", mode,
      "whether larger (max) or smaller (min) values are better; auto: min for loss and perplexity");
    f("patience", patience, "stop after this many evaluations without improvement; 0 = never",
      rule::non_negative);
    f("samples", samples,
      "tasks that generate texts: how many validation examples they are scored on while training; 0 = all",
      rule::non_negative);
    f("train_examples", train_examples,
      "training examples, evenly spread, that each evaluation also scores, as train_loss and so on; 0 = none",
      rule::non_negative);
    f("test", test, "evaluate the best checkpoint on the test split at the end");
    f("levels", levels,
      "compute at the start what needs no training, for comparison: n-grams, the majority class, ...");
  }
  bool higher_is_better() const {
    return mode == Better::max || (mode == Better::by_metric && metric != "loss" && metric != "perplexity");
  }
};

/// The table [checkpoint].
struct CheckpointConfig {
  std::int64_t every = 0, keep_last = 2;
  bool keep_best = true;
  void fields(FieldCollector& f) {
    f("every", every, "steps between checkpoints; 0 = at each evaluation", rule::non_negative);
    f("keep_last", keep_last, "how many of the newest checkpoints are kept", rule::positive);
    f("keep_best", keep_best, "also keep the best checkpoint");
  }
};

/// The table [log].
struct LogConfig {
  std::int64_t every = 10, histograms = 100;
  bool tensorboard = false;
  void fields(FieldCollector& f) {
    f("every", every, "steps between training lines in metrics.jsonl and train.log", rule::positive);
    f("tensorboard", tensorboard, "write TensorBoard event files into the run directory");
    f("histograms", histograms,
      "steps between histograms of weights and gradients in the event file; 0 = none", rule::non_negative);
  }
};

/// What is kept of the inside of the model while it trains (captures.h).
struct InspectConfig {
  std::vector<std::string> capture = {"attention", "qkv", "vectors", "circuits"}, sentences, samples;
  std::int64_t every = 0, frames = 24, examples = 2, points = 120;
  double circuit_share = 0.1;
  void fields(FieldCollector& f) {
    f("capture", capture,
      "what is kept: attention (weights and scores), qkv (W_Q, W_K, W_V), vectors (of the target word), "
      "circuits "
      "(what each head does for the answers); [] = nothing");
    f("sentences", sentences, "texts whose attention is kept");
    f("samples", samples, "texts that the model answers at each evaluation, kept in metrics.jsonl");
    f("every", every, "steps between captures; 0 = `frames` of them, closer together at the start",
      rule::non_negative);
    f("frames", frames, "number of captures if `every` is 0", rule::between(4, 1000));
    f("examples", examples, "evaluation examples of each class whose attention is also kept",
      rule::between(0, 100));
    f("points", points, "evaluation examples whose vectors are kept", rule::between(0, 10000));
    f("circuit_share", circuit_share,
      "share of the training's arithmetic that scoring heads may take; it decides on how many texts and at "
      "how many "
      "captures they are scored",
      rule::probability);
  }
};

/// What `qkv bench` measures.
enum class BenchMode { train, generate };
inline std::vector<std::string> names_of(BenchMode) {
  return {"train", "generate"};
}

/// What `qkv bench` does with the config.
struct BenchConfig {
  BenchMode mode = BenchMode::train;
  std::int64_t prompt_tokens = 1, new_tokens = 64;
  void fields(FieldCollector& f) {
    f("mode", mode, "what bench measures: training steps or generated tokens");
    f("prompt_tokens", prompt_tokens, "tokens that each text in mode generate begins with", rule::positive);
    f("new_tokens", new_tokens, "tokens per text in mode generate", rule::positive);
  }
};

/// The tables that every training run reads, whatever its task.
struct TrainingTables {
  BatchConfig batches;
  TrainConfig train;
  ForkConfig fork;
  LoraConfig lora;
  AttentionLossConfig attention_loss;
  EvalConfig eval;
  CheckpointConfig checkpoint;
  LogConfig log;
  InspectConfig inspect;
  BenchConfig bench;
  /// Reads them, and reports what contradicts itself. `metrics` are those of the task, if known.
  void read(const Section& config, const std::vector<std::string>& metrics = {});
};

/// Reads [run], and reports what contradicts itself.
RunConfig read_run(const Section& config);

}  // namespace qkv
