// Keys of config.json and of a config here, from one to the other by the table of a family.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/toml.h"
#include "data/json_members.h"
#include "interop/family.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// What every config.json may hold: how the model was made, trained and used, not what it computes.
constexpr const char* kIgnored =
    "_name_or_path architectures auto_map bos_token_id chunk_size_feed_forward decoder_start_token_id "
    "diversity_penalty do_sample dtype early_stopping eos_token_id exponential_decay_length_penalty "
    "finetuning_task forced_bos_token_id forced_eos_token_id id2label.* initializer_range is_decoder "
    "label2id.* length_penalty max_length min_length model_type no_repeat_ngram_size num_beam_groups "
    "num_beams num_return_sequences output_attentions output_hidden_states output_past output_scores "
    "pad_token_id prefix problem_type remove_invalid_values repetition_penalty return_dict "
    "return_dict_in_generate sep_token_id suppress_tokens task_specific_params.* temperature "
    "tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript transformers_version "
    "typical_p unsloth_* use_bfloat16 use_cache vocab_size";

// What no model here does.
const std::vector<KeyRow> kRefused{{"", "is_encoder_decoder", KeyKind::flag, false},
                                   {"", "tie_encoder_decoder", KeyKind::flag, false},
                                   {"", "cross_attention_hidden_size", KeyKind::count, {}},
                                   {"", "quantization_config", KeyKind::name, {}},
                                   {"", "bad_words_ids", KeyKind::name, {}},
                                   {"", "begin_suppress_tokens", KeyKind::name, {}}};

// What a model here can have and none of a family there has, and the value that means without.
const std::vector<KeyRow> kWithout{{"model.logit_softcap", "", KeyKind::number, 0.0},
                                   {"model.residual_scalars", "", KeyKind::flag, false},
                                   {"model.share_layers", "", KeyKind::count, 1},
                                   {"model.value_embeddings", "", KeyKind::count, 0},
                                   {"model.attention.qk_norm", "", KeyKind::name, "none"},
                                   {"model.attention.softcap", "", KeyKind::number, 0.0},
                                   {"model.attention.window", "", KeyKind::count, 0},
                                   {"model.attention.window_pattern", "", KeyKind::name, "S"},
                                   {"model.position.rotary_fraction", "", KeyKind::number, 1.0},
                                   {"model.position.buckets", "", KeyKind::count, 32},
                                   {"model.position.max_distance", "", KeyKind::count, 0},
                                   {"model.position.per_layer", "", KeyKind::flag, false}};

// Members of objects as "rope_parameters.rope_type"; an empty object is null.
void flatten(const Json& object, const std::string& path, std::map<std::string, Json>& values) {
  for (const auto& item : object.items()) {
    if (item.value().is_object() && !item.value().empty())
      flatten(item.value(), path + item.key() + ".", values);
    else
      values[path + item.key()] = item.value().is_object() ? Json() : item.value();
  }
}

std::string shown(const Json& value) {
  return value.is_structured() ? value.type_name() : in_quotes(dump_json(value));
}

std::vector<std::string> words(const KeyRow& row, bool theirs) {
  std::vector<std::string> all;
  for (const auto& [ours, there] : row.names) {
    const std::string word = theirs ? dump_json(there) : ours;
    if (!std::count(all.begin(), all.end(), word)) all.push_back(word);
  }
  return all;
}

// A value of config.json as TOML; `problem` says what it must be.
std::string toml_of(const KeyRow& row, const Json& value, std::string& problem) {
  constexpr std::uint64_t kMost = 1u << 30;
  if (!row.names.empty()) {
    for (const auto& [ours, theirs] : row.names)
      if (theirs == value) return toml_string(ours);
    problem = "must be " + join(words(row, true), ", ");
  } else if (row.kind == KeyKind::flag) {
    if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
    problem = "must be true or false";
  } else if (row.kind == KeyKind::count) {
    if (is_unsigned(value) && value.get<std::uint64_t>() <= kMost &&
        (value.get<std::uint64_t>() > 0 || value == row.value || value == row.null))
      return std::to_string(value.get<std::uint64_t>());
    problem = fmt::format("must be an integer from 1 to {}", kMost);
  } else if (row.kind == KeyKind::number) {
    if (value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() >= 0)
      return shortest(value.get<double>());
    problem = "must be a number of at least 0";
  } else {
    if (value.is_string()) return toml_string(value.get<std::string>());
    problem = "must be a string";
  }
  return "";
}

class KeyReader {
 public:
  KeyReader(const Json& config, std::vector<std::string>& problems) : problems_(problems) {
    flatten(config, "", values_);
  }

  void read(const KeyRow& row) {
    if (row.theirs.empty()) return add(row.ours, toml(row, row.value, row.ours));
    std::string given;
    std::vector<std::string> names = row.also;
    names.insert(names.begin(), row.theirs);
    for (const std::string& name : names) {
      known_.insert(name);
      const auto found = values_.find(name);
      if (found == values_.end() || (found->second.is_null() && row.null.is_null())) continue;
      const Json& value = found->second.is_null() ? row.null : found->second;
      if (row.ours.empty()) {
        if (value != row.value)
          problems_.push_back(
              fmt::format("'{}' must be {}; got {}", name, dump_json(row.value), shown(value)));
        continue;
      }
      const std::string text = toml(row, value, name);
      if (!given.empty() && text != given && !text.empty())
        problems_.push_back(fmt::format("'{}' must be '{}'; got {} and {}", name, row.theirs, text, given));
      given = text;
      add(row.ours, text);
    }
    if (!given.empty() || row.ours.empty() || taken_.count(row.ours)) return;
    if (row.value.is_null())
      problems_.push_back(fmt::format("'{}' must be given; got none", row.theirs));
    else if (row.value.is_array())
      add(row.ours, std::to_string(row.value.at(0).get<std::uint64_t>() * count(row.value.at(1))));
    else
      add(row.ours, toml(row, row.value, row.theirs));
  }

  void check_unknown(std::vector<std::string> ignored) {
    for (const std::string& name : split_words(kIgnored)) ignored.push_back(name);
    for (const auto& [name, value] : values_) {
      auto hit = [&name = name](const std::string& pattern) {
        return matches(pattern, name);
      };
      if (known_.count(name) || std::any_of(ignored.begin(), ignored.end(), hit)) continue;
      // What holds nothing changes nothing.
      if (value.is_null() || value == false || (value.is_array() && value.empty())) continue;
      problems_.push_back(fmt::format("{} must be left out: nothing here means the same; got {}",
                                      in_quotes(name), shown(value)));
    }
  }

  KeyValues keys;

 private:
  std::string toml(const KeyRow& row, const Json& value, const std::string& name) {
    std::string problem, text = toml_of(row, value, problem);
    if (!problem.empty()) problems_.push_back(fmt::format("'{}' {}; got {}", name, problem, shown(value)));
    return text;
  }
  void add(const std::string& key, const std::string& value) {
    if (taken_.insert(key).second) keys.emplace_back(key, value);
  }
  std::uint64_t count(const Json& name) const {
    const auto found = values_.find(name.get<std::string>());
    return found != values_.end() && found->second.is_number_unsigned() ? found->second.get<std::uint64_t>()
                                                                        : 1;
  }

  std::vector<std::string>& problems_;
  std::map<std::string, Json> values_;
  std::set<std::string> known_, taken_;
};

}  // namespace

KeyValues keys_here(const Family& family, const Json& config, std::vector<std::string>& problems) {
  KeyReader reader(config, problems);
  for (const KeyRow& row : family.keys) reader.read(row);
  for (const KeyRow& row : kRefused) reader.read(row);
  reader.check_unknown(family.ignored);
  return reader.keys;
}

Json keys_there(const Family& family, const KeyValues& keys, std::vector<std::string>& problems) {
  std::map<std::string, Json> own;
  for (const auto& [key, value] : keys)
    if (key == "task.type" || starts_with(key, "model.")) own[key] = parse_json(value, key);
  if (own["task.type"] == "prompt-answer") own["task.type"] = "language-model";  // the same, tuned to answer
  // A width of heads and a number of them that are the defaults are as if not given.
  auto number = [&](const char* key) {
    return own.count(key) ? own[key].get<std::int64_t>() : 0;
  };
  const std::int64_t d = number("model.d_model"), H = number("model.attention.n_head");
  if (number("model.attention.n_kv_head") == H) own["model.attention.n_kv_head"] = 0;
  if (H > 0 && number("model.attention.d_head") == d / H && d % H == 0) own["model.attention.d_head"] = 0;
  if (H > 0 && d % H != 0)  // transformers see to it, whatever head_dim is
    problems.push_back(fmt::format("model.attention.n_head must divide model.d_model = {}; got {}", d, H));
  Json config = {{"model_type", family.model_type}, {"architectures", {family.architecture}}};
  std::set<std::string> covered;
  std::vector<KeyRow> rows = family.keys;
  for (const KeyRow& row : kWithout)
    if (std::none_of(rows.begin(), rows.end(), [&](const KeyRow& one) { return one.ours == row.ours; }))
      rows.push_back(row);
  for (const KeyRow& row : rows) {
    if (row.ours.empty()) continue;
    covered.insert(row.ours);
    const auto found = own.find(row.ours);
    const Json value = found == own.end() ? row.theirs.empty() ? row.value : Json() : found->second;
    std::string rule;
    if (row.theirs.empty()) {
      if (value != row.value) rule = dump_json(row.value);
    } else if (!row.names.empty()) {
      const auto name = std::find_if(row.names.begin(), row.names.end(),
                                     [&](const auto& pair) { return Json(pair.first) == value; });
      if (name != row.names.end())
        config[row.theirs] = name->second;
      else
        rule = join(words(row, false), " or ");
    } else if (value != 0 || row.kind != KeyKind::count) {
      config[row.theirs] = value;
    } else if (row.value != 0 && row.ours == "model.attention.n_kv_head") {  // as many as heads
      config[row.theirs] = H;
    } else if (row.value != 0) {
      rule = "positive";
    }
    if (!rule.empty())
      problems.push_back(fmt::format("{} must be {}; got {}", row.ours, rule, dump_json(value)));
  }
  for (const auto& [key, value] : own)
    if (!covered.count(key)) problems.push_back(fmt::format("{} has no counterpart", key));
  return config;
}

}  // namespace qkv
