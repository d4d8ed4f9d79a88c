#include "log/jsonl.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/file.h"
#include "log/record_keys.h"
#include "qkv/base/error.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace qkv {
namespace {

void append_quoted(std::string& out, const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; });
  if (plain) {
    out.append(1, '"').append(text).append(1, '"');
  } else {
    out += dump_json(Json(text));
  }
}

template <class Float>
void append_float(std::string& out, Float value) {
  if (std::isfinite(value)) {
    out += shortest(value);
  } else {
    out += std::isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  }
}

void append_value(std::string& out, const MetricValue& value) {
  std::visit(
      [&out](const auto& v) {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          append_quoted(out, v);
        } else if constexpr (std::is_same_v<T, bool>) {
          out += v ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          out += std::to_string(v);
        } else {
          append_float(out, v);
        }
      },
      value);
}

void add_json(Record& record, const std::string& name, const Json& value) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (value.is_boolean()) {
    record.add(name, value.get<bool>());
  } else if (value.is_number_unsigned() &&
             value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
    record.add(name, value.get<double>());
  } else if (value.is_number_integer()) {
    record.add(name, value.get<std::int64_t>());
  } else if (value.is_number()) {
    record.add(name, value.get<double>());
  } else if (value.is_null() || value == "NaN") {
    record.add(name, std::numeric_limits<double>::quiet_NaN());
  } else if (value == "Infinity" || value == "-Infinity") {
    record.add(name, value == "Infinity" ? kInfinity : -kInfinity);
  } else {
    record.add(name, value.is_string() ? value.get<std::string>() : dump_json(value));
  }
}

bool behind(const Record& record, std::int64_t step) {
  return record.type() == "end" || record.text(key::split) == "test" || record.step() > step;
}

}  // namespace

void append_json_line(std::string& text, const Record& record) {
  text += "{\"type\":";
  append_quoted(text, record.type());
  for (const Metric& metric : record) {
    text += ',';
    append_quoted(text, metric.name);
    text += ':';
    append_value(text, metric.value);
  }
  text += '}';
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
  line_.clear();
  append_json_line(line_, record);
  file_.write_line(line_);
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

CutLines truncate_after(const std::string& path, std::int64_t step) {
  CutLines result;
  if (!exists(path)) return result;
  const std::string text = read_file(path);
  std::size_t begin = 0;
  for (; begin < text.size(); ++result.kept) {
    const std::size_t newline = text.find('\n', begin);
    const std::size_t end = std::min(newline, text.size());
    const std::string where = fmt::format("{}:{}", path, result.kept + 1);
    try {
      if (behind(parse_metrics_line(std::string_view(text).substr(begin, end - begin), where), step)) break;
    } catch (const Error&) {
      if (end + 1 < text.size()) throw;
      break;
    }
    if (newline == std::string::npos) {
      AppendFile(path).write("\n");  // only the newline was lost
      ++result.kept;
      return result;
    }
    begin = end + 1;
  }
  result.cut = std::count(text.begin() + static_cast<std::ptrdiff_t>(begin), text.end(), '\n') +
               (!text.empty() && text.back() != '\n' ? 1 : 0);
  if (::truncate(path.c_str(), static_cast<off_t>(begin)) != 0)
    fail(Fault::runtime, "{}: cannot be cut to {} bytes; got {}", path, begin, std::strerror(errno));
  AppendFile(path).sync();
  return result;
}

}  // namespace qkv
