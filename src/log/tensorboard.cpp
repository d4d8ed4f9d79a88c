#include "log/tensorboard.h"

#include <fmt/core.h>

#include "log/jsonl.h"
#include "log/record_keys.h"

namespace qkv {
namespace {

std::string table_of(const EventFile::Values& config) {
  std::string markdown = "| key | value |\n| --- | --- |\n";
  for (const auto& [key, value] : config) markdown += fmt::format("| {} | {} |\n", key, value);
  return markdown;
}

// A text as it is: markdown would join its lines.
std::string verbatim(std::string_view text) {
  std::string markdown = "    ";
  for (char c : text) {
    markdown += c;
    if (c == '\n') markdown += "    ";
  }
  return markdown;
}

}  // namespace

TensorboardSink::TensorboardSink(const std::string& folder, const Run& run) : file_(folder) {
  if (run.resumed_from >= 0) file_.restart(run.resumed_from + 1);
  file_.session_start(run.name, run.config, run.results);
  file_.text("config", 0, table_of(run.config));
}

void TensorboardSink::scalars(std::string_view prefix, const Record& record) {
  for (const Metric& metric : record) {
    double value = 0;
    if (metric.name == key::step || !is_number(metric.value, &value)) continue;
    tag_.assign(prefix).append("/").append(metric.name);
    file_.scalar(tag_, record.step(), value);
  }
}

void TensorboardSink::write(const Record& record) {
  if (record.type() == "train") {
    scalars("train", record);
  } else if (record.type() == "eval") {
    scalars(record.text(key::split), record);
  } else if (record.type() == "norms") {
    scalars("norm", record);
  } else if (record.type() == "spike" || record.type() == "nonfinite") {
    std::string line;
    append_json_line(line, record);
    text("events", record.step(), line);
  } else if (record.type() == "end") {
    file_.session_end(record.text(key::reason) == "max_steps" || record.text(key::reason) == "early_stop");
  }
}

void TensorboardSink::histogram(std::string_view tag, std::int64_t step, const Histogram& histogram) {
  file_.histogram(tag, step, histogram);
}

void TensorboardSink::text(std::string_view tag, std::int64_t step, std::string_view text) {
  file_.text(tag, step, verbatim(text));
}

}  // namespace qkv
