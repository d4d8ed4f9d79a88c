#include "log/jsonl.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "log/record_keys.h"
#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {

bool is_number(const MetricValue& value, double* number) {
  return std::visit(
      [number](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>) {
          return false;
        } else {
          if (number != nullptr) *number = double(v);
          return true;
        }
      },
      value);
}

Record& Record::append(std::string_view name, MetricValue value) {
  if (has(name))
    fail(Fault::runtime, "record: a name must be given once; got '{}' twice in '{}'", name, type_);
  metrics_.push_back({std::string(name), std::move(value)});
  return *this;
}

const MetricValue* Record::find(std::string_view name) const {
  const auto found = std::find_if(begin(), end(), [&](const Metric& metric) { return metric.name == name; });
  return found == end() ? nullptr : &found->value;
}

double Record::number(std::string_view name, double otherwise) const {
  if (const MetricValue* value = find(name)) is_number(*value, &otherwise);
  return otherwise;
}

std::int64_t Record::integer(std::string_view name, std::int64_t otherwise) const {
  const auto* integer = std::get_if<std::int64_t>(find(name));
  return integer ? *integer : otherwise;
}

std::string_view Record::text(std::string_view name) const {
  const auto* text = std::get_if<std::string>(find(name));
  return text ? std::string_view(*text) : std::string_view();
}

bool Record::flag(std::string_view name) const {
  const auto* flag = std::get_if<bool>(find(name));
  return flag && *flag;
}

namespace {

void add_json(Record& record, const std::string& name, const Json& value) {
  if (value.is_boolean()) {
    record.add(name, value.get<bool>());
  } else if (value.is_number_integer() &&
             (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX)) {
    record.add(name, value.get<std::int64_t>());
  } else if (value.is_number() || value.is_null() || value == "NaN" || value == "Infinity" ||
             value == "-Infinity") {
    record.add(name, to_double(value, name));
  } else {
    record.add(name, value.is_string() ? value.get<std::string>() : dump_json(value));
  }
}

}  // namespace

Json json_of(const Record& record) {
  Json json = {{"type", record.type()}};
  for (const Metric& metric : record)
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_floating_point_v<std::decay_t<decltype(value)>>)
            add_member(json, metric.name, json_number(value));
          else
            add_member(json, metric.name, value);
        },
        metric.value);
  return json;
}

Record parse_metrics_line(std::string_view line, const std::string& where) {
  const Json json = parse_json(line, where);
  if (!json.is_object() || json.empty() || !json.contains("type") || !json["type"].is_string())
    fail(Fault::data, "{}: a line must be an object with a text 'type'; got {}", where, in_quotes(line));
  Record record(json["type"].get<std::string>());
  for (const auto& [name, value] : json.items())
    if (name != "type") add_json(record, name, value);
  return record;
}

JsonlSink::JsonlSink(const std::string& path) : file_(path) {
  struct stat status {};
  empty_ = ::stat(path.c_str(), &status) == 0 && status.st_size == 0;
}

void JsonlSink::write(const Record& record) {
  if (!empty_ && record.type() == "start") return;
  file_.write_line(dump_json(json_of(record)));
  empty_ = false;
}

MetricsReader::MetricsReader(std::string path) : path_(std::move(path)) {
  check_plain_file(path_);
  in_.open(path_, std::ios::binary);
  const int error = errno;
  if (!in_) fail(Fault::data, "{}: cannot be read; got {}", path_, std::strerror(error));
}

bool MetricsReader::next(Record& record) {
  const auto begin = in_.tellg();
  std::getline(in_, line_);
  if (in_.eof()) {
    torn_ = !line_.empty();
    in_.clear();
    in_.seekg(begin);
    return false;
  }
  if (!in_)
    fail(Fault::data, "{}: cannot be read after line {}; got {}", path_, lines_, std::strerror(errno));
  torn_ = false;
  ++lines_;
  record = parse_metrics_line(line_, fmt::format("{}:{}", path_, lines_));
  return true;
}

void truncate_after(const std::string& path, std::int64_t step) {
  if (!exists(path)) return;
  const std::string text = read_file(path);
  std::size_t begin = 0;
  for (int line = 1; begin < text.size(); line++) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    try {
      const Record record =
          parse_metrics_line(text.substr(begin, end - begin), fmt::format("{}:{}", path, line));
      if (record.type() == "end" || record.text(key::split) == "test" || record.step() > step) break;
    } catch (const Error&) {
      if (end + 1 < text.size()) throw;
      break;
    }
    if (end == text.size()) return AppendFile(path).write("\n");  // only the newline was lost
    begin = end + 1;
  }
  if (::truncate(path.c_str(), off_t(begin)) != 0)
    fail(Fault::runtime, "{}: cannot be cut to {} bytes; got {}", path, begin, std::strerror(errno));
  AppendFile(path).sync();
}

}  // namespace qkv
