// Keys that nothing has read, and what was probably meant.
#include <algorithm>

#include "config_tree.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

using Kind = ConfigValue::Kind;

struct Alias {
  const char* ours;
  const char* theirs;
};

// Names of other toolkits (transformers, nanoGPT, fairseq, marian, Lightning, ...), as suggestions only.
constexpr Alias kAliases[] = {
    {"d_model", "n_embd hidden_size embed_dim embedding_dim emb_dim dim dim_model hidden_dim"},
    {"d_ff", "intermediate_size ffn_dim dim_feedforward n_inner"},
    {"activation", "hidden_act activation_function"},
    {"n_head", "heads num_heads n_heads nhead num_attention_heads"},
    {"n_kv_head", "num_key_value_heads"},
    {"d_head", "head_dim"},
    {"window", "sliding_window attention_window"},
    {"softcap", "attn_logit_softcapping attn_softcap"},
    {"rotary_fraction", "partial_rotary_factor rotary_pct"},
    {"theta", "rope_theta rotary_emb_base rope_base"},
    {"n_layer", "layers num_layers n_layers num_hidden_layers depth"},
    {"max_seq_len", "block_size context_length n_ctx n_positions max_position_embeddings seq_len max_length"},
    {"dropout", "dropout_rate hidden_dropout_prob resid_pdrop attn_pdrop"},
    {"tie_embeddings", "tie_word_embeddings tie_weights"},
    {"eps", "layer_norm_eps layer_norm_epsilon rms_norm_eps epsilon"},
    {"vocab_size", "vocab n_vocab vocabulary_size"},
    {"lr", "learning_rate"},
    {"weight_decay", "wd"},
    {"betas", "beta1 beta2 adam_beta1 adam_beta2"},
    {"warmup_steps", "warmup num_warmup_steps warmup_iters"},
    {"max_epochs", "epochs num_epochs n_epochs num_train_epochs"},
    {"max_steps", "steps max_iters num_steps iterations"},
    {"batch_size", "batch per_device_train_batch_size train_batch_size"},
    {"grad_accum_steps", "gradient_accumulation_steps accumulate_grad_batches"},
    {"grad_clip_norm", "max_grad_norm grad_clip clip_grad gradient_clip_val clip_norm"},
    {"label_smoothing", "label_smoothing_factor"},
    {"logit_softcap", "final_logit_softcapping final_logit_softcap softcap"},
    {"z_loss", "z_loss_coef z_loss_coefficient z_loss_weight z_loss_multiplier"},
    {"seed", "random_seed"},
    {"threads", "num_threads n_threads num_workers"},
    {"out_dir", "output_dir save_dir"},
    {"type", "name"},
    {"eval.every", "eval_interval eval_every eval_steps"},
    {"log.every", "log_interval logging_steps"},
    {"checkpoint.every", "save_every save_steps"},
    {"patience", "early_stopping_patience"},
};

// What the key of another toolkit is called here, "" where that is not known.
std::string our_name(const std::string& theirs) {
  for (const Alias& alias : kAliases)
    for (const std::string& name : split_words(alias.theirs))
      if (name == lower_ascii(theirs)) return alias.ours;
  return "";
}

std::vector<std::string> known_names(const ConfigTable& table) {
  std::vector<std::string> names;
  for (auto& entry : table.entries)
    if (entry.asked > 0) names.push_back(entry.key);
  return names;
}

// The dotted name of a key that was read somewhere, "" if none. `key` may itself be dotted from the
// root.
std::string find_known(const ConfigTable& table, const std::string& key) {
  for (auto& entry : table.entries) {
    if (entry.asked == 0) continue;
    const std::string path = table.path_of(entry.key);
    if (entry.key == key || path == key) return path;
    if (!entry.value.table) continue;
    if (std::string found = find_known(*entry.value.table, key); !found.empty()) return found;
  }
  return "";
}

std::string hint(const ConfigDocument& document, const ConfigTable& table, const std::string& key) {
  const auto names = known_names(table);
  const std::string ours = our_name(key);
  auto called = [&](const std::string& name) {
    return fmt::format(" (`{}` is called `{}`)", key, name);
  };
  if (!ours.empty() && std::count(names.begin(), names.end(), ours)) return called(ours);
  if (!nearest(key, names).empty()) return suggest(key, names);
  if (std::string found = ours.empty() ? "" : find_known(document.root, ours); !found.empty())
    return called(found);
  if (std::string found = find_known(document.root, key); !found.empty())
    return fmt::format(" (did you mean '{}'?)", found);
  return suggest(key, names);
}

}  // namespace

void report_unread(ConfigDocument& document, ConfigTable& table, Origin retyped) {
  if (table.retyped.layer() > retyped.layer()) retyped = table.retyped;
  for (auto& entry : table.entries) {
    if (entry.skipped || entry.value.kind == Kind::none) continue;
    const bool is_table = entry.value.kind == Kind::table;
    const bool inherited = entry.value.origin.layer() < retyped.layer();
    if (entry.asked == 0 && !(is_table && inherited)) {
      if (inherited)
        document.drop(table, entry, fmt::format("the type that {} sets has no such key", retyped.text()));
      else  // suggestions take time
        document.add_problem(
            entry.key_origin,
            fmt::format("unknown {} '{}'{}", is_table ? "table" : "key", table.path_of(entry.key),
                        document.problems.size() < 4 * kMaxProblems ? hint(document, table, entry.key) : ""));
      continue;
    }
    for (ConfigTable* below : entry.below()) report_unread(document, *below, retyped);
  }
}

}  // namespace qkv
