// The keys of metrics.jsonl, each stated once. What writes and what reads a record names its keys from here;
// docs/map.md has the same list as a table, which a test compares.
#pragma once
#include <string>
#include <string_view>

namespace qkv {

struct RecordKey {
  /// As it is written. Capital letters stand for a name that varies: "gradient/PARAMETER".
  std::string_view name;
  std::string_view records;  ///< types of the records that may have it
  std::string_view type, unit, meaning;
};

/// A key with `part` for what varies in it: key_of(key::gradient, "head.weight").
inline std::string key_of(std::string_view name, std::string_view part) {
  constexpr std::string_view kCapitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::size_t begin = name.find_first_of(kCapitals), end = name.find_last_of(kCapitals);
  return std::string(name.substr(0, begin)).append(part).append(name.substr(end + 1));
}

// KEY(identifier, name, records, type, unit, meaning)
#define QKV_RECORD_KEYS(KEY)                                                                                 \
  KEY(version, "version", "start", "text", "", "of qkv")                                                     \
  KEY(name, "name", "start", "text", "", "of the run")                                                       \
  KEY(task, "task", "start", "text", "", "`task.type`")                                                      \
  KEY(model, "model", "start", "text", "", "`model.type`")                                                   \
  KEY(parameters, "parameters", "start nonfinite", "integer or text", "",                                    \
      "number of the model's parameters; names of those that are not finite, or that the op reads")          \
  KEY(trained_parameters, "trained_parameters", "start", "integer", "",                                      \
      "number of those that are trained, where that is not all of them")                                     \
  KEY(train_examples, "train_examples", "start", "integer", "", "examples of the training split")            \
  KEY(val_examples, "val_examples", "start", "integer", "", "examples of the validation split")              \
  KEY(test_examples, "test_examples", "start", "integer", "", "examples of the test split")                  \
  KEY(vocab_size, "vocab_size", "start", "integer", "", "tokens that the model knows")                       \
  KEY(max_steps, "max_steps", "start", "integer", "steps", "length of the run")                              \
  KEY(batch_size, "batch_size", "start", "integer", "", "`data.batch_size`")                                 \
  KEY(optimizer, "optimizer", "start", "text", "", "`optimizer.type`")                                       \
  KEY(metric, "metric", "start", "text", "", "`eval.metric`, which decides what is best")                    \
  KEY(seed, "seed", "start", "integer", "", "`run.seed`")                                                    \
  KEY(dtype, "dtype", "start", "text", "", "`run.dtype`")                                                    \
  KEY(threads, "threads", "start", "integer", "", "worker threads")                                          \
  KEY(shards, "shards", "start", "integer", "", "parts that a batch is split into")                          \
  KEY(run_dir, "run_dir", "start", "text", "", "the run directory")                                          \
  KEY(resumed_from, "resumed_from", "start", "integer", "step", "step at which a resumed run continues")     \
  KEY(memory_bytes, "memory_bytes", "start", "integer", "bytes", "estimated peak memory")                    \
  KEY(memoryless_loss, "memoryless_loss", "start", "number", "", "loss of the best model without memory")    \
  KEY(train_words, "train_words", "start", "number", "", "words of the training text")                       \
  KEY(source_vocab_size, "source_vocab_size", "start", "number", "", "tokens of the source")                 \
  KEY(tokens_in, "SPLIT_tokens", "start", "number", "", "tokens of the split's text")                        \
  KEY(unknown, "unknown_WHAT_SPLIT", "start", "number", "", "share of the words or tokens that are unknown") \
  KEY(cut, "cut_WHAT_SPLIT", "start", "number", "", "examples that are longer than `model.max_seq_len`")     \
  KEY(split, "split", "eval", "text", "", "`val`, or at the end `test`")                                     \
  KEY(step, "step", "train eval norms circuits sample spike nonfinite end", "integer", "step",               \
      "optimizer steps done, skipped ones included; of `nonfinite` the step that failed")                    \
  KEY(epoch, "epoch", "train", "number", "", "passes over the training data")                                \
  KEY(loss, "loss", "train eval circuits spike nonfinite", "number", "",                                     \
      "mean loss since the record before; of the split; of the texts on which heads are scored; of this "    \
      "step")                                                                                                \
  KEY(attention_loss, "attention_loss", "train", "number", "",                                               \
      "mean divergence of the attention from what was drawn, of this step (`[train.attention_loss]`)")       \
  KEY(usual_loss, "usual_loss", "spike", "number", "", "running mean of the loss before")                    \
  KEY(lr, "lr", "train", "number", "", "learning rate of this step")                                         \
  KEY(grad_norm, "grad_norm", "train spike nonfinite", "number", "",                                         \
      "norm of the gradient of this step before clipping")                                                   \
  KEY(usual_grad_norm, "usual_grad_norm", "spike", "number", "",                                             \
      "running geometric mean of that norm before")                                                          \
  KEY(tokens, "tokens", "train end", "integer", "tokens", "trained on since the run began, without padding") \
  KEY(skipped, "skipped", "train nonfinite", "integer", "steps",                                             \
      "left out so far, if this one was (`train.on_nonfinite = \"skip\"`)")                                  \
  KEY(tokens_per_s, "tokens_per_s", "train", "number", "1/s",                                                \
      "since the record before, evaluations and checkpoints included")                                       \
  KEY(step_ms, "step_ms", "train", "number", "ms", "per step, over the same time")                           \
  KEY(time_s, "time_s", "start train end", "number", "s",                                                    \
      "since the run began, without the time between stop and resume; of `start` only after a resume")       \
  KEY(accuracy, "accuracy", "eval", "number", "", "share of right answers")                                  \
  KEY(macro_f1, "macro_f1", "eval", "number", "", "mean over the classes of F1")                             \
  KEY(exact_match, "exact_match", "eval", "number", "", "share of answers that are right as a whole")        \
  KEY(answer_loss, "answer_loss", "eval", "number", "", "mean loss of the answer's tokens")                  \
  KEY(token_accuracy, "token_accuracy", "eval", "number", "", "share of right next tokens")                  \
  KEY(perplexity, "perplexity", "eval", "number", "", "exp(loss)")                                           \
  KEY(bits_per_char, "bits_per_char", "eval", "number", "bits", "loss per character of the text")            \
  KEY(bleu, "bleu", "eval", "number", "%", "BLEU-4 of generated texts")                                      \
  KEY(chrf, "chrf", "eval", "number", "%", "chrF of generated texts")                                        \
  KEY(rouge, "rougeN", "eval", "number", "%", "ROUGE-1, ROUGE-2 and ROUGE-L of generated texts")             \
  KEY(of_training, "train_METRIC", "eval", "number", "",                                                     \
      "the same metrics on training examples (`eval.train_examples`)")                                       \
  KEY(best, "best", "eval", "boolean", "", "`true` where `eval.metric` is the best so far")                  \
  KEY(weight, "weight/PARAMETER", "norms", "number", "", "norm of a parameter")                              \
  KEY(gradient, "gradient/PARAMETER", "norms", "number", "",                                                 \
      "norm of its gradient in this step before clipping")                                                   \
  KEY(ablation, "ablation/HEAD", "circuits", "number", "nats",                                               \
      "what the loss gains when the mean output of the head takes the place of its output")                  \
  KEY(role, "role/HEAD", "circuits", "text", "", "what a head that the answers need attends to")             \
  KEY(match, "match/HEAD", "circuits", "number", "", "share of its attention that fits the role")            \
  KEY(head_cut, "cut/GROUP", "circuits", "number", "nats",                                                   \
      "what the loss gains on other texts without the heads of a layer that have the same role")             \
  KEY(patching, "patching/FROM > TO", "circuits", "number", "nats",                                          \
      "what the loss gains when the heads TO have the outputs that they have after the ablation of FROM")    \
  KEY(sample_text, "text", "sample", "text", "", "one of `inspect.samples`")                                 \
  KEY(sample_answer, "answer", "sample", "text", "", "the model's answer, as `qkv predict` prints it")       \
  KEY(pass, "pass", "nonfinite", "text", "", "`forward`, `backward`, `reduce` or `update`")                  \
  KEY(op, "op", "nonfinite", "text", "", "op that gave the first value that is not finite")                  \
  KEY(layer, "layer", "nonfinite", "text", "", "layer that ran the op")                                      \
  KEY(examples, "examples", "nonfinite", "text", "", "training examples that give such values")              \
  KEY(where, "where", "nonfinite", "text", "", "range of the values of that tensor")                         \
  KEY(input, "input_N", "nonfinite", "text", "", "range of what went into the op")                           \
  KEY(reason, "reason", "end", "text", "", "`max_steps`, `early_stop`, `interrupted` or `diverged`")         \
  KEY(data_s, "data_s", "end", "number", "s", "spent on making batches, in this process")                    \
  KEY(forward_s, "forward_s", "end", "number", "s", "spent on the forward pass")                             \
  KEY(backward_s, "backward_s", "end", "number", "s", "spent on the backward pass")                          \
  KEY(reduce_s, "reduce_s", "end", "number", "s", "spent on adding up gradients")                            \
  KEY(update_s, "update_s", "end", "number", "s", "spent in the optimizer")                                  \
  KEY(eval_s, "eval_s", "end", "number", "s", "spent on evaluations")                                        \
  KEY(capture_s, "capture_s", "end", "number", "s", "spent on captures")                                     \
  KEY(circuits_s, "circuits_s", "end", "number", "s", "spent on scoring heads")                              \
  KEY(checkpoint_s, "checkpoint_s", "end", "number", "s", "spent on checkpoints")                            \
  KEY(best_step, "best_step", "end", "integer", "step", "step of the best evaluation")                       \
  KEY(best_value, "best_value", "end", "number", "", "its value of `eval.metric`")                           \
  KEY(checkpoint, "checkpoint", "end", "text", "", "the checkpoint of that step")

namespace key {
#define QKV_KEY(identifier, name, records, type, unit, meaning) \
  inline constexpr std::string_view identifier = name;
QKV_RECORD_KEYS(QKV_KEY)
#undef QKV_KEY
}  // namespace key

#define QKV_KEY(identifier, name, records, type, unit, meaning) {name, records, type, unit, meaning},
inline constexpr RecordKey kRecordKeys[] = {QKV_RECORD_KEYS(QKV_KEY)};
#undef QKV_KEY

}  // namespace qkv
