// TensorBoard's event files: the frames, and the events in them.
//
// A record is: u64 length, u32 masked CRC-32C of those 8 bytes, the bytes of an event, u32 masked CRC-32C of
// them; all little endian (TensorFlow's TFRecord). The first event says "brain.Event:2".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace qkv {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as RFC 3720 has it.
std::uint32_t crc32c(std::string_view bytes);
/// Rotated by 15 bits, plus a constant: so that a checksum of checksums is none of bytes.
std::uint32_t masked_crc32c(std::string_view bytes);
/// The record that holds these bytes.
std::string event_frame(std::string_view bytes);

/// Equal bins from the smallest to the largest value: row i of the three is bin i.
struct Histogram {
  std::vector<double> left, right, count;
};
/// `bins` equal bins over the finite ones of n values; the last one holds its right edge. Of equal values one
/// bin of width 0 is made; of none, none.
template <class T>
Histogram histogram_of(const T* values, std::size_t n, double factor = 1, int bins = 30);

/// Writes one file, named after the time and the number of those that are there: a resumed run begins a new
/// one, since readers stop at a record that a crash has torn. Each record is one write.
class EventFile {
 public:
  /// Creates `folder`/events.out.tfevents.SECONDS.qkv.N.
  explicit EventFile(const std::string& folder);
  void scalar(std::string_view tag, std::int64_t step, double value);
  void text(std::string_view tag, std::int64_t step, std::string_view markdown);
  void histogram(std::string_view tag, std::int64_t step, const Histogram& histogram);
  /// Drops for readers what earlier files say of this step and later ones.
  void restart(std::int64_t step);
  /// What the HParams plug-in compares runs by: the values of the config (numbers, true, false or text), and
  /// the tags that count as results.
  using Values = std::vector<std::pair<std::string, std::string>>;
  void session_start(std::string_view name, const Values& hparams, const std::vector<std::string>& metrics);
  void session_end(bool well);
  void sync() { file_.sync(); }
  const std::string& path() const { return file_.path(); }

 private:
  void summary(std::string_view value, std::int64_t step);
  void write(std::string_view event);
  AppendFile file_;
};

/// One value of an event that was read.
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
struct EventLog {
  std::vector<Event> events;
  bool torn = false;  ///< the last record is cut off
};

/// All events of a file; one of more than 64 MiB, or what is no event, is a data error that names record and
/// byte.
EventLog read_events(const std::string& path);
EventLog parse_events(std::string_view bytes, const std::string& path);
/// The event files of a folder, oldest first.
std::vector<std::string> event_files(const std::string& folder);

}  // namespace qkv
