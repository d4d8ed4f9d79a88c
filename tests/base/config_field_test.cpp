#include "qkv/base/config_field.h"

#include <doctest/doctest.h>

#include "base/config_schema.h"
#include "qkv/base/config.h"
#include "qkv/base/json.h"

using namespace qkv;

namespace {

enum class Mode { min, max };
std::vector<std::string> names_of(Mode) {
  return {"min", "max"};
}

struct InnerConfig {
  float rate = 0.5f;
  template <class F>
  void fields(F& f) {
    f("rate", rate, "share", rule::probability);
  }
};

struct OuterConfig {
  std::string train;
  int size = 2;
  Mode mode = Mode::max;
  std::vector<float> betas = {0.1f};
  NameOrNumber scale = 2.0;
  std::optional<double> limit;
  std::optional<InnerConfig> extra;
  InnerConfig inner;
  template <class F>
  void fields(F& f) {
    f("train", train, "training file", rule::required, rule::path);
    f("size", size, "how many", rule::positive);
    f("mode", mode, "what is best");
    f("betas", betas, "rates", rule::between(0, 1));
    f("scale", scale, "factor");
    f("limit", limit, "bound", rule::at_least(1.5));
    f("extra", extra, "more");
    f("inner", inner, "inside");
  }
};

}  // namespace

TEST_CASE("the JSON schema follows from the same fields") {
  OuterConfig config;
  const Section root = Section::parse("train = \"x\"\n[extra]");
  root.read(config);
  const Json schema = schema_of(root);
  CHECK(schema["required"] == Json({"train"}));
  CHECK(schema["additionalProperties"] == false);
  CHECK(dump_json(schema["properties"]["size"]) ==
        R"({"type":"integer","exclusiveMinimum":0.0,"description":"how many","default":2})");
  CHECK(dump_json(schema["properties"]["mode"]) ==
        R"({"type":"string","enum":["min","max"],"description":"what is best","default":"max"})");
  CHECK(
      dump_json(schema["properties"]["betas"]) ==
      R"({"type":"array","items":{"type":"number","minimum":0.0,"maximum":1.0},"description":"rates","default":[0.1]})");
  CHECK(dump_json(schema["properties"]["scale"]["type"]) == R"(["string","number"])");
  CHECK_FALSE(schema["properties"]["limit"].contains("default"));
  CHECK(schema["properties"]["inner"]["properties"]["rate"]["maximum"] == 1.0);
}

TEST_CASE("a key that is read with another default or help text counts as stated twice") {
  const Section root = Section::parse("train = \"x\"\n[inner]\nrate = 0.25");
  for (int i = 0; i < 2; i++) (void)root.read<OuterConfig>();
  CHECK(root.section("inner").given<double>("rate") == 0.25);
  CHECK_FALSE(root.given<std::string>("size").has_value());
  CHECK(restated_keys(root) == std::vector<std::string>{});
  (void)root.section("inner").get("rate", 0.25f, "share", rule::probability);
  (void)root.get("size", 2, "number of them", rule::positive);
  CHECK(restated_keys(root) == std::vector<std::string>{"inner.rate", "size"});
}

TEST_CASE("a key that is set shows in the dump of the copy only") {
  const Section root = Section::parse("train = \"x\"\n[inner]\nrate = 0.25");
  (void)root.read<OuterConfig>();
  const std::string before = root.dump();
  const Section copy = root.copy();
  copy.set("inner.rate", "0.125");
  copy.set("train", "\"y\"");
  CHECK(root.dump() == before);
  CHECK(copy.dump().find("rate = 0.125") != std::string::npos);
  CHECK(copy.dump().find("train = \"y\"") != std::string::npos);
}

TEST_CASE("an optional sub-table exists when the config has it") {
  OuterConfig config;
  Section::parse("train = \"x\"").read(config);
  CHECK_FALSE(config.extra.has_value());
  CHECK_FALSE(config.limit.has_value());
  CHECK(config.train == "x");
  OuterConfig other;
  Section root = Section::parse("train = \"x\"\nlimit = 2\n[extra]");
  root.read(other);
  root.finish();
  CHECK(other.extra.value().rate == 0.5f);
  CHECK(other.limit.value() == 2);
}

TEST_CASE("an optional number with a problem stays unset") {
  OuterConfig config;
  Section root = Section::parse("train = \"x\"\nlimit = 1", "a.toml");
  root.read(config);
  CHECK_THROWS_WITH_AS(root.finish(), "a.toml:2:9: limit must be at least 1.5; got 1", Error);
  CHECK_FALSE(config.limit.has_value());
}
