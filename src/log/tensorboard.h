// TensorboardSink: records as TensorBoard shows them, in an event file beside metrics.jsonl.
#pragma once
#include <string>
#include <vector>

#include "log/event_file.h"
#include "qkv/log/metrics.h"

namespace qkv {

/// Numbers of a "train" record are scalars `train/NAME`, those of an "eval" record `SPLIT/NAME`, those of a
/// "norms" record `norm/NAME`; histograms and texts keep their tags; what is not finite or out of the
/// ordinary is a text. The HParams plug-in gets the config's values, and whether the run ended well.
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
  void histogram(std::string_view tag, std::int64_t step, const Histogram& histogram) override;
  void text(std::string_view tag, std::int64_t step, std::string_view text) override;
  void flush() override { file_.sync(); }

 private:
  void scalars(std::string_view prefix, const Record& record);
  EventFile file_;
  std::string tag_;
};

}  // namespace qkv
