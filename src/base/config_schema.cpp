#include "base/config_schema.h"

#include <algorithm>
#include <cmath>

#include "config_tree.h"
#include "qkv/base/json.h"

namespace qkv {
namespace {

bool is_required(const Statement& statement) {
  return std::any_of(statement.rules.begin(), statement.rules.end(),
                     [](const Constraint& rule) { return rule.kind == Constraint::Kind::required; });
}

Json schema_of_key(const Statement& statement) {
  Json type = statement.type;
  if (statement.type.empty()) type = {"string", "number"};
  Json schema = {{"type", type}};
  for (const Constraint& rule : statement.rules) {
    // The first: what a field allows of the choices of an enum.
    if (rule.kind == Constraint::Kind::one_of && type == "string" && !schema.contains("enum"))
      schema["enum"] = rule.names;
    if (rule.kind != Constraint::Kind::range) continue;
    if (std::isfinite(rule.low)) schema[rule.low_excluded ? "exclusiveMinimum" : "minimum"] = rule.low;
    if (std::isfinite(rule.high)) schema["maximum"] = rule.high;
  }
  if (statement.is_list) schema = {{"type", "array"}, {"items", schema}};
  if (!statement.help.empty()) schema["description"] = statement.help;
  if (!statement.fallback.empty()) schema["default"] = parse_json(statement.fallback, "default");
  return schema;
}

Json schema_of_table(const ConfigTable& table) {
  Json properties = Json::object(), needed = Json::array();
  for (const ConfigEntry* entry : in_order_asked(table)) {
    const auto& items = entry->value.items;
    if (entry->tables) {
      Json one =
          items.empty() || !items[0].table ? Json{{"type", "object"}} : schema_of_table(*items[0].table);
      properties[entry->key] = {{"type", "array"}, {"items", one}};
    } else if (entry->value.table || entry->absent) {
      properties[entry->key] = schema_of_table(entry->value.table ? *entry->value.table : *entry->absent);
    } else if (!entry->statements.empty()) {
      properties[entry->key] = schema_of_key(entry->statements.back());
      if (is_required(entry->statements.back())) needed.push_back(entry->key);
    }
  }
  Json result = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!needed.empty()) result["required"] = needed;
  return result;
}

void collect_restated(const ConfigTable& table, std::vector<std::string>& keys) {
  for (const ConfigEntry& entry : table.entries) {
    if (entry.statements.size() > 1) keys.push_back(table.path_of(entry.key));
    if (entry.value.table) collect_restated(*entry.value.table, keys);
    if (entry.absent) collect_restated(*entry.absent, keys);
    for (const ConfigValue& item : entry.value.items)
      if (item.table) collect_restated(*item.table, keys);
  }
}

}  // namespace

Json schema_of(const Section& section) {
  return schema_of_table(*section.table_);
}

std::vector<std::string> restated_keys(const Section& section) {
  std::vector<std::string> keys;
  collect_restated(section.document_->root, keys);
  return keys;
}

}  // namespace qkv
