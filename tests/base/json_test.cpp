#include "qkv/base/json.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "base/file.h"
#include "base/temporary_folder.h"

using namespace qkv;

namespace {

std::string json_error(std::string_view text, JsonLimits limits = {}) {
  try {
    parse_json(text, "a.json", limits);
  } catch (const Error& error) {
    CHECK(error.fault() == Fault::data);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("JSON is read with the order of its keys and written back") {
  std::string text = R"({"b":1,"a":[true,null,-2.5,"x\n\u00e9"],"c":{},"d":[],"e":18446744073709551615})";
  Json value = parse_json(text, "a.json");
  CHECK(value["a"][3] == "x\né");
  CHECK(dump_json(value) ==
        "{\"b\":1,\"a\":[true,null,-2.5,\"x\\né\"],\"c\":{},\"d\":[],\"e\":18446744073709551615}");
  CHECK(dump_json(parse_json("[1,{\"a\":2}]", "a"), 2) == "[\n  1,\n  {\n    \"a\": 2\n  }\n]");
  CHECK(parse_json(" 7 ", "a") == 7);
}

TEST_CASE("damaged JSON is an error that names the byte") {
  CHECK(json_error("{\"a\":1,\n\"a\":2}") ==
        "a.json: invalid JSON at byte 11 (line 2); keys must be unique; got 'a' twice");
  CHECK(json_error(std::string_view("{}\0", 3)) ==
        "a.json: invalid JSON at byte 2 (line 1); text must not contain NUL; got one");
  CHECK(json_error("[\"\xff\"]") ==
        "a.json: invalid JSON at byte 2 (line 1); text must be valid UTF-8; got another byte");
  CHECK(json_error("[[[[1]]]]", {100, 3}) ==
        "a.json: invalid JSON at byte 4 (line 1); nesting must be at most 3 deep; got more");
  CHECK(json_error("[1]", {2, 3}) == "a.json: must have at most 2 bytes; got 3");
  CHECK(json_error("{}x") ==
        "a.json: invalid JSON at byte 2 (line 1); syntax error while parsing value - invalid literal; "
        "expected end of input");
  CHECK(json_error("[1,]") ==
        "a.json: invalid JSON at byte 3 (line 1); syntax error while parsing value - unexpected ']'; "
        "expected '[', '{', or a literal");
  CHECK(
      json_error("") ==
      "a.json: invalid JSON at byte 0 (line 1); syntax error while parsing value - unexpected end of input; "
      "expected '[', '{', or a literal");
  CHECK(json_error("[1e999]") == "a.json: invalid JSON at byte 5 (line 1); number overflow parsing '1e999'");
  CHECK(json_error(std::string(1 << 20, '[')).find("nesting must be at most 64 deep") != std::string::npos);
}

TEST_CASE("numbers are written as short as they read back, and non-finite ones as strings") {
  Json value = {{"f", json_number(0.1f)}, {"d", 0.1}, {"one", 1.0}, {"n", json_number(std::nanf(""))}};
  value["i"] = std::numeric_limits<double>::infinity();
  value["m"] = json_number(-std::numeric_limits<float>::infinity());
  CHECK(dump_json(value) == R"({"f":0.1,"d":0.1,"one":1.0,"n":"NaN","i":"Infinity","m":"-Infinity"})");
  CHECK(std::isnan(to_double(value["n"], "x")));
  CHECK(to_double(value["m"], "x") == -std::numeric_limits<double>::infinity());
  CHECK(to_double(Json(3), "x") == 3);
  CHECK_THROWS_WITH_AS(to_double(Json("3"), "a.json: loss"),
                       "a.json: loss: value must be a number; got '\"3\"'", Error);
  for (float f : {1e-45f, 3.4e38f, 16777217.0f, 0.3f})
    CHECK(parse_json(dump_json(json_number(f)), "x").get<float>() == f);
}

TEST_CASE("invalid UTF-8 in a string is written as the replacement character") {
  CHECK(dump_json(Json("a\xff")) == "\"a\xef\xbf\xbd\"");
}

TEST_CASE("a vocabulary of 100,000 keys is read and built in linear time") {
  Json vocabulary = Json::object();
  for (int i = 0; i < 100000; ++i) add_member(vocabulary, "token" + std::to_string(i), i);
  std::string text = dump_json(vocabulary);
  CHECK((parse_json(text, "vocabulary") == vocabulary));
}

TEST_CASE("read_json names the file") {
  TemporaryFolder folder;
  write_file_atomic(folder / "a.json", "{\"x\": 1}");
  CHECK(read_json(folder / "a.json")["x"] == 1);
  CHECK_THROWS_AS(read_json(folder / "b.json"), Error);
}
