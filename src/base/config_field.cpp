#include "qkv/base/config_field.h"

#include <fmt/core.h>

#include <cmath>

#include "base/at.h"
#include "config_tree.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// What values of a type are called: one, several, and in JSON schemas.
struct TypeName {
  const char *one, *many;
  Json json;
};

const TypeName& name_of(Field::Type type) {
  static const TypeName names[] = {{"a table", "", "object"},
                                   {"true or false", "true or false", "boolean"},
                                   {"an integer", "integers", "integer"},
                                   {"a number", "numbers", "number"},
                                   {"a string", "strings", "string"},
                                   {"a number or a string", "", {"string", "number"}}};
  return names[std::size_t(type)];
}

std::string number_text(double value) {
  std::string text = shortest(value);
  return ends_with(text, ".0") ? text.substr(0, text.size() - 2) : text;
}

std::string element_text(const ConfigElement& element) {
  if (const auto* flag = std::get_if<bool>(&element)) return *flag ? "true" : "false";
  if (const auto* integer = std::get_if<std::int64_t>(&element)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&element)) return shortest(*real);
  return toml_string(std::get<std::string>(element));
}

Json schema_of_key(const Statement& statement) {
  Json schema = {{"type", name_of(statement.type).json}};
  for (const Constraint& rule : statement.rules) {
    // The first: what a field allows of the choices of an enum.
    if (rule.kind == Constraint::Kind::one_of && statement.type == Field::Type::text &&
        !schema.contains("enum"))
      schema["enum"] = rule.names;
    if (rule.kind != Constraint::Kind::range) continue;
    if (std::isfinite(rule.low)) schema[rule.low_excluded ? "exclusiveMinimum" : "minimum"] = rule.low;
    if (std::isfinite(rule.high)) schema["maximum"] = rule.high;
  }
  if (statement.is_list) schema = {{"type", "array"}, {"items", schema}};
  if (!statement.help.empty()) schema["description"] = statement.help;
  schema["default"] = parse_json(statement.fallback, "default");
  return schema;
}

Json schema_of(const ConfigTable& table) {
  Json properties = Json::object();
  for (const ConfigEntry* entry : in_order_asked(table)) {
    const auto below = entry->below();
    const Json table_schema = below.empty() ? Json{{"type", "object"}} : schema_of(*below[0]);
    if (entry->tables) {
      properties[entry->key] = {{"type", "array"}, {"items", table_schema}};
    } else if (!below.empty()) {
      properties[entry->key] = table_schema;
    } else if (!entry->statements.empty()) {
      properties[entry->key] = schema_of_key(entry->statements.back());
    }
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

}  // namespace

namespace rule {

Constraint between(double low, double high) {
  return {Constraint::Kind::range,
          fmt::format("must be between {} and {}", number_text(low), number_text(high)), low, high};
}

Constraint at_least(double low) {
  return {Constraint::Kind::range, fmt::format("must be at least {}", number_text(low)), low};
}

Constraint integers(std::int64_t low, std::uint64_t high) {
  const std::uint64_t most = std::min<std::uint64_t>(high, std::numeric_limits<std::int64_t>::max());
  return {Constraint::Kind::range, fmt::format("must be between {} and {}", low, most), double(low),
          double(most)};
}

Constraint one_of(std::vector<std::string> names) {
  Constraint constraint{Constraint::Kind::one_of};
  constraint.rule = "must be one of " + join(mapped(names, toml_string), ", ");
  constraint.names = std::move(names);
  return constraint;
}

}  // namespace rule

ConfigElement FieldCollector::element_of(float value) {
  return std::stod(shortest(value));
}

const Constraint* rule_of(const std::vector<Constraint>& rules, Constraint::Kind kind) {
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const Constraint& one) { return one.kind == kind; });
  return found == rules.end() ? nullptr : &*found;
}

std::string type_name(const Field& field) {
  const TypeName& name = name_of(field.type);
  return field.is_list ? fmt::format("an array of {}", name.many) : name.one;
}

std::string value_text(const Field& field, const ConfigElements& value) {
  const std::vector<std::string> parts = mapped(value, element_text);
  return field.is_list ? "[" + join(parts, ", ") + "]" : parts.at(0);
}

Statement statement_of(const Field& field) {
  return {field.type, field.is_list, field.constraints, value_text(field, field.get()), field.help};
}

Json Section::schema() const {
  return schema_of(*table_);
}

}  // namespace qkv
