// metrics.jsonl: one JSON object per line; what every other tool reads of a run.
#pragma once
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "qkv/base/json_fwd.h"
#include "qkv/log/metrics.h"

namespace qkv {

/// `{"type":"train","step":100,"loss":0.61}`: keys in the order of the record, floats as the shortest decimal
/// that reads back to the same float, non-finite ones as "NaN", "Infinity", "-Infinity".
Json json_of(const Record& record);

/// The record of one line. `where` names it in errors, e.g. "metrics.jsonl:12". Floats are read as double,
/// arrays and objects as their text.
Record parse_metrics_line(std::string_view line, const std::string& where);

/// Appends each record to a file with one write, so that what is there after a crash is whole lines and at
/// most one torn one. A "start" record is written only to an empty file: a resumed run has one already.
class JsonlSink : public MetricSink {
 public:
  explicit JsonlSink(const std::string& path);
  void write(const Record& record) override;
  /// Waits until the lines are on the disk.
  void flush() override { file_.sync(); }

 private:
  AppendFile file_;
  bool empty_;
};

/// Reads records one by one; at the end of a file that still grows, call `next` again later. A line without
/// its newline is left for then; a damaged line is an error that names it (Fault::data).
class MetricsReader {
 public:
  explicit MetricsReader(std::string path);
  bool next(Record& record);
  /// The file ends in a line without newline: the writer is at it, or was killed.
  bool torn() const { return torn_; }

 private:
  std::string path_, line_;
  std::ifstream in_;
  std::int64_t lines_ = 0;
  bool torn_ = false;
};

/// Prepares a file for a run that goes on from a checkpoint: cuts from the first line that is of a later
/// step, an "end", the final evaluation on the test split, or damaged with only truncated lines after it.
/// Then the file is as if the run had never gone further, provided the records of a step are written before
/// its checkpoint. A damaged line before the checkpoint's step is an error; a missing file is an empty one.
void truncate_after(const std::string& path, std::int64_t step);

}  // namespace qkv
