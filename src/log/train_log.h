// How a training run reads in the terminal and in train.log.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "log/progress.h"
#include "qkv/log/console.h"
#include "qkv/log/metrics.h"

namespace qkv {

/// Turns records into aligned lines, and on a terminal a progress bar:
///
///     step  100/2000  epoch  1.2  loss 0.6123  lr 1.00e-03  grad 0.8100   91.0k tok/s  eta 00:41
///     eval  val  step 100         loss 0.5801  accuracy 0.9100  macro_f1 0.9000  * best
///
/// train.log gets every line. The terminal (or pipe) gets the evaluations, and of the training lines the
/// first, the last before an evaluation or the end, and otherwise one in 30 s; all of them with -v.
///
/// Of the keys in record_keys.h it reads those of start, train, eval and end records, each of them optional;
/// other numbers of train and eval records are shown by their name.
class ConsoleSink : public MetricSink {
 public:
  explicit ConsoleSink(Console& target = console()) : console_(target) {}

  void write(const Record& record) override;
  /// Moves the bar; called after each step.
  void step(std::int64_t step) {
    if (progress_) progress_->update(step);
  }

 private:
  void start(const Record& record);
  void train(const Record& record);
  void eval(const Record& record);
  void end(const Record& record);
  std::string train_prefix(const Record& record) const;
  std::string eta(const Record& record) const;
  void show_pending();
  void update_postfix();

  Console& console_;
  std::unique_ptr<Progress> progress_;
  std::string metric_, run_dir_;
  std::int64_t max_steps_ = 0, first_step_ = 0;
  double first_time_ = 0;
  std::int64_t best_step_ = -1;
  double best_value_ = 0;
  std::string pending_;  // the last training line, while the terminal has not seen it
  std::optional<double> shown_at_;
  int prefix_width_ = 0;
  std::string train_postfix_, eval_postfix_;
};

}  // namespace qkv
