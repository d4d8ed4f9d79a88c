// Keys that nothing has read, and what was probably meant.
#include <algorithm>

#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

using Kind = ConfigValue::Kind;

struct Alias {
  const char* theirs;
  const char* ours;
};

// Names of other toolkits (transformers, nanoGPT, fairseq, marian, Lightning, ...), as suggestions only.
constexpr Alias kAliases[] = {
    {"n_embd", "d_model"},
    {"hidden_size", "d_model"},
    {"embed_dim", "d_model"},
    {"embedding_dim", "d_model"},
    {"emb_dim", "d_model"},
    {"dim", "d_model"},
    {"dim_model", "d_model"},
    {"hidden_dim", "d_model"},
    {"intermediate_size", "d_ff"},
    {"ffn_dim", "d_ff"},
    {"dim_feedforward", "d_ff"},
    {"n_inner", "d_ff"},
    {"hidden_act", "activation"},
    {"activation_function", "activation"},
    {"heads", "n_head"},
    {"num_heads", "n_head"},
    {"n_heads", "n_head"},
    {"nhead", "n_head"},
    {"num_attention_heads", "n_head"},
    {"num_key_value_heads", "n_kv_head"},
    {"head_dim", "d_head"},
    {"layers", "n_layer"},
    {"num_layers", "n_layer"},
    {"n_layers", "n_layer"},
    {"num_hidden_layers", "n_layer"},
    {"depth", "n_layer"},
    {"block_size", "max_seq_len"},
    {"context_length", "max_seq_len"},
    {"n_ctx", "max_seq_len"},
    {"n_positions", "max_seq_len"},
    {"max_position_embeddings", "max_seq_len"},
    {"seq_len", "max_seq_len"},
    {"max_length", "max_seq_len"},
    {"dropout_rate", "dropout"},
    {"hidden_dropout_prob", "dropout"},
    {"resid_pdrop", "dropout"},
    {"attn_pdrop", "dropout"},
    {"tie_word_embeddings", "tie_embeddings"},
    {"tie_weights", "tie_embeddings"},
    {"layer_norm_eps", "eps"},
    {"layer_norm_epsilon", "eps"},
    {"rms_norm_eps", "eps"},
    {"epsilon", "eps"},
    {"vocab", "vocab_size"},
    {"n_vocab", "vocab_size"},
    {"vocabulary_size", "vocab_size"},
    {"learning_rate", "lr"},
    {"wd", "weight_decay"},
    {"beta1", "betas"},
    {"beta2", "betas"},
    {"adam_beta1", "betas"},
    {"adam_beta2", "betas"},
    {"warmup", "warmup_steps"},
    {"num_warmup_steps", "warmup_steps"},
    {"warmup_iters", "warmup_steps"},
    {"epochs", "max_epochs"},
    {"num_epochs", "max_epochs"},
    {"n_epochs", "max_epochs"},
    {"num_train_epochs", "max_epochs"},
    {"steps", "max_steps"},
    {"max_iters", "max_steps"},
    {"num_steps", "max_steps"},
    {"iterations", "max_steps"},
    {"batch", "batch_size"},
    {"per_device_train_batch_size", "batch_size"},
    {"train_batch_size", "batch_size"},
    {"gradient_accumulation_steps", "grad_accum_steps"},
    {"accumulate_grad_batches", "grad_accum_steps"},
    {"max_grad_norm", "grad_clip_norm"},
    {"grad_clip", "grad_clip_norm"},
    {"clip_grad", "grad_clip_norm"},
    {"gradient_clip_val", "grad_clip_norm"},
    {"clip_norm", "grad_clip_norm"},
    {"label_smoothing_factor", "label_smoothing"},
    {"random_seed", "seed"},
    {"num_threads", "threads"},
    {"n_threads", "threads"},
    {"num_workers", "threads"},
    {"output_dir", "out_dir"},
    {"save_dir", "out_dir"},
    {"name", "type"},
    {"eval_interval", "eval.every"},
    {"eval_every", "eval.every"},
    {"eval_steps", "eval.every"},
    {"log_interval", "log.every"},
    {"logging_steps", "log.every"},
    {"save_every", "checkpoint.every"},
    {"save_steps", "checkpoint.every"},
    {"early_stopping_patience", "patience"},
};

std::vector<std::string> known_names(const ConfigTable& table) {
  std::vector<std::string> names;
  for (auto& entry : table.entries)
    if (entry.asked > 0) names.push_back(entry.key);
  return names;
}

// The dotted name of a key that was asked for somewhere, "" if none. `key` may itself be dotted from the
// root.
std::string find_known(const ConfigTable& table, const std::string& key) {
  for (auto& entry : table.entries) {
    if (entry.asked == 0) continue;
    const std::string path = table.path_of(entry.key);
    if (entry.key == key || path == key) return path;
    for (auto* child : {entry.value.table.get(), entry.absent.get()}) {
      std::string found = child ? find_known(*child, key) : "";
      if (!found.empty()) return found;
    }
  }
  return "";
}

std::string hint(const ConfigDocument& document, const ConfigTable& table, const std::string& key) {
  const auto names = known_names(table);
  auto called = [&](const std::string& ours) {
    return fmt::format(" (`{}` is called `{}`)", key, ours);
  };
  const Alias* alias = std::find_if(std::begin(kAliases), std::end(kAliases),
                                    [&](const Alias& one) { return lower_ascii(key) == one.theirs; });
  const bool has_alias = alias != std::end(kAliases);
  if (has_alias && std::count(names.begin(), names.end(), alias->ours)) return called(alias->ours);
  if (!nearest(key, names).empty()) return suggest(key, names);
  if (std::string found = find_known(document.root, key); !found.empty())
    return fmt::format(" (did you mean '{}'?)", found);
  if (has_alias)
    if (std::string found = find_known(document.root, alias->ours); !found.empty()) return called(found);
  return suggest(key, names);
}

// `retyped`: the last change of a `type` in this table or around it. What layers before it gave was for
// another type.
void report(ConfigDocument& document, ConfigTable& table, Origin retyped = {}) {
  if (table.retyped.layer() > retyped.layer()) retyped = table.retyped;
  for (auto& entry : table.entries) {
    if (entry.skipped || entry.value.kind == Kind::none) continue;
    const bool is_table = entry.value.kind == Kind::table;
    const bool inherited = entry.value.origin.layer() < retyped.layer();
    if (entry.asked == 0 && !(is_table && inherited)) {
      if (inherited)
        document.drop(table, entry, fmt::format("it is no key of the type that {} gives", retyped.text()));
      else  // suggestions take time
        document.add_problem(
            entry.key_origin,
            fmt::format("unknown {} '{}'{}", is_table ? "table" : "key", table.path_of(entry.key),
                        document.problems.size() < 4 * kMaxProblems ? hint(document, table, entry.key) : ""));
      continue;
    }
    if (entry.value.table) report(document, *entry.value.table, retyped);
    for (auto& item : entry.value.items)
      if (item.table) report(document, *item.table, retyped);
  }
}

}  // namespace

void report_unread(ConfigDocument& document) {
  report(document, document.root);
}

}  // namespace qkv
