#include "case.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/file.h"
#include "qkv/base/text.h"

namespace qkv::conformance {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  std::vector<Case> parse() {
    std::vector<Case> cases;
    while (next_line()) {
      if (trim(line_).empty() || line_[0] == '#') continue;
      check(word(0) == "case" && words_.size() == 2, "a case must begin with 'case <name>'", line_);
      cases.push_back(parse_case());
    }
    return cases;
  }

 private:
  template <class... Rule>
  void check(bool condition, const char* rule, std::string_view got) const {
    if (!condition) fail(Fault::data, "{}:{}: {}; got {}", path_, number_, rule, in_quotes(got));
  }

  // The next line and its words; false at the end of the text.
  bool next_line() {
    words_.clear();
    if (done_) return false;
    const std::size_t end = rest_.find('\n');
    line_ = rest_.substr(0, end);
    done_ = end == std::string_view::npos;
    if (done_ && line_.empty()) return false;
    rest_.remove_prefix(done_ ? rest_.size() : end + 1);
    if (!line_.empty() && line_.back() == '\r') line_.remove_suffix(1);
    number_++;
    for (std::size_t begin = 0; begin < line_.size();) {
      const std::size_t first = line_.find_first_not_of(' ', begin);
      if (first == std::string_view::npos) break;
      const std::size_t past = std::min(line_.find(' ', first), line_.size());
      words_.push_back(line_.substr(first, past - first));
      begin = past;
    }
    return true;
  }
  std::string_view word(std::size_t i) const { return i < words_.size() ? words_[i] : std::string_view(); }

  Index integer(std::string_view text) const {
    Index value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    check(error == std::errc() && end == text.data() + text.size() && !text.empty(),
          "value must be an integer", text);
    constexpr Index limit = Index{1} << 53;
    check(value >= -limit && value <= limit, "an integer must be at most 2^53", text);
    return value;
  }
  double real(std::string_view text) const {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool in_range = error == std::errc() || error == std::errc::result_out_of_range;
    check(in_range && end == text.data() + text.size() && !text.empty(), "value must be a number", text);
    return value;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (std::size_t i = 1; i < words_.size(); i++) {
      check(words_[i] == "-" || std::find(result.begin(), result.end(), words_[i]) == result.end(),
            "formal names must differ", words_[i]);
      result.emplace_back(words_[i]);
    }
    return result;
  }

  Attribute attribute() const {
    check(words_.size() >= 3, "an attribute must be 'attr <name> <type> <value...>'", line_);
    Attribute a{std::string(words_[1]), std::string(words_[2]), {}, {}};
    const bool strings = a.type == "string" || a.type == "strings",
               floats = a.type == "float" || a.type == "floats";
    const bool list = !a.type.empty() && a.type.back() == 's';
    check(strings || floats || a.type == "int" || a.type == "ints",
          "attribute type must be float, int, string, floats, ints or strings", words_[2]);
    for (std::size_t i = 3; i < words_.size(); i++) {
      if (strings)
        a.strings.emplace_back(words_[i]);
      else
        a.numbers.push_back(floats ? real(words_[i]) : static_cast<double>(integer(words_[i])));
    }
    check(list || words_.size() == 4, "an attribute that is no list must have one value", line_);
    return a;
  }

  // "in x f32 2 3 4" and the line of values that follows.
  Value value() {
    check(words_.size() >= 4, "a value must be '<kind> <name> <type> <rank> <extent...>'", line_);
    Value v{std::string(words_[1]), std::string(words_[2]), {}, {}};
    check(v.type == "f32" || v.type == "f64" || v.type == "i32" || v.type == "i64" || v.type == "bool",
          "type must be f32, f64, i32, i64 or bool", words_[2]);
    const Index rank = integer(words_[3]);
    check(rank >= 0 && rank <= Shape::kMaxRank, "rank must be in [0, 8]", words_[3]);
    check(static_cast<Index>(words_.size()) == 4 + rank, "there must be one extent per axis", line_);
    Index size = 1;
    for (std::size_t i = 4; i < words_.size(); i++) {
      const Index extent = integer(words_[i]);
      check(extent >= 0 && (extent == 0 || size <= (Index{1} << 32) / extent),
            "extent must be in [0, 2^32 elements)", words_[i]);
      v.shape.push_back(extent);
      size *= extent;
    }
    check(next_line(), "a line of values must follow", "end of file");
    check(static_cast<Index>(words_.size()) == size, "there must be one value per element", line_);
    for (std::string_view text : words_) v.numbers.push_back(element(v.type, text));
    return v;
  }

  double element(const std::string& type, std::string_view text) const {
    if (type[0] == 'f')
      return type == "f32" ? static_cast<double>(static_cast<float>(real(text))) : real(text);
    const Index n = integer(text);
    check(type != "bool" || n == 0 || n == 1, "a bool must be 0 or 1", text);
    check(type != "i32" || n == static_cast<Index>(static_cast<std::int32_t>(n)), "an i32 must be in range",
          text);
    return static_cast<double>(n);
  }

  Case parse_case() {
    Case c;
    c.name = words_[1];
    c.line = number_;
    bool has_inputs = false, has_outputs = false;
    for (;;) {
      check(next_line(), "a case must end with 'end'", c.name);
      const std::string_view kind = word(0);
      if (kind == "end") break;
      if (kind == "op") {
        check(words_.size() == 4 && c.op.empty(),
              "there must be one 'op <operator> <domain> <opset version>'", line_);
        c.op = words_[1], c.domain = words_[2];
        const Index version = integer(words_[3]);
        check(version > 0 && version < 1000, "opset version must be in [1, 1000)", words_[3]);
        c.opset = static_cast<int>(version);
      } else if (kind == "inputs") {
        check(!has_inputs, "there must be one line of inputs", line_);
        c.inputs = names(), has_inputs = true;
      } else if (kind == "outputs") {
        check(!has_outputs, "there must be one line of outputs", line_);
        c.outputs = names(), has_outputs = true;
      } else if (kind == "attr") {
        c.attributes.push_back(attribute());
      } else if (kind == "in") {
        add(c.in, c.inputs, "an input must be listed once under 'inputs'");
      } else if (kind == "out") {
        add(c.out, c.outputs, "an output must be listed once under 'outputs'");
      } else if (kind == "gout") {
        add(c.gout, c.outputs, "an upstream gradient must be of an output");
      } else if (kind == "grad") {
        add(c.grad, c.inputs, "a gradient must be of an input");
      } else {
        check(false, "line must begin with op, inputs, outputs, attr, in, out, gout, grad or end", line_);
      }
    }
    finish(c);
    return c;
  }

  void add(std::vector<Value>& values, const std::vector<std::string>& formal, const char* rule) {
    const std::string name(word(1));
    check(name != "-" && std::find(formal.begin(), formal.end(), name) != formal.end() &&
              !Case::find(values, name),
          rule, name);
    values.push_back(value());
  }

  void finish(const Case& c) const {
    check(!c.op.empty(), "a case must have an operator", c.name);
    check(!c.out.empty(), "a case must have an output", c.name);
    for (const std::string& name : c.inputs)
      check(name == "-" || c.input(name), "a listed input must be given", name);
    for (const std::string& name : c.outputs)
      check(name == "-" || c.output(name), "a listed output must be given", name);
    for (const Value& g : c.gout)
      check(c.output(g.name)->shape == g.shape, "an upstream gradient must have the shape of its output",
            g.name);
    for (const Value& g : c.grad)
      check(c.input(g.name)->shape == g.shape && c.input(g.name)->is_float(),
            "a gradient must have the shape of its float input", g.name);
    check(c.grad.empty() == c.gout.empty(), "gradients and upstream gradients must come together", c.name);
  }

  std::string_view rest_, line_;
  std::string path_;
  std::vector<std::string_view> words_;
  int number_ = 0;
  bool done_ = false;
};

}  // namespace

const Value* Case::find(const std::vector<Value>& values, std::string_view name) {
  for (const Value& v : values)
    if (v.name == name) return &v;
  return nullptr;
}

std::vector<Case> parse_cases(std::string_view text, const std::string& path) {
  return Parser(text, path).parse();
}

std::vector<Case> read_cases(const std::string& path) {
  return parse_cases(read_file(path), path);
}

}  // namespace qkv::conformance
