#include "cli/config_schema.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/json.h"
#include "train/check.h"
#include "wsd_config.h"

using namespace qkv;

namespace {

bool has_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  return type == "array" ? value.is_array() : value.is_object();
}

// The part of JSON schema that the schema uses; "" or the first thing that is wrong.
std::string invalid(const Json& value, const Json& schema, const std::string& at = "") {
  if (schema.contains("anyOf")) {
    std::string reasons;
    for (const Json& one : schema.at("anyOf")) {
      const std::string reason = invalid(value, one, at);
      if (reason.empty()) return "";
      reasons += reason + "; ";
    }
    return reasons;
  }
  if (schema.contains("const")) return value == schema.at("const") ? "" : at + " is not the constant";
  if (schema.contains("type")) {
    const Json& type = schema.at("type");
    bool fits = type.is_string() && has_type(value, type);
    if (type.is_array())
      for (const Json& one : type) fits = fits || has_type(value, one);
    if (!fits) return at + " has another type";
  }
  if (schema.contains("enum") &&
      std::find(schema.at("enum").begin(), schema.at("enum").end(), value) == schema.at("enum").end())
    return at + " is none of the names";
  if (schema.contains("minimum") && value < schema.at("minimum")) return at + " is too small";
  if (schema.contains("exclusiveMinimum") && value <= schema.at("exclusiveMinimum"))
    return at + " is too small";
  if (schema.contains("maximum") && value > schema.at("maximum")) return at + " is too large";
  if (schema.contains("required"))
    for (const Json& key : schema.at("required"))
      if (!value.contains(key)) return at + " lacks " + key.get<std::string>();
  if (value.is_array() && schema.contains("items"))
    for (const Json& one : value)
      if (std::string reason = invalid(one, schema.at("items"), at + "[]"); !reason.empty()) return reason;
  if (value.is_object() && schema.contains("properties"))
    for (auto& [key, one] : value.items()) {
      if (!schema.at("properties").contains(key)) return at + " has unknown " + key;
      if (std::string reason = invalid(one, schema.at("properties").at(key), at + "." + key); !reason.empty())
        return reason;
    }
  return "";
}

// The config as the reader resolved it.
Json resolved(const Section& config) {
  Json result = Json::object();
  for (const ResolvedKey& key : config.resolved()) {
    std::string pointer = "/" + key.key;
    for (char& c : pointer)
      if (c == '.' || c == '[') c = '/';
    pointer.erase(std::remove(pointer.begin(), pointer.end(), ']'), pointer.end());
    result[Json::json_pointer(pointer)] = parse_json(key.value, key.key);
  }
  return result;
}

}  // namespace

TEST_CASE("the schema describes every key that is read, and accepts what the reader accepts") {
  const Json schema = config_schema();
  const test::WsdConfig folder;
  for (const char* text :
       {"", "[model]\ntype = \"static\"", "[model]\ntype = \"bag-of-words\"\ndropout = 0.5",
        "[optimizer]\ntype = \"sgd\"\nmomentum = 0.9\n[schedule]\ntype = \"noam\"",
        "[model]\nattention.scale = 0.5\nattention.qkv = \"identity\"\n[expect]\naccuracy_min = 0.5",
        "[[model.layers]]\ntype = \"linear\"\nd_out = 8\n[[model.layers]]\n[[model.layers]]\ntype = "
        "\"dropout\""}) {
    CAPTURE(std::string(text));
    const Section config = Section::load(folder.write("[train]\nmax_steps = 5\n" + std::string(text)));
    CHECK(check_config(config).problems.empty());
    Json value = resolved(config);
    value.erase("expect");  // described by a pattern
    CHECK(invalid(value, schema) == "");
  }
}

TEST_CASE("the schema refuses unknown keys, wrong types, names and values out of range") {
  const Json schema = config_schema();
  auto refused = [&](const char* text) {
    return !invalid(parse_json(text, "test"), schema).empty();
  };
  CHECK_FALSE(refused(R"({"model": {"d_model": 8}, "extends": ["a.toml"]})"));
  CHECK(refused(R"({"modle": {}})"));
  CHECK(refused(R"({"model": {"d_modle": 8}})"));
  CHECK(refused(R"({"model": {"d_model": "8"}})"));
  CHECK(refused(R"({"model": {"type": "static", "n_layer": 2}})"));
  CHECK(refused(R"({"model": {"attention": {"qkv": "learnt"}}})"));
  CHECK(refused(R"({"model": {"layers": [{"type": "linear", "d_ff": 2}]}})"));
  CHECK(refused(R"({"optimizer": {"type": "adamm"}})"));
  CHECK(refused(R"({"optimizer": {"type": "adamw", "momentum": 0.9}})"));
  CHECK(refused(R"({"optimizer": {"momentum": 0.9}})"));
  CHECK(refused(R"({"optimizer": {"lr": 0}})"));
  CHECK_FALSE(refused(R"({"optimizer": {"type": "sgd", "momentum": 0.9}})"));
}
