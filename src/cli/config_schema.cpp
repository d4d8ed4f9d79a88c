// The schema is composed from what is read: for each registered type, a config that names it is checked, and
// what was asked for in its table is the schema of that table.
#include "cli/config_schema.h"

#include "qkv/base/json.h"
#include "qkv/base/text.h"
#include "qkv/task/task.h"
#include "qkv/train/optimizer.h"
#include "train/check.h"

namespace qkv {
namespace {

// The properties of all tables of a config as it is read.
Json tables_of(const std::string& text) {
  const Section config = Section::parse("[data]\ntrain = \"\"\n" + text);
  check_config(config);
  return config.schema().at("properties");
}

// One variant per name; `type` may be left out in that of the default.
template <class T>
Json variants(const std::string& fallback, const std::function<Json(const std::string& name)>& schema_for) {
  Json all = Json::array();
  for (auto& [name, entry] : Registry<T>::instance().entries()) {
    Json one = schema_for(name);
    one["properties"]["type"] = {{"const", name}, {"description", entry.help}};
    if (name != fallback) one["required"] = {"type"};
    one["title"] = name;
    all.push_back(one);
  }
  return {{"anyOf", all}};
}

template <class T>
Json variants(const Json& defaults, const std::string& table) {
  const Json& type = defaults.at(table).at("properties").at("type");
  return variants<T>(type.at("default").get<std::string>(), [&](const std::string& name) {
    return tables_of(fmt::format("[{}]\ntype = \"{}\"\n", table, name)).at(table);
  });
}

}  // namespace

Json config_schema() {
  const Json defaults = tables_of("");
  Json result = defaults;
  result["model"] = variants<Model>(defaults, "model");
  const Json layers = variants<Layer>("block", [](const std::string& name) {
    const Json tables = tables_of(fmt::format("[[model.layers]]\ntype = \"{}\"\n", name));
    return tables.at(Json::json_pointer("/model/properties/layers/items"));
  });
  for (Json& model : result["model"]["anyOf"])
    if (model["properties"].contains("layers")) model["properties"]["layers"]["items"] = layers;
  result["optimizer"] = variants<Optimizer>(defaults, "optimizer");
  const Json groups = variants<Optimizer>(Optimizer::kDefault, [](const std::string& name) {
    const Json tables = tables_of(
        fmt::format("[[optimizer.groups]]\ntype = \"{}\"\nlr = 0.1\nmatch = [\"*\"]\nndim = 2\n", name));
    return tables.at(Json::json_pointer("/optimizer/properties/groups/items"));
  });
  for (Json& optimizer : result["optimizer"]["anyOf"]) optimizer["properties"]["groups"]["items"] = groups;
  result["schedule"] = variants<Schedule>(defaults, "schedule");
  result["tokenizer"] = variants<Tokenizer>(defaults, "tokenizer");
  result["task"] = variants<Task>(defaults, "task");
  Json data = Json::array();
  for (const std::string& task : Registry<Task>::instance().names()) {
    const Json tables = tables_of("[task]\ntype = \"" + task + "\"\n");
    data.push_back(tables.at("data"));
    data.back()["title"] = "task " + task;
    result["train"]["properties"].update(tables.at("train").at("properties"));
  }
  result["data"] = {{"anyOf", data}};
  result["expect"] = {{"type", "object"},
                      {"patternProperties", {{"_(min|max)$", {{"type", "number"}}}}},
                      {"additionalProperties", false}};
  const Json file = {{"type", "string"}};
  result["extends"] = {{"anyOf", {file, {{"type", "array"}, {"items", file}}}},
                       {"description", "configs that this one overrides"}};
  result["unset"] = {{"anyOf", result["extends"]["anyOf"]},
                     {"description", "keys of those configs to remove"}};
  return {{"type", "object"},
          {"properties", result},
          {"additionalProperties", false},
          {"$schema", "http://json-schema.org/draft-07/schema#"},
          {"title", "qkv config"}};
}

namespace {

// "integer, at least 1", "one of `a`, `b`"
std::string type_of(const Json& schema) {
  std::vector<std::string> parts;
  for (const Json& one : schema.value("anyOf", Json::array())) parts.push_back(type_of(one));
  for (const Json& value : schema.value("enum", Json::array())) parts.push_back("`" + dump_json(value) + "`");
  if (!parts.empty()) return schema.contains("enum") ? "one of " + join(parts, " ") : join(parts, " or ");
  const Json kinds = schema.value("type", Json("any"));
  for (const Json& kind : kinds.is_array() ? kinds : Json::array({kinds}))
    parts.push_back(kind.get<std::string>());
  std::string text = join(parts, " or ");
  if (text == "array" && schema.contains("items")) text = "list of " + type_of(schema.at("items"));
  auto bound = [&](const char* format, const char* key) {
    return schema.contains(key) ? fmt::format(fmt::runtime(format), schema.at(key).get<double>()) : "";
  };
  text += bound(", above {}", "exclusiveMinimum");
  if (schema.contains("minimum") && schema.contains("maximum"))
    return text + bound(", {}", "minimum") + bound(" to {}", "maximum");
  return text + bound(", at least {}", "minimum") + bound(", at most {}", "maximum");
}

bool is_table(const Json& schema) {
  return schema.contains("properties");
}

// Rows of a table's own keys, then those of the tables within, by dotted name.
std::string rows(const Json& table, const std::string& prefix) {
  auto cell = [](const std::string& text) {
    return replace_all(text, "|", "\\|");
  };
  std::string own, below;
  for (auto& [key, schema] : table.at("properties").items()) {
    if (key == "type" && schema.contains("const")) continue;
    if (is_table(schema))
      below += rows(schema, prefix + key + ".");
    else
      own += fmt::format("| `{}{}` | {} | {} | {} |\n", prefix, key, cell(type_of(schema)),
                         schema.contains("default") ? cell("`" + dump_json(schema.at("default")) + "`") : "",
                         cell(schema.value("description", "")));
  }
  return own + below;
}

std::string table_text(const Json& table) {
  const std::string body = rows(table, "");
  if (body.empty()) return "No keys.\n";
  return "| key | type | default | meaning |\n| --- | --- | --- | --- |\n" + body;
}

std::string section(const std::string& name, const Json& schema) {
  const std::string title = "\n## [" + name + "]\n";
  if (is_table(schema)) return title + "\n" + table_text(schema);
  if (!schema.contains("anyOf") || !is_table(schema.at("anyOf").at(0))) return "";
  std::string text = title;
  for (const Json& variant : schema.at("anyOf")) {
    const Json type = variant.at("properties").value("type", Json::object());
    const std::string help = type.value("description", "");
    text += fmt::format("\n### {}{}\n\n{}{}", type.empty() ? "" : "type = ", variant.value("title", ""),
                        help.empty() ? "" : help + "\n\n", table_text(variant));
  }
  return text;
}

}  // namespace

std::string config_reference() {
  const Json tables = config_schema().at("properties");
  std::string out =
      "# Reference of the config keys\n\nWritten by `qkv config reference` from all registered names. Keys "
      "may be dotted: "
      "`attention.n_head` in `[model]`\nis `n_head` in `[model.attention]`.\n";
  std::string own;  // keys outside of tables
  for (auto& [key, value] : tables.items())
    if (!is_table(value) && (value.contains("type") || key == "extends" || key == "unset"))
      own += fmt::format("| `{}` | {} | {} |\n", key, type_of(value), value.value("description", ""));
  out += "\n## Outside tables\n\n| key | type | meaning |\n| --- | --- | --- |\n" + own;
  for (auto& [key, value] : tables.items()) out += section(key, value);
  out += section("[optimizer.groups]",
                 tables.at(Json::json_pointer("/optimizer/anyOf/0/properties/groups/items")));
  // The layers of [[model.layers]] are separate variants, the same for every model that has them.
  for (const Json& model : tables.at("model").at("anyOf")) {
    const Json& properties = model.at("properties");
    if (!properties.contains("layers")) continue;
    out += section("[model.layers]", properties.at("layers").at("items"));
    break;
  }
  return out;
}

}  // namespace qkv
