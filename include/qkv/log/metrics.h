// Metrics: one Record of named values goes to every sink (terminal, metrics.jsonl, event file).
#pragma once
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace qkv {

/// What a record can hold. A float stays a float, so that 0.1f is written as 0.1.
using MetricValue = std::variant<std::int64_t, float, double, bool, std::string>;

/// A value of a record.
struct Metric {
  std::string name;
  MetricValue value;
};

/// The number a value holds, if it holds one (a bool is not a number).
bool is_number(const MetricValue& value, double* number = nullptr);

/// One line of metrics.jsonl: a type and values in the order they were added.
/// Example: `Record("eval").add("split", "val").add("step", 100).add("loss", 0.58f)`.
class Record {
 public:
  /// Types in use: "start", "train", "eval", "norms", "circuits", "sample", "spike", "nonfinite", "end";
  /// sinks pass others through.
  explicit Record(std::string_view type = {}) : type_(type) {}
  Record(std::string_view type, std::int64_t step) : type_(type) { add("step", step); }

  /// Appends a value; a name is given once per record.
  template <class T>
  Record& add(std::string_view name, const T& value) {
    if constexpr (std::is_same_v<T, bool> || std::is_floating_point_v<T>) {
      return append(name, value);
    } else if constexpr (std::is_integral_v<T>) {
      return append(name, static_cast<std::int64_t>(value));
    } else {
      return append(name, std::string(value));
    }
  }

  const std::string& type() const { return type_; }
  /// The value called "step", or -1.
  std::int64_t step() const { return integer("step", -1); }

  const MetricValue* find(std::string_view name) const;
  bool has(std::string_view name) const { return find(name) != nullptr; }
  /// The value as a number; `otherwise` where it is missing or text.
  double number(std::string_view name, double otherwise = std::numeric_limits<double>::quiet_NaN()) const;
  std::int64_t integer(std::string_view name, std::int64_t otherwise = 0) const;
  /// The value as text; empty where it is missing or not text.
  std::string_view text(std::string_view name) const;
  /// True only for a value `true`.
  bool flag(std::string_view name) const;

  auto begin() const { return metrics_.begin(); }
  auto end() const { return metrics_.end(); }
  std::size_t size() const { return metrics_.size(); }

 private:
  Record& append(std::string_view name, MetricValue value);

  std::string type_;
  std::vector<Metric> metrics_;
};

struct Histogram;

/// Receives records. Called from one thread, the one that trains.
class MetricSink {
 public:
  virtual ~MetricSink() = default;
  virtual void write(const Record& record) = 0;
  /// What only some sinks show: how values are spread, and texts. Default: nothing.
  virtual void histogram(std::string_view, std::int64_t, const Histogram&) {}
  virtual void text(std::string_view, std::int64_t, std::string_view) {}
  virtual void flush() {}
};

/// Passes each record to all sinks in the order they were added.
class MetricSinks : public MetricSink {
 public:
  void add(std::unique_ptr<MetricSink> sink) { sinks_.push_back(std::move(sink)); }
  void write(const Record& record) override {
    for (auto& sink : sinks_) sink->write(record);
  }
  void histogram(std::string_view tag, std::int64_t step, const Histogram& histogram) override {
    for (auto& sink : sinks_) sink->histogram(tag, step, histogram);
  }
  void text(std::string_view tag, std::int64_t step, std::string_view text) override {
    for (auto& sink : sinks_) sink->text(tag, step, text);
  }
  void flush() override {
    for (auto& sink : sinks_) sink->flush();
  }

 private:
  std::vector<std::unique_ptr<MetricSink>> sinks_;
};

}  // namespace qkv
