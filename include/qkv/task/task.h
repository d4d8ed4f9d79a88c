// Task: data, loss, scoring and prediction of one problem; what it is made from, with the keys that tasks
// share with the trainer and the models.
#pragma once
#include <memory>
#include <string>

#include "qkv/base/config.h"
#include "qkv/base/json_fwd.h"
#include "qkv/data/tokenizer.h"
#include "qkv/model/model.h"
#include "qkv/task/metrics.h"

namespace qkv {

/// The table [run].
struct RunConfig {
  std::string name, out_dir = "runs";
  std::int64_t seed = 1337, threads = 0, shards = 0;
  Dtype dtype = Dtype::f32;
  Matmul matmul = Matmul::f32;
  void fields(FieldCollector& f) {
    f("name", name, "name of the run directory; empty = name of the config file");
    f("out_dir", out_dir, "where run directories go, relative to the working directory", rule::folder);
    f("seed", seed, "seed of everything random", rule::non_negative);
    f("threads", threads, "worker threads; 0 = all. Never changes the result", rule::between(0, 1024));
    f("shards", shards, "parts a batch is split into (a power of two); 0 = chosen from the batch",
      rule::between(0, 256));
    f("dtype", dtype, "type of the parameters", rule::one_of({"f32", "f64"}));
    f("matmul", matmul, "operands of f32 products: as they are, or rounded to bf16 (sums stay f32)");
  }
};

/// The keys of [train] that shape a cross entropy in training; evaluations know nothing of them.
struct LossConfig {
  double label_smoothing = 0.0, z_loss = 0.0;
  void fields(FieldCollector& f) {
    f("label_smoothing", label_smoothing,
      "share of the target's probability spread over all classes or tokens", rule::probability);
    f("z_loss", z_loss,
      "coefficient of log^2 Z, Z = sum of exp(logits), in the loss that is trained, not in that of "
      "evaluations "
      "(PaLM, Chowdhery et al. 2022: 1e-4); 0 = none",
      rule::non_negative);
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
  std::uint64_t seed() const { return std::uint64_t(config.section("run").read<RunConfig>().seed); }
  Index max_length() const { return config.section("model").read<LengthConfig>().max_seq_len; }
  std::string model_type() const { return config.section("model").type(Model::kDefault); }
  /// Whether the model may copy words of a source.
  bool copies() const { return config.section("model").given<bool>("copy").value_or(false); }
  /// The keys of [train] that a task has: LossConfig, or a struct that adds to it.
  template <class Config = LossConfig>
  Config loss() const {
    return config.section("train").read<Config>();
  }
};

/// A value of a metric on the validation split that takes no training, to compare a model with: "bigrams",
/// "majority class".
struct ReferenceLevel {
  std::string name, metric;
  double value;
  std::string meaning;  ///< one sentence
};

enum class Split { train, val, test };
constexpr Split kSplits[] = {Split::train, Split::val, Split::test};
const char* name_of(Split split);
/// "train" | "val" | "test"; throws a usage error otherwise.
Split split_from(const std::string& name);

/// A loss to differentiate: the sum over `count` examples or tokens.
struct Loss {
  Var sum;
  double count;
};

/// A text whose way through the model is shown: its words are what the model sees, one per position.
struct ProbeText {
  std::string text;
  std::vector<std::string> words;
  int target = -1;  ///< position of the word that the answer is about, or -1
  int label = -1;   ///< the right class, or -1
  int cue = -1;     ///< position of the word that decides, where the data knows it, or -1
  int cut = 0;      ///< words or tokens of the text that the model has no room for
  /// Of a model that reads a source: its words; `words` are then those that its decoder reads.
  std::vector<std::string> source = {};
};

/// A usage error for the first word of a text that is not among those `known` to a task; `what` they are
/// ("words").
void check_known(const std::vector<std::string>& words, const std::vector<std::string>& known,
                 const char* what);

/// What a problem must say to be trained, evaluated and used. `examples`, `collate`, `loss`, `score` and
/// `shape` are enough to train; the rest has a default.
///
///     struct Mine : Task { explicit Mine(const TaskInput& input); ... };
///     QKV_REGISTER(Task, "mine", Mine, "one line of help");   // then: [task] type = "mine"
struct Task {
  static constexpr const char* kDefault = "wsd";  ///< [task] type
  using Factory = std::unique_ptr<Task>(const TaskInput& input);
  virtual ~Task() = default;

  virtual DataShape shape() const = 0;

  // ---- data
  /// Reads what a new run learns from the training data before the model is made: vocabulary, names of
  /// classes. Called once, by `make_task`; not for a trained model. Default: nothing.
  virtual void prepare() {}
  /// Number of examples of a split; 0 when there is no such data. Loads the data when first asked.
  virtual Index examples(Split split) = 0;
  /// Length of an example (split, number) in tokens, for bucketing and for choosing the number of shards.
  /// Default: 1.
  virtual Index length(Split, int) const { return 1; }
  /// True if all examples are of one length: then batches need no buckets, and the order of the examples no
  /// memory.
  virtual bool uniform_length() const { return false; }
  /// Fills `batch` with the `n` examples at `indices`; `Batch::fill` reuses the tensors of last time. `noise`
  /// is given while training, for word dropout and the like. Called by several threads at once.
  virtual void collate(Split split, const int* indices, Index n, const Stream* noise, Batch& batch) const = 0;
  /// Real tokens (no padding) in a batch. Default: the ones in "keep" where the batch has it, else the
  /// leading extent of its first tensor.
  virtual Index tokens(const Batch& batch) const;
  /// A batch of shape-only tensors, to walk the model without computing. Default: the shapes of the longest
  /// of the first examples of all splits, since what is too long for a model must be reported before it is
  /// trained.
  virtual Batch symbolic_batch(Index batch_size);
  /// Facts about the data for the log, e.g. the rate of unknown words. What is called "cut_THINGS_SPLIT" is
  /// the number of examples that are too long for the model, of which users are warned. Default: none.
  virtual std::vector<std::pair<std::string, double>> facts() { return {}; }

  // ---- learning
  virtual Loss loss(const Model& model, const Batch& batch) const = 0;
  /// Adds what an evaluation reports: at least the mean "loss". See `score_classes`. A batch may hold
  /// "sampled" [B] (i32): only those with 1 need what is costly, such as generated texts.
  virtual void score(const Model& model, const Batch& batch, Metrics& metrics) const = 0;
  /// The metrics that `score` gives, so that a config that names others is refused at once. Default: unknown.
  virtual std::vector<std::string> metrics() const { return {}; }
  /// Bytes that a thread keeps beside activations while it scores, such as caches of texts that are
  /// generated; for an estimate of the memory a run takes. Default: 0.
  virtual double scoring_bytes(const Model&) const { return 0; }

  /// Reference levels, computed from the data in a second or so. Default: none.
  virtual std::vector<ReferenceLevel> levels() { return {}; }

  // ---- use of a trained model
  /// The task's answer for one text, as an object with stable keys; "cut_tokens" is how much of the text the
  /// model had no room for. Default: an error that there is none.
  virtual Json predict(const Model& model, const std::string& text) const;
  /// A prediction as a person reads it, ending with a new line. Default: the JSON, indented.
  virtual std::string readable(const Json& prediction) const;

  // ---- a look inside
  /// These texts as the model sees them. Default: none.
  virtual std::vector<ProbeText> probe_texts(const std::vector<std::string>&) const { return {}; }
  /// A source and the beginning of its answer, for a model that reads a source. Default: a usage error.
  virtual ProbeText probe_pair(const std::string& source, const std::string& answer) const;
  /// That many first examples of each class, in the order of the split; of a task without classes, that many
  /// in all. Default: none.
  virtual std::vector<ProbeText> probe_examples(Split, Index) { return {}; }
  /// The batch of `n` of them.
  virtual Batch probe_batch(const ProbeText* texts, Index n) const;
  /// Names of the classes, for tasks with classes.
  virtual std::vector<std::string> classes() const { return {}; }

  /// The text of each token id; empty where ids have none. Default: that of the tokenizer.
  virtual std::vector<std::string> vocabulary() const;

  // ---- what a run keeps
  /// What a checkpoint keeps beside the tokenizer; comes back as TaskInput::state. Default: an empty object.
  virtual Json state() const;
  /// Default: none.
  virtual const Tokenizer* tokenizer() const { return nullptr; }
  /// Id of the token that ends a generated text, or -1. Default: that of the tokenizer.
  virtual int end_id() const { return tokenizer() ? tokenizer()->end_id() : -1; }
  /// Id of the token that ends a document, where the model reads each document by itself; else -1.
  virtual int document_end() const { return -1; }
  /// Data files, so that a run directory can keep copies: key of [data] -> path. Default: none.
  virtual std::vector<std::pair<std::string, std::string>> files() const { return {}; }
};

QKV_DECLARE_REGISTRY(Task);

/// The task that [task] type names, prepared. Throws a usage error for an unknown one and for what is wrong
/// with its keys. With `data_problem` a fault of the data does not end it: the text comes there, and the
/// task's sizes are 0.
std::unique_ptr<Task> make_task(const TaskInput& input, std::string* data_problem = nullptr);

/// `task.collate`, whose errors say for which examples.
void collate(const Task& task, Split split, const int* indices, Index n, const Stream* noise, Batch& batch);

/// Scores logits [B, n_class] against the classes in `batch` "label" [B] (i32): the mean "loss", the
/// confusion matrix, and where `batch` has "example" [B] (i32) whether each of them is right.
void score_classes(const Var& logits, const Batch& batch, const std::vector<std::string>& labels,
                   Metrics& metrics);

}  // namespace qkv
