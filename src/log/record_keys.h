// The keys of metrics.jsonl that more than one place writes or reads. The table in docs/map.md has all keys,
// with their records and meanings; a test compares it with what runs write.
#pragma once
#include <string>
#include <string_view>

namespace qkv {

namespace key {
inline constexpr std::string_view version = "version";
inline constexpr std::string_view name = "name";
inline constexpr std::string_view task = "task";
inline constexpr std::string_view model = "model";
inline constexpr std::string_view parameters = "parameters";
inline constexpr std::string_view train_examples = "train_examples";
inline constexpr std::string_view val_examples = "val_examples";
inline constexpr std::string_view test_examples = "test_examples";
inline constexpr std::string_view vocab_size = "vocab_size";
inline constexpr std::string_view max_steps = "max_steps";
inline constexpr std::string_view batch_size = "batch_size";
inline constexpr std::string_view optimizer = "optimizer";
inline constexpr std::string_view metric = "metric";
inline constexpr std::string_view seed = "seed";
inline constexpr std::string_view dtype = "dtype";
inline constexpr std::string_view threads = "threads";
inline constexpr std::string_view shards = "shards";
inline constexpr std::string_view run_dir = "run_dir";
inline constexpr std::string_view resumed_from = "resumed_from";
inline constexpr std::string_view memory_bytes = "memory_bytes";
inline constexpr std::string_view split = "split";
inline constexpr std::string_view step = "step";
inline constexpr std::string_view epoch = "epoch";
inline constexpr std::string_view loss = "loss";
inline constexpr std::string_view usual_loss = "usual_loss";
inline constexpr std::string_view lr = "lr";
inline constexpr std::string_view grad_norm = "grad_norm";
inline constexpr std::string_view usual_grad_norm = "usual_grad_norm";
inline constexpr std::string_view tokens = "tokens";
inline constexpr std::string_view skipped = "skipped";
inline constexpr std::string_view tokens_per_s = "tokens_per_s";
inline constexpr std::string_view step_ms = "step_ms";
inline constexpr std::string_view time_s = "time_s";
inline constexpr std::string_view best = "best";
inline constexpr std::string_view pass = "pass";
inline constexpr std::string_view op = "op";
inline constexpr std::string_view layer = "layer";
inline constexpr std::string_view examples = "examples";
inline constexpr std::string_view where = "where";
inline constexpr std::string_view reason = "reason";
inline constexpr std::string_view data_s = "data_s";
inline constexpr std::string_view forward_s = "forward_s";
inline constexpr std::string_view backward_s = "backward_s";
inline constexpr std::string_view reduce_s = "reduce_s";
inline constexpr std::string_view update_s = "update_s";
inline constexpr std::string_view eval_s = "eval_s";
inline constexpr std::string_view capture_s = "capture_s";
inline constexpr std::string_view checkpoint_s = "checkpoint_s";
inline constexpr std::string_view best_step = "best_step";
inline constexpr std::string_view best_value = "best_value";
inline constexpr std::string_view checkpoint = "checkpoint";
// Capital letters stand for a name that varies: see key_of.
inline constexpr std::string_view of_training = "train_METRIC";
inline constexpr std::string_view weight = "weight/PARAMETER";
inline constexpr std::string_view gradient = "gradient/PARAMETER";
inline constexpr std::string_view input = "input_N";
}  // namespace key

/// A key with `part` for what varies in it: key_of(key::gradient, "head.weight").
inline std::string key_of(std::string_view name, std::string_view part) {
  constexpr std::string_view kCapitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const std::size_t begin = name.find_first_of(kCapitals), end = name.find_last_of(kCapitals);
  return std::string(name.substr(0, begin)).append(part).append(name.substr(end + 1));
}

}  // namespace qkv
