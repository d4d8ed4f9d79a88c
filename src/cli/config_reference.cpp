#include "cli/config_reference.h"

#include "cli/config_schema.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

std::string number(const Json& value) {
  return fmt::format("{}", value.get<double>());
}

// "integer, at least 1", "one of `a`, `b`"
std::string type_of(const Json& schema) {
  if (schema.contains("enum")) {
    std::string text = "one of";
    for (const Json& value : schema.at("enum")) text += " `" + dump_json(value) + "`";
    return text;
  }
  if (schema.contains("anyOf")) {
    std::string text;
    for (const Json& one : schema.at("anyOf")) text += (text.empty() ? "" : " or ") + type_of(one);
    return text;
  }
  std::string text;
  const Json kinds = schema.value("type", Json("any"));
  for (const Json& kind : kinds.is_array() ? kinds : Json::array({kinds}))
    text += (text.empty() ? "" : " or ") + kind.get<std::string>();
  if (text == "array" && schema.contains("items")) text = "list of " + type_of(schema.at("items"));
  const bool above = schema.contains("exclusiveMinimum"), low = schema.contains("minimum"),
             high = schema.contains("maximum");
  if (above) text += ", above " + number(schema.at("exclusiveMinimum"));
  if (low && high) return text + ", " + number(schema.at("minimum")) + " to " + number(schema.at("maximum"));
  if (low) text += ", at least " + number(schema.at("minimum"));
  if (high) text += ", at most " + number(schema.at("maximum"));
  return text;
}

std::string cell(std::string text) {
  for (std::size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

bool is_table(const Json& schema) {
  return schema.contains("properties");
}

// Rows of a table's own keys, then those of the tables within, by dotted name.
void rows(const Json& table, const std::string& prefix, std::string& out) {
  for (auto& [key, schema] : table.at("properties").items()) {
    if (key == "type" && schema.contains("const")) continue;
    if (is_table(schema)) continue;
    const std::string fallback =
        schema.contains("default") ? "`" + dump_json(schema.at("default")) + "`" : "";
    out += fmt::format("| `{}{}` | {} | {} | {} |\n", prefix, key, cell(type_of(schema)), cell(fallback),
                       cell(schema.value("description", "")));
  }
  for (auto& [key, schema] : table.at("properties").items())
    if (is_table(schema)) rows(schema, prefix + key + ".", out);
}

std::string table_text(const Json& table) {
  std::string body;
  rows(table, "", body);
  if (body.empty()) return "No keys.\n";
  return "| key | type | default | meaning |\n| --- | --- | --- | --- |\n" + body;
}

std::string help_of(const Json& variant) {
  const Json& properties = variant.at("properties");
  if (!properties.contains("type")) return "";
  return properties.at("type").value("description", "");
}

void section(const std::string& name, const Json& schema, std::string& out) {
  if (is_table(schema)) {
    out += "\n## [" + name + "]\n\n" + table_text(schema);
    return;
  }
  if (!schema.contains("anyOf") || !is_table(schema.at("anyOf").at(0))) return;
  out += "\n## [" + name + "]\n";
  for (const Json& variant : schema.at("anyOf")) {
    const std::string title = variant.value("title", "");
    const std::string help = help_of(variant);
    out += fmt::format("\n### {}{}\n\n{}{}", variant.at("properties").contains("type") ? "type = " : "",
                       title, help.empty() ? "" : help + "\n\n", table_text(variant));
  }
}

}  // namespace

std::string config_reference() {
  const Json schema = config_schema();
  std::string out =
      "# Reference of the config keys\n\nWritten by `qkv config reference` from all registered names. Keys "
      "may be dotted: "
      "`attention.n_head` in `[model]`\nis `n_head` in `[model.attention]`.\n";
  std::string own;  // keys outside of tables
  for (auto& [key, value] : schema.at("properties").items())
    if (!is_table(value) && (value.contains("type") || key == "extends" || key == "unset"))
      own += fmt::format("| `{}` | {} | {} |\n", key, cell(type_of(value)),
                         cell(value.value("description", "")));
  out += "\n## Outside tables\n\n| key | type | meaning |\n| --- | --- | --- |\n" + own;
  for (auto& [key, value] : schema.at("properties").items()) section(key, value, out);
  // The layers of [[model.layers]] are separate variants, the same for every model that has them.
  for (const Json& model : schema.at("properties").at("model").at("anyOf")) {
    const Json& properties = model.at("properties");
    if (!properties.contains("layers")) continue;
    section("[model.layers]", properties.at("layers").at("items"), out);
    break;
  }
  return out;
}

}  // namespace qkv
