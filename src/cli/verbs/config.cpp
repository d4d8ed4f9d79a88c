#include <map>

#include "base/file.h"
#include "cli/answers.h"
#include "cli/config_diff.h"
#include "cli/config_schema.h"

namespace qkv {

CheckReport checked_config(const std::string& path, const std::vector<std::string>& sets) {
  CheckReport report =
      check_config(Section::load(is_directory(path) ? path + "/config.resolved.toml" : path, sets));
  if (!report.problems.empty()) throw Error(join(report.problems, "\n"), Fault::usage);
  for (const std::string& problem : report.data_problems) console().warn("{}", problem);
  return report;
}

Json value_json(const ResolvedKey* key) {
  if (!key) return nullptr;
  try {
    return parse_json(key->value, key->key);
  } catch (const Error&) {
    return key->value;
  }
}

std::vector<KeyDifference> differences(const std::vector<ResolvedKey>& a, const std::vector<ResolvedKey>& b) {
  std::map<std::string, const ResolvedKey*> in_b;
  for (const ResolvedKey& key : b) in_b[key.key] = &key;
  std::vector<KeyDifference> result;
  for (const ResolvedKey& key : a) {
    auto found = in_b.find(key.key);
    const ResolvedKey* other = found == in_b.end() ? nullptr : found->second;
    if (!other || other->value != key.value) result.push_back({key.key, &key, other});
    if (other) in_b.erase(found);
  }
  for (const ResolvedKey& key : b)
    if (in_b.count(key.key)) result.push_back({key.key, nullptr, &key});
  return result;
}

std::string table_text(const std::vector<KeyDifference>& keys, const std::string& a, const std::string& b) {
  Table table({"key", a, b});
  for (const KeyDifference& one : keys)
    table.row({one.key, one.a ? one.a->value : "", one.b ? one.b->value : ""});
  return table.str(console().unicode());
}

Json json_of(const std::vector<KeyDifference>& keys) {
  Json json = Json::object();
  for (const KeyDifference& one : keys) json[one.key] = {{"a", value_json(one.a)}, {"b", value_json(one.b)}};
  return json;
}

namespace {

struct Config : Verb {
  void setup(Options& options) override {
    show_ = &options.add_verb("show", "every key with its value and origin");
    show_->add("config", &file, "config file or run directory").required = true;
    show_->add("--set", &sets, "override a key: --set train.max_steps=100");
    show_->example = "qkv config show configs/bank.toml --set model.n_layer=4";
    diff_ = &options.add_verb("diff", "the keys whose values differ; exit code 1 if there are any");
    diff_->add("a", &file, "config file or run directory").required = true;
    diff_->add("b", &other, "config file or run directory").required = true;
    diff_->example = "qkv config diff configs/bank.toml configs/bank-identity.toml";
    schema_ = &options.add_verb("schema", "JSON schema of all keys, for editors");
    schema_->example = "qkv config schema > qkv.schema.json";
    reference_ = &options.add_verb("reference", "all keys with type, default and meaning, as Markdown");
    reference_->example = "qkv config reference > reference.md";
    for (Options* sub : {show_, diff_}) sub->add("--json", &json, "print one JSON object");
  }
  int run() override {
    if (schema_->chosen) console().print("{}\n", dump_json(config_schema(), 2));
    if (reference_->chosen) console().print("{}", config_reference());
    if (show_->chosen) show();
    return diff_->chosen ? diff() : 0;
  }
  std::string example() const override { return "qkv config show configs/bank.toml"; }

  void show() const {
    const CheckReport report = checked_config(file, sets);
    const Section& config = report.config;
    if (!json) {
      console().print("{}", config.dump(true));
      for (const std::string& note : config.notes()) console().print("# {}\n", note);
      for (const Optimizer::Assignment& one : report.size.assignments)
        console().print("# {}: {}\n", one.parameter,
                        one.frozen ? "frozen" : fmt::format("{}, lr {}", one.type, one.lr));
      if (report.size.adapters > 0) console().print("# {}\n", report.size.text());
      return;
    }
    Json keys = Json::object();
    for (const ResolvedKey& key : config.resolved())
      keys[key.key] = {{"value", value_json(&key)}, {"origin", key.origin}, {"help", key.help}};
    if (!config.notes().empty()) keys["notes"] = config.notes();
    for (const Optimizer::Assignment& one : report.size.assignments)
      keys["assignments"].push_back(
          {{"parameter", one.parameter}, {"type", one.type}, {"lr", one.lr}, {"frozen", one.frozen}});
    if (report.size.adapters > 0)
      keys["parameters"] = {{"all", report.size.parameters},
                            {"trained", report.size.trained},
                            {"adapters", report.size.adapters}};
    print_json(keys);
  }

  int diff() const {
    const std::vector<ResolvedKey> a = checked_config(file).config.resolved(),
                                   b = checked_config(other).config.resolved();
    const std::vector<KeyDifference> keys = differences(a, b);
    print_answer(json, json_of(keys), keys.empty() ? "" : table_text(keys, file, other));
    return keys.empty() ? 0 : 1;
  }

  Options *show_ = nullptr, *diff_ = nullptr, *schema_ = nullptr, *reference_ = nullptr;
  std::string file, other;
  std::vector<std::string> sets;
  bool json = false;
};

QKV_REGISTER(Verb, "config", Config, "show a resolved config, compare two, or print schema and reference");

}  // namespace
}  // namespace qkv
