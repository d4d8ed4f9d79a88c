// Reads event files back, as TensorBoard does: what the tests of EventFile and TensorboardSink look at.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "log/tensorboard.h"
#include "qkv/base/error.h"

namespace qkv::test {

/// One value of an event.
struct EventValue {
  std::string tag, plugin, text;  ///< `text` of the plug-in "text"
  double scalar = 0;              ///< of a scalar (no plug-in)
  Histogram histogram;            ///< of the plug-in "histograms"
};
struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string file_version;
  bool restart = false;
  std::vector<EventValue> values;
};

/// Calls each(field number, number or raw bits, bytes) for the fields of a protocol-buffer message.
template <class Each>
void for_each_field(std::string_view message, Each each) {
  auto take = [&](std::size_t size) {
    if (size > message.size()) fail(Fault::data, "event: a field must fit into its message");
    const std::string_view bytes = message.substr(0, size);
    message.remove_prefix(size);
    return bytes;
  };
  auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (!message.empty()) {
    const std::uint64_t tag = varint(), wire = tag & 7;
    std::uint64_t number = wire == 0 || wire == 2 ? varint() : 0;
    std::string_view bytes;
    if (wire == 2) bytes = take(number);
    if (wire == 1 || wire == 5) {
      bytes = take(wire == 1 ? 8 : 4);
      std::memcpy(&number, bytes.data(), bytes.size());
    }
    each(static_cast<int>(tag >> 3), number, bytes);
  }
}

template <class T>
T raw_value(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

inline EventValue read_event_value(std::string_view message) {
  EventValue value;
  auto tensor = [&](int field, std::uint64_t, std::string_view bytes) {
    if (field == 8) value.text = bytes;
    for (std::size_t i = 0; field == 4 && i < bytes.size(); i += 24) {  // rows of left, right, count
      value.histogram.left.push_back(raw_value<double>(bytes.substr(i)));
      value.histogram.right.push_back(raw_value<double>(bytes.substr(i + 8)));
      value.histogram.count.push_back(raw_value<double>(bytes.substr(i + 16)));
    }
  };
  auto plugin = [&](int field, std::uint64_t, std::string_view bytes) {
    if (field == 1) value.plugin = bytes;
  };
  auto metadata = [&](int field, std::uint64_t, std::string_view bytes) {
    if (field == 1) for_each_field(bytes, plugin);
  };
  for_each_field(message, [&](int field, std::uint64_t, std::string_view bytes) {
    if (field == 1) value.tag = bytes;
    if (field == 2) value.scalar = static_cast<double>(raw_value<float>(bytes));
    if (field == 8) for_each_field(bytes, tensor);
    if (field == 9) for_each_field(bytes, metadata);
  });
  return value;
}

/// All events of a file.
inline std::vector<Event> read_events(const std::string& path) {
  const std::string file = read_file(path);
  std::vector<Event> events;
  for (std::string_view record : event_records(file, path).events) {
    Event event;
    for_each_field(record, [&](int field, std::uint64_t number, std::string_view bytes) {
      if (field == 1) event.wall_time = raw_value<double>(bytes);
      if (field == 2) event.step = static_cast<std::int64_t>(number);
      if (field == 3) event.file_version = bytes;
      if (field == 7) event.restart = true;
      if (field == 5)
        for_each_field(bytes, [&](int, std::uint64_t, std::string_view value) {
          event.values.push_back(read_event_value(value));
        });
    });
    events.push_back(std::move(event));
  }
  return events;
}

}  // namespace qkv::test
