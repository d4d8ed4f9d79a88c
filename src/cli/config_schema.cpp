// The schema is composed from what is read: for each registered type, a config that names it is checked, and
// what was asked for in its table is the schema of that table.
#include "cli/config_schema.h"

#include "base/config_schema.h"
#include "qkv/base/json.h"
#include "qkv/task/task.h"
#include "qkv/train/optimizer.h"
#include "train/check.h"

namespace qkv {
namespace {

Json object(const Json& properties) {
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

// The properties of all tables of a config as it is read.
Json tables_of(const std::string& text) {
  const Section config = Section::parse("[data]\ntrain = \"\"\n" + text);
  check_config(config);
  return schema_of(config).at("properties");
}

template <class T>
std::vector<std::string> names() {
  return Registry<T>::instance().names();
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

std::string default_of(const Json& tables, const char* table) {
  return tables.at(table).at("properties").at("type").at("default").get<std::string>();
}

}  // namespace

Json config_schema() {
  const Json defaults = tables_of("");
  Json result = defaults;
  auto typed = [&](const char* table) {
    return [table](const std::string& name) {
      return tables_of(fmt::format("[{}]\ntype = \"{}\"\n", table, name)).at(table);
    };
  };
  const Json layers = variants<Layer>("block", [](const std::string& name) {
    const Json tables = tables_of(fmt::format("[[model.layers]]\ntype = \"{}\"\n", name));
    return tables.at("model").at("properties").at("layers").at("items");
  });
  result["model"] = variants<Model>(default_of(defaults, "model"), [&](const std::string& name) {
    Json model = typed("model")(name);
    if (model["properties"].contains("layers")) model["properties"]["layers"]["items"] = layers;
    return model;
  });
  result["optimizer"] = variants<Optimizer>(default_of(defaults, "optimizer"), typed("optimizer"));
  result["schedule"] = variants<Schedule>(default_of(defaults, "schedule"), typed("schedule"));
  result["tokenizer"] = variants<Tokenizer>(default_of(defaults, "tokenizer"), typed("tokenizer"));
  result["task"] = variants<Task>(default_of(defaults, "task"), typed("task"));
  Json data = Json::array();
  for (const std::string& task : names<Task>()) {
    const Json tables = tables_of("[task]\ntype = \"" + task + "\"\n");
    data.push_back(tables.at("data"));
    data.back()["title"] = "task " + task;
    for (auto& [key, schema] : tables.at("train").at("properties").items())
      result["train"]["properties"][key] = schema;
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
  Json schema = object(result);
  schema["$schema"] = "http://json-schema.org/draft-07/schema#";
  schema["title"] = "qkv config";
  return schema;
}

}  // namespace qkv
