// TensorboardSink: records as TensorBoard shows them, in an event file beside metrics.jsonl.
//
// A record of the file is: u64 length, u32 masked CRC-32C of those 8 bytes, the bytes of an event, u32 masked
// CRC-32C of them; all little endian (TensorFlow's TFRecord). The first event says "brain.Event:2".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "qkv/log/metrics.h"

namespace qkv {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78), as RFC 3720 has it.
std::uint32_t crc32c(std::string_view bytes);
/// The record that holds these bytes.
std::string event_record(std::string_view event);

struct EventRecords {
  std::vector<std::string_view> events;  ///< parts of what was read, as protocol buffers
  bool torn = false;                     ///< the last record is cut off
};
/// The records of a file. A wrong checksum is a data error that names record and byte of `path`.
EventRecords event_records(std::string_view bytes, const std::string& path);
/// The tag of the last event of a run that has ended.
constexpr std::string_view kSessionEnd = "_hparams_/session_end_info";

/// Equal bins from the smallest to the largest value: row i of the three is bin i.
struct Histogram {
  std::vector<double> left, right, count;
};
/// `bins` equal bins over the finite ones of the values; the last one holds its right edge. Of equal values
/// one bin of width 0 is made; of none, none.
Histogram histogram_of(std::vector<double> values, int bins = 30);

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
  void write(std::string_view event);
  AppendFile file_;
};

/// The event files of a folder, oldest first.
std::vector<std::string> event_files(const std::string& folder);

/// Numbers of a "train" record are scalars `train/NAME`, those of an "eval" record `SPLIT/NAME`, those of a
/// "norms" record `norm/NAME`, those of a "circuits" record `circuits/NAME`; histograms and texts keep their
/// tags; what is not finite or out of the ordinary is a text. The HParams plug-in gets the config's values,
/// and whether the run ended well.
class TensorboardSink : public MetricSink {
 public:
  struct Run {
    std::string name;
    EventFile::Values config;
    std::vector<std::string> results;  ///< tags by which runs are compared
    std::int64_t resumed_from = -1;    ///< or -1: a new run
  };
  TensorboardSink(const std::string& folder, const Run& run);
  void write(const Record& record) override;
  void histogram(std::string_view tag, std::int64_t step, const Histogram& histogram) override {
    file_.histogram(tag, step, histogram);
  }
  void text(std::string_view tag, std::int64_t step, std::string_view text) override;
  void flush() override { file_.sync(); }

 private:
  void scalars(std::string_view prefix, const Record& record);
  EventFile file_;
};

}  // namespace qkv
