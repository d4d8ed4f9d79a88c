#include "qkv/base/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/file.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

// Counts what the parser has consumed, since its events carry no position.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  CountingIterator(const char* at, const char** last) : at_(at), last_(last) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *last_ = ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  const char** last_;
};

// Builds the value; objects are appended to in constant time, with their own set of keys for duplicates.
class Builder : public nlohmann::json_sax<Json> {
 public:
  Builder(std::string_view text, const std::string& where, JsonLimits limits, Fault fault)
      : consumed(text.data()), text_(text), where_(where), limits_(limits), fault_(fault) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(number_integer_t value) override { return put(value); }
  bool number_unsigned(number_unsigned_t value) override { return put(value); }
  bool number_float(number_float_t value, const string_t&) override { return put(value); }
  bool string(string_t& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (!open_.back().keys.insert(name).second)
      fail_at(position(), fmt::format("keys must be unique; got {} twice", in_quotes(name)));
    open_.back().key = std::move(name);
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while ..."
    std::string detail = error.what();
    detail.erase(0, detail.find("] ") + 2);
    if (starts_with(detail, "parse error at ")) detail.erase(0, detail.find(": ") + 2);
    auto read = detail.find("; last read: ");
    if (read != std::string::npos) detail.erase(read, detail.find("; expected", read) - read);
    fail_at(byte > 0 ? byte - 1 : 0, detail);
  }

  [[noreturn]] void fail_at(std::size_t byte, const std::string& detail) const {
    const auto before = text_.substr(0, byte);
    fail(fault_, "{}: invalid JSON at byte {} (line {}); {}", where_, byte,
         1 + std::count(before.begin(), before.end(), '\n'), detail);
  }

  Json result;
  const char* consumed;

 private:
  struct Open {
    Json value;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  std::size_t position() const { return std::size_t(consumed - text_.data()); }

  bool put(Json value) {
    if (open_.empty())
      result = std::move(value);
    else if (open_.back().value.is_array())
      open_.back().value.push_back(std::move(value));
    else
      add_member(open_.back().value, std::move(open_.back().key), std::move(value));
    return true;
  }

  bool open(Json value) {
    if (int(open_.size()) >= limits_.depth)
      fail_at(position(), fmt::format("nesting must be at most {} deep; got more", limits_.depth));
    open_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool close() {
    Json value = std::move(open_.back().value);
    open_.pop_back();
    return put(std::move(value));
  }

  std::string_view text_;
  const std::string& where_;
  JsonLimits limits_;
  Fault fault_;
  std::vector<Open> open_;
};

const char* name_of_nonfinite(double value) {
  return std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

// nlohmann-json leaves DEL and C1 controls as they are, which a terminal may obey.
std::string escaped(std::string text) {
  for (std::size_t i = 0; i < text.size(); i++) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (byte != 0x7F && !c1) continue;
    const int code = c1 ? static_cast<unsigned char>(text[i + 1]) : byte;
    text.replace(i, c1 ? 2 : 1, fmt::format("\\u{:04x}", code));
  }
  return text;
}

void write(const Json& value, int indent, int depth, std::string& out) {
  auto line = [&](int level) {
    if (indent < 0) return;
    out += '\n';
    out.append(std::size_t(indent * level), ' ');
  };
  if (value.is_number_float()) {
    double number = value.get<double>();
    out += std::isfinite(number) ? shortest(number) : fmt::format("\"{}\"", name_of_nonfinite(number));
  } else if (!value.is_structured() || value.empty()) {
    out += escaped(value.dump(-1, ' ', false, Json::error_handler_t::replace));
  } else {
    const bool object = value.is_object();
    out += object ? '{' : '[';
    for (auto item = value.begin(); item != value.end(); ++item) {
      if (item != value.begin()) out += ',';
      line(depth + 1);
      if (object) {
        write(item.key(), indent, depth, out);
        out += indent < 0 ? ":" : ": ";
      }
      write(*item, indent, depth + 1, out);
    }
    line(depth);
    out += object ? '}' : ']';
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, JsonLimits limits, Fault fault) {
  if (text.size() > limits.bytes)
    fail(fault, "{}: must have at most {} bytes; got {}", where, limits.bytes, text.size());
  Builder builder(text, where, limits, fault);
  std::size_t bad = first_invalid_utf8(text);
  if (bad != std::string_view::npos) builder.fail_at(bad, "text must be valid UTF-8; got another byte");
  // nlohmann-json takes a NUL for the end of the text.
  std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) builder.fail_at(nul, "text must not contain NUL; got one");
  Json::sax_parse(CountingIterator(text.data(), &builder.consumed),
                  CountingIterator(text.data() + text.size(), &builder.consumed), &builder);
  return std::move(builder.result);
}

Json read_json(const std::string& path, JsonLimits limits, Fault fault) {
  return parse_json(read_file(path, limits.bytes, fault), path, limits, fault);
}

std::string dump_json(const Json& value, int indent) {
  std::string text;
  write(value, indent, 0, text);
  return text;
}

Json json_number(float value) {
  if (!std::isfinite(value)) return name_of_nonfinite(value);
  std::string text = shortest(value);
  double number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

Json json_number(double value) {
  if (!std::isfinite(value)) return name_of_nonfinite(value);
  return value;
}

double to_double(const Json& value, const std::string& where) {
  if (value.is_number()) return value.get<double>();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  for (double number : {std::numeric_limits<double>::quiet_NaN(), infinity, -infinity})
    if (value == name_of_nonfinite(number)) return number;
  fail(Fault::data, "{}: value must be a number; got {}", where, in_quotes(dump_json(value)));
}

void add_member(Json& object, std::string key, Json value) {
  if (object.is_null()) object = Json::object();
  object.get_ref<Json::object_t&>().emplace_back(std::move(key), std::move(value));
}

}  // namespace qkv
