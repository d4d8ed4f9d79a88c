#include "qkv/base/config_field.h"

#include <doctest/doctest.h>

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
  void fields(FieldCollector& f) { f("rate", rate, "share", rule::probability); }
};

struct OuterConfig {
  std::string train;
  int size = 2;
  Mode mode = Mode::max;
  std::vector<float> betas = {0.1f};
  NameOrNumber scale = 2.0;
  InnerConfig inner;
  void fields(FieldCollector& f) {
    f("train", train, "training file", rule::path);
    f("size", size, "how many", rule::positive);
    f("mode", mode, "what is best");
    f("betas", betas, "rates", rule::between(0, 1));
    f("scale", scale, "factor");
    f("inner", inner, "inside");
  }
};

}  // namespace

TEST_CASE("the JSON schema follows from the same fields") {
  OuterConfig config;
  const Section root = Section::parse("train = \"x\"");
  root.read(config);
  const Json schema = root.schema();
  CHECK(schema["additionalProperties"] == false);
  CHECK(dump_json(schema["properties"]["size"]) ==
        R"({"type":"integer","exclusiveMinimum":0.0,"description":"how many","default":2})");
  CHECK(dump_json(schema["properties"]["mode"]) ==
        R"({"type":"string","enum":["min","max"],"description":"what is best","default":"max"})");
  CHECK(
      dump_json(schema["properties"]["betas"]) ==
      R"({"type":"array","items":{"type":"number","minimum":0.0,"maximum":1.0},"description":"rates","default":[0.1]})");
  CHECK(dump_json(schema["properties"]["scale"]["type"]) == R"(["string","number"])");
  CHECK(schema["properties"]["inner"]["properties"]["rate"]["maximum"] == 1.0);
}

TEST_CASE("a key that is read with another default or help text counts as stated twice") {
  const Section root = Section::parse("train = \"x\"\n[inner]\nrate = 0.25");
  for (int i = 0; i < 2; i++) (void)root.read<OuterConfig>();
  CHECK(root.section("inner").given<double>("rate") == 0.25);
  CHECK_FALSE(root.given<std::string>("size").has_value());
  CHECK(root.restated_keys() == std::vector<std::string>{});
  (void)root.section("inner").get("rate", 0.25f, "share", rule::probability);
  (void)root.get("size", 2, "number of them", rule::positive);
  CHECK(root.restated_keys() == std::vector<std::string>{"inner.rate", "size"});
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
