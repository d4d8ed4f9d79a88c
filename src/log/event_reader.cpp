// Reading event files: what tests and `qkv verify` look at.
#include <fmt/core.h>

#include <cmath>

#include "log/event_file.h"
#include "protobuf.h"

namespace qkv {
namespace {

using proto::Field;
using proto::Fields;

constexpr std::uint64_t kMostBytes = std::uint64_t{64} << 20;

template <class T>
T raw_at(std::string_view bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// What a plug-in's tensor holds: rows of three doubles, or a string.
void read_tensor(std::string_view bytes, EventValue& value, const std::string& where) {
  Fields fields(bytes, where);
  for (Field f; fields.next(f);) {
    if (f.number == 8 && f.wire == 2) value.text = f.bytes;
    if (f.number != 4 || f.wire != 2) continue;
    if (f.bytes.size() % 24 != 0)
      fail(Fault::data, "{}: a histogram must have three numbers in a row; got {} bytes", where,
           f.bytes.size());
    for (std::size_t i = 0; i < f.bytes.size(); i += 24) {
      value.histogram.left.push_back(raw_at<double>(f.bytes, i));
      value.histogram.right.push_back(raw_at<double>(f.bytes, i + 8));
      value.histogram.count.push_back(raw_at<double>(f.bytes, i + 16));
    }
  }
}

EventValue read_value(std::string_view bytes, const std::string& where) {
  EventValue value;
  Fields fields(bytes, where);
  for (Field f; fields.next(f);) {
    if (f.number == 1 && f.wire == 2) value.tag = f.bytes;
    if (f.number == 2 && f.wire == 5) value.scalar = static_cast<double>(f.as_float());
    if (f.number == 8 && f.wire == 2) read_tensor(f.bytes, value, where);
    if (f.number != 9 || f.wire != 2) continue;
    Fields metadata(f.bytes, where);
    for (Field m; metadata.next(m);) {
      if (m.number != 1 || m.wire != 2) continue;
      Fields plugin(m.bytes, where);
      for (Field p; plugin.next(p);)
        if (p.number == 1 && p.wire == 2) value.plugin = p.bytes;
    }
  }
  return value;
}

Event read_event(std::string_view bytes, const std::string& where) {
  Event event;
  Fields fields(bytes, where);
  for (Field f; fields.next(f);) {
    if (f.number == 1 && f.wire == 1) event.wall_time = f.as_double();
    if (f.number == 2 && f.wire == 0) event.step = static_cast<std::int64_t>(f.integer);
    if (f.number == 3 && f.wire == 2) event.file_version = f.bytes;
    if (f.number == 7 && f.wire == 2) event.restart = true;
    if (f.number != 5 || f.wire != 2) continue;
    Fields summary(f.bytes, where);
    for (Field s; summary.next(s);)
      if (s.number == 1 && s.wire == 2) event.values.push_back(read_value(s.bytes, where));
  }
  return event;
}

}  // namespace

EventLog parse_events(std::string_view bytes, const std::string& path) {
  EventLog log;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::string where = fmt::format("{}: record {} at byte {}", path, log.events.size() + 1, at);
    const std::string_view rest = bytes.substr(at);
    auto check = [&](std::string_view what, std::uint32_t stored, const char* name) {
      if (stored != masked_crc32c(what))
        fail(Fault::data, "{}: the checksum of its {} must be {:08x}; got {:08x} (the file is damaged)",
             where, name, masked_crc32c(what), stored);
    };
    log.torn = rest.size() < 12;
    if (log.torn) break;
    check(rest.substr(0, 8), raw_at<std::uint32_t>(rest, 8), "length");
    const auto size = raw_at<std::uint64_t>(rest, 0);
    if (size > kMostBytes)
      fail(Fault::data, "{}: must have at most {} bytes; got {}", where, kMostBytes, size);
    log.torn = rest.size() < 16 + size;
    if (log.torn) break;
    const std::string_view data = rest.substr(12, size);
    check(data, raw_at<std::uint32_t>(rest, 12 + size), "data");
    log.events.push_back(read_event(data, where));
    if (log.events.size() == 1 && log.events[0].file_version != "brain.Event:2")
      fail(Fault::data, "{}: must say 'brain.Event:2'; got '{}'", where, log.events[0].file_version);
    at += 16 + size;
  }
  return log;
}

EventLog read_events(const std::string& path) {
  return parse_events(read_file(path, std::size_t{4} << 30), path);
}

}  // namespace qkv
