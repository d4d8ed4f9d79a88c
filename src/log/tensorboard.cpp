#include "log/tensorboard.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/at.h"
#include "base/clock.h"
#include "base/protobuf.h"
#include "log/jsonl.h"
#include "log/record_keys.h"
#include "qkv/base/json.h"
#include "qkv/base/text.h"

namespace fs = std::filesystem;

namespace qkv {
using protobuf::Message;
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";
constexpr int kFloat = 1, kDouble = 2, kString = 7;  // DataType of TensorFlow

template <class T>
T raw_at(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// SummaryMetadata of a plug-in.
Message plugin(std::string_view name, std::string_view content = {}) {
  Message data;
  data.bytes(1, name);
  if (!content.empty()) data.bytes(2, content);
  return Message().message(1, data);
}

// TensorShapeProto.
Message shape(std::initializer_list<std::size_t> dims) {
  Message result;
  for (std::size_t dim : dims) result.message(2, Message().integer(1, dim));
  return result;
}

// An event with one value.
std::string summary(const Message& value, std::int64_t step) {
  return Message().integer(2, std::uint64_t(step)).message(5, Message().message(1, value)).str();
}

// google.protobuf.Value (a number, true, false, or text) and its DataType of HParams.
std::pair<Message, int> value_of(const std::string& text) {
  if (text == "true" || text == "false") return {Message().integer(4, text == "true"), 2};
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (!text.empty() && *end == '\0' && std::isfinite(number)) return {Message().number(2, number), 3};
  return {Message().bytes(3, text), 1};
}

// An HParams event: a tensor of no elements, with the data in the plug-in's content.
std::string hparams_event(std::string_view tag, const Message& data) {
  const Message tensor = Message().integer(1, kFloat).message(2, shape({0}));
  return summary(Message().bytes(1, tag).message(9, plugin("hparams", data.str())).message(8, tensor), 0);
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> result{};
    for (std::uint32_t i = 0; i < 256; i++) {
      std::uint32_t crc = i;
      for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
      result[i] = crc;
    }
    return result;
  }();
  std::uint32_t crc = 0xFFFFFFFFu;
  for (char c : bytes) crc = crc >> 8 ^ table[(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

// Rotated by 15 bits, plus a constant: so that a checksum of checksums differs from one of bytes.
static std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

std::string event_record(std::string_view event) {
  std::string record;
  append_raw(record, std::uint64_t(event.size()));
  append_raw(record, masked_crc32c(record));
  record.append(event);
  append_raw(record, masked_crc32c(event));
  return record;
}

EventRecords event_records(std::string_view bytes, const std::string& path) {
  EventRecords result;
  std::size_t begin = 0;
  // Are `size` bytes from `at` on there, with their checksum?
  auto checked = [&](std::size_t at, std::uint64_t size, const char* name) {
    result.torn = size > bytes.size() || at + size + 4 > bytes.size();
    if (result.torn) return false;
    const std::uint32_t sum = masked_crc32c(bytes.substr(at, size));
    const auto stored = raw_at<std::uint32_t>(bytes, at + size);
    if (stored != sum)
      fail(
          Fault::data,
          "{}: record {} at byte {}: the checksum of its {} must be {:08x}; got {:08x} (the file is damaged)",
          path, result.events.size() + 1, begin, name, sum, stored);
    return true;
  };
  while (begin < bytes.size() && checked(begin, 8, "length")) {
    const auto size = raw_at<std::uint64_t>(bytes, begin);
    if (!checked(begin + 12, size, "data")) break;
    result.events.push_back(bytes.substr(begin + 12, size));
    begin += 16 + size;
  }
  return result;
}

Histogram histogram_of(std::vector<double> values, int bins) {
  drop_if(values, [](double v) { return !std::isfinite(v); });
  Histogram h;
  if (values.empty()) return h;
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double low = *least, high = *most;
  if (low == high) bins = 1;
  const double width = (high - low) / bins;
  for (int b = 0; b < bins; b++) {
    h.left.push_back(low + b * width);
    h.right.push_back(b + 1 == bins ? high : low + (b + 1) * width);
  }
  h.count.assign(std::size_t(bins), 0);
  for (double v : values) at(h.count, width > 0 ? std::clamp(int((v - low) / width), 0, bins - 1) : 0)++;
  return h;
}

EventFile::EventFile(const std::string& folder)
    : file_(fmt::format("{}/{}{:010d}.qkv.{}", folder, kPrefix, std::int64_t(epoch_seconds()),
                        event_files(folder).size())) {
  write(Message().bytes(3, "brain.Event:2").str());
}

void EventFile::write(std::string_view event) {
  file_.write(event_record(Message().number(1, epoch_seconds()).str() + std::string(event)));
}

void EventFile::scalar(std::string_view tag, std::int64_t step, double value) {
  write(summary(Message().bytes(1, tag).number(2, float(value)), step));
}

void EventFile::text(std::string_view tag, std::int64_t step, std::string_view markdown) {
  const Message tensor = Message().integer(1, kString).message(2, shape({1})).bytes(8, markdown);
  write(summary(Message().bytes(1, tag).message(9, plugin("text")).message(8, tensor), step));
}

void EventFile::histogram(std::string_view tag, std::int64_t step, const Histogram& h) {
  std::string rows;
  for (std::size_t i = 0; i < h.count.size(); i++)
    for (double v : {h.left[i], h.right[i], h.count[i]}) append_raw(rows, v);
  const Message tensor = Message().integer(1, kDouble).message(2, shape({h.count.size(), 3})).bytes(4, rows);
  write(summary(Message().bytes(1, tag).message(9, plugin("histograms")).message(8, tensor), step));
}

void EventFile::restart(std::int64_t step) {
  constexpr int kStart = 1;  // SessionLog.SessionStatus
  write(Message().integer(2, std::uint64_t(step)).message(7, Message().integer(1, kStart)).str());
}

void EventFile::session_start(std::string_view name, const Values& hparams,
                              const std::vector<std::string>& metrics) {
  Message experiment, start;
  for (const auto& [key, value] : hparams) {
    const auto [data, type] = value_of(value);
    experiment.message(4, Message().bytes(1, key).integer(4, std::uint64_t(type)));
    start.message(1, Message().bytes(1, key).message(2, data));
  }
  for (const std::string& tag : metrics) experiment.message(5, Message().message(1, Message().bytes(2, tag)));
  start.bytes(4, name).number(5, epoch_seconds());
  write(hparams_event("_hparams_/experiment", Message().message(2, experiment)));
  write(hparams_event("_hparams_/session_start_info", Message().message(3, start)));
}

void EventFile::session_end(bool well) {
  const Message end = Message().integer(1, well ? 1 : 2).number(2, epoch_seconds());
  write(hparams_event(kSessionEnd, Message().message(4, end)));
}

std::vector<std::string> event_files(const std::string& folder) {
  std::vector<std::string> result;
  for (const std::string& name : entries_of(folder))
    if (starts_with(name, kPrefix)) result.push_back((fs::path(folder) / name).string());
  // Later ones have a later time or, within a second, a higher number.
  std::sort(result.begin(), result.end(), [](const std::string& a, const std::string& b) {
    return std::pair(a.size(), a) < std::pair(b.size(), b);
  });
  return result;
}

TensorboardSink::TensorboardSink(const std::string& folder, const Run& run) : file_(folder) {
  if (run.resumed_from >= 0) file_.restart(run.resumed_from + 1);
  file_.session_start(run.name, run.config, run.results);
  std::string table = "| key | value |\n| --- | --- |\n";
  for (const auto& [key, value] : run.config) table += fmt::format("| {} | {} |\n", key, value);
  file_.text("config", 0, table);
}

void TensorboardSink::scalars(std::string_view prefix, const Record& record) {
  for (const Metric& metric : record) {
    double value = 0;
    if (metric.name == key::step || !is_number(metric.value, &value)) continue;
    file_.scalar(fmt::format("{}/{}", prefix, metric.name), record.step(), value);
  }
}

void TensorboardSink::write(const Record& record) {
  if (record.type() == "train") {
    scalars("train", record);
  } else if (record.type() == "eval") {
    scalars(record.text(key::split), record);
  } else if (record.type() == "norms") {
    scalars("norm", record);
  } else if (record.type() == "circuits") {
    scalars("circuits", record);
  } else if (record.type() == "spike" || record.type() == "nonfinite") {
    text("events", record.step(), dump_json(json_of(record)));
  } else if (record.type() == "end") {
    file_.session_end(record.text(key::reason) == "max_steps" || record.text(key::reason) == "early_stop");
  }
}

void TensorboardSink::text(std::string_view tag, std::int64_t step, std::string_view text) {
  file_.text(tag, step,
             "    " + replace_all(text, "\n", "\n    "));  // as it is: markdown would join its lines
}

}  // namespace qkv
