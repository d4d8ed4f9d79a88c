#include "case.h"

#include <doctest/doctest.h>

#include <cmath>

#include "qkv/base/random.h"

using namespace qkv;
using namespace qkv::conformance;

namespace {

const std::string kGood =
    "# comment\n"
    "case one\n"
    "op Clip ai.onnx 13\n"
    "inputs x - max\n"
    "outputs y\n"
    "attr alpha float 0.5\n"
    "attr axes ints 1 -2\n"
    "attr mode string nearest\n"
    "attr empty ints\n"
    "in x f32 2 2 2\n"
    "1 nan -inf 2.5e-3\n"
    "in max i64 1 0\n"
    "\n"
    "out y f32 0\n"
    "7\n"
    "gout y f32 0\n"
    "1\n"
    "grad x f32 2 2 2\n"
    "0 0 0 0\n"
    "end\n";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kGood;
  return text.replace(text.find(from), from.size(), to);
}

std::string message(const std::string& text) {
  try {
    parse_cases(text, "f.txt");
  } catch (const Error& e) {
    CHECK(e.fault() == Fault::data);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a case is read with its attributes, omitted inputs, special values and gradients") {
  for (const std::string& text : {kGood, kGood.substr(0, kGood.size() - 1), kGood + "\n\n"}) {
    const std::vector<Case> cases = parse_cases(text, "f.txt");
    REQUIRE(cases.size() == 1);
    const Case& c = cases[0];
    CHECK(c.name == "one");
    CHECK(c.op == "Clip");
    CHECK(c.opset == 13);
    CHECK(c.line == 2);
    CHECK(c.inputs == std::vector<std::string>{"x", "-", "max"});
    REQUIRE(c.attributes.size() == 4);
    CHECK(c.attributes[1].numbers == std::vector<double>{1, -2});
    CHECK(c.attributes[2].strings == std::vector<std::string>{"nearest"});
    CHECK(c.attributes[3].numbers.empty());
    CHECK(c.input("x")->shape == Shape{2, 2});
    CHECK(std::isnan(c.input("x")->numbers[1]));
    CHECK(c.input("x")->numbers[3] == static_cast<double>(2.5e-3f));
    CHECK(c.input("max")->shape == Shape{0});
    CHECK(c.output("y")->shape == Shape{});
    CHECK(c.grad.size() == 1);
  }
  CHECK(parse_cases("", "f.txt").empty());
  CHECK(parse_cases("# nothing\n", "f.txt").empty());
}

TEST_CASE("a malformed case is an error that names its line") {
  const std::pair<std::string, std::string> broken[] = {
      {replaced("case one", "kase one"), "f.txt:2: a case must begin with 'case <name>'; got 'kase one'"},
      {replaced("13", "x"), "f.txt:3: value must be an integer; got 'x'"},
      {replaced("op Clip ai.onnx 13\n", ""), "f.txt:19: a case must have an operator; got 'one'"},
      {replaced("float 0.5", "double 0.5"),
       "f.txt:6: attribute type must be float, int, string, floats, ints or strings; got 'double'"},
      {replaced("float 0.5", "float"),
       "f.txt:6: an attribute that is no list must have one value; got 'attr alpha float'"},
      {replaced("in x f32", "in z f32"), "f.txt:10: an input must be listed once under 'inputs'; got 'z'"},
      {replaced("in x f32 2 2 2", "in x f16 2 2 2"),
       "f.txt:10: type must be f32, f64, i32, i64 or bool; got 'f16'"},
      {replaced("in x f32 2 2 2", "in x f32 9 2 2"), "f.txt:10: rank must be in [0, 8]; got '9'"},
      {replaced("in x f32 2 2 2", "in x f32 2 2"),
       "f.txt:10: there must be one extent per axis; got 'in x f32 2 2'"},
      {replaced("in x f32 2 2 2", "in x f32 2 4000000000 4000000000"),
       "f.txt:10: extent must be in [0, 2^32 elements); got '4000000000'"},
      {replaced("in x f32 2 2 2", "in x f32 2 2 -2"),
       "f.txt:10: extent must be in [0, 2^32 elements); got '-2'"},
      {replaced("1 nan -inf 2.5e-3", "1 nan -inf"),
       "f.txt:11: there must be one value per element; got '1 nan -inf'"},
      {replaced("1 nan -inf 2.5e-3", "1 nan -inf 2.5e-3x"),
       "f.txt:11: value must be a number; got '2.5e-3x'"},
      {replaced("out y f32 0\n7\n", ""), "f.txt:18: a case must have an output; got 'one'"},
      {replaced("gout y f32 0", "gout y f32 1 1"),
       "f.txt:20: an upstream gradient must have the shape of its output; got 'y'"},
      {replaced("end\n", ""), "f.txt:19: a case must end with 'end'; got 'one'"},
      {replaced("end\n", "what\n"),
       "f.txt:20: line must begin with op, inputs, outputs, attr, in, out, gout, grad or end; got 'what'"},
  };
  for (const auto& [text, expected] : broken) CHECK(message(text) == expected);
}

TEST_CASE("no damage to a file does more than raise an error") {
  Stream stream(11, "damage");
  auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(stream.below(static_cast<std::uint64_t>(n)));
  };
  for (int i = 0; i < 20000; i++) {
    std::string text = kGood;
    for (std::size_t k = 0; k <= below(3); k++) {
      if (text.empty()) break;
      const std::size_t at = below(text.size());
      if (below(3) == 0)
        text.erase(at, 1 + below(8));
      else if (below(2) == 0)
        text[at] = static_cast<char>(below(256));
      else
        text.insert(at, text.substr(below(text.size()), below(20)));
    }
    try {
      parse_cases(text, "f.txt");
    } catch (const Error& e) {
      REQUIRE(std::string(e.what()).rfind("f.txt:", 0) == 0);
    }
  }
}
