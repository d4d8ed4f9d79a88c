#include "base/config_schema.h"

#include <cmath>

#include "config_tree.h"
#include "qkv/base/json.h"

namespace qkv {
namespace {

template <class T>
Json type_of() {
  if constexpr (std::is_same_v<T, bool>) return {{"type", "boolean"}};
  if constexpr (std::is_integral_v<T>) return {{"type", "integer"}};
  if constexpr (std::is_floating_point_v<T>) return {{"type", "number"}};
  if constexpr (std::is_same_v<T, NameOrNumber>) return {{"type", {"string", "number"}}};
  return {{"type", "string"}};
}

void add_constraints(const Field& field, Json& schema) {
  for (auto& constraint : field.constraints) {
    if (constraint.kind == Constraint::Kind::one_of && schema["type"] == "string")
      schema["enum"] = constraint.names;
    if (constraint.kind != Constraint::Kind::range) continue;
    if (std::isfinite(constraint.low))
      schema[constraint.low_excluded ? "exclusiveMinimum" : "minimum"] = constraint.low;
    if (std::isfinite(constraint.high)) schema["maximum"] = constraint.high;
  }
}

Json schema_of(const Field& field) {
  if (!field.children.empty()) return json_schema(field.children);
  return std::visit(
      [&](auto target) -> Json {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return Json::object();
        } else if constexpr (std::is_same_v<T, EnumRef>) {
          Json schema = type_of<std::string>();
          add_constraints(field, schema);
          return schema;
        } else if constexpr (!std::is_same_v<T, std::string> && std::is_class_v<T> &&
                             !std::is_same_v<T, NameOrNumber>) {
          Json items = type_of<typename T::value_type>();
          add_constraints(field, items);
          return {{"type", "array"}, {"items", items}};
        } else {
          Json schema = type_of<T>();
          add_constraints(field, schema);
          return schema;
        }
      },
      field.value);
}

Json default_of(const Field& field) {
  return std::visit(
      [&](auto target) -> Json {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::monostate>)
          return nullptr;
        else if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>)
          return json_number(*target);
        else if constexpr (std::is_same_v<T, std::vector<float>>) {
          Json values = Json::array();
          for (float value : *target) values.push_back(json_number(value));
          return values;
        } else if constexpr (std::is_same_v<T, NameOrNumber>)
          return std::visit([](auto& value) { return Json(value); }, *target);
        else if constexpr (std::is_same_v<T, EnumRef>)
          return parse_json(value_text(field), field.name);
        else
          return *target;
      },
      field.value);
}

}  // namespace

namespace {

Json schema_of_table(const ConfigTable& table) {
  Json properties = Json::object();
  for (const ConfigEntry* entry : in_order_asked(table)) {
    if (entry->tables) {
      const auto& items = entry->value.items;
      Json one =
          items.empty() || !items[0].table ? Json{{"type", "object"}} : schema_of_table(*items[0].table);
      properties[entry->key] = {{"type", "array"}, {"items", one}};
    } else if (entry->value.table || entry->absent) {
      properties[entry->key] = schema_of_table(entry->value.table ? *entry->value.table : *entry->absent);
    } else if (!entry->schema.empty()) {
      properties[entry->key] = parse_json(entry->schema, entry->key);
    }
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

}  // namespace

Json schema_of(const Section& section) {
  return schema_of_table(*section.table_);
}

Json json_schema(const std::vector<Field>& fields) {
  Json properties = Json::object(), needed = Json::array();
  for (auto& field : fields) {
    Json schema = schema_of(field);
    if (!field.help.empty()) schema["description"] = field.help;
    bool is_required = false;
    for (auto& constraint : field.constraints) is_required |= constraint.kind == Constraint::Kind::required;
    if (is_required) needed.push_back(field.name);
    if (field.children.empty() && !field.clear && !is_required) schema["default"] = default_of(field);
    properties[field.name] = std::move(schema);
  }
  Json result = {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  if (!needed.empty()) result["required"] = needed;
  return result;
}

}  // namespace qkv
