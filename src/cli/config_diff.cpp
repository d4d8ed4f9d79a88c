#include "cli/config_diff.h"

#include <map>

#include "base/file.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/log/console.h"
#include "train/check.h"

namespace qkv {

Section checked_config(const std::string& path, const std::vector<std::string>& sets) {
  const CheckReport report =
      check_config(Section::load(is_directory(path) ? path + "/config.resolved.toml" : path, sets));
  if (!report.problems.empty()) throw Error(join(report.problems, "\n"), Fault::usage);
  for (const std::string& problem : report.data_problems) console().warn("{}", problem);
  return report.config;
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

Table table_of(const std::vector<KeyDifference>& keys, const std::string& a, const std::string& b) {
  Table table({"key", a, b});
  for (const KeyDifference& one : keys)
    table.row({one.key, one.a ? one.a->value : "", one.b ? one.b->value : ""});
  return table;
}

Json json_of(const std::vector<KeyDifference>& keys) {
  Json json = Json::object();
  for (const KeyDifference& one : keys) json[one.key] = {{"a", value_json(one.a)}, {"b", value_json(one.b)}};
  return json;
}

}  // namespace qkv
