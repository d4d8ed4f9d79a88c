// A progress bar in the manner of tqdm.
#pragma once
#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "qkv/log/console.h"

namespace qkv {

/// What a progress bar shows.
struct ProgressState {
  std::string label;
  std::int64_t position = 0;
  std::int64_t total = 0;  ///< 0: unknown
  double elapsed = 0;      ///< seconds
  double rate = 0;         ///< steps per second; 0: unknown
  std::string postfix = {};
};

/// `train  45%|████▌     | 900/2000 [00:03<00:04, 291.2 step/s] loss 0.2131`, made for `width` columns: the
/// bar shrinks and goes before anything else is cut.
std::string progress_bar(const ProgressState& state, int width, bool unicode);

/// Speed as an average over the last seconds, weighted by exp(-age / 5 s), so that neither one slow step nor
/// the first second rules the estimate.
class RateMeter {
 public:
  RateMeter(double time, std::int64_t position) : last_time_(time), last_position_(position) {}
  void add(double time, std::int64_t position);
  double per_second() const { return seconds_ > 0 ? positions_ / seconds_ : 0; }

 private:
  double last_time_, positions_ = 0, seconds_ = 0;
  std::int64_t last_position_;
};

/// Shows on a terminal how far a loop is, from construction to destruction; redraws at most every 0.1 s.
/// `update` is cheap enough for every step and may be called by any thread.
class Progress {
 public:
  using Clock = double();  // seconds
  /// `start`: the position of a resumed run; `total` 0: unknown.
  Progress(const std::string& label, std::int64_t start, std::int64_t total, Console& target = console(),
           Clock* clock = steady_seconds);
  ~Progress() { console_.show(nullptr); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::int64_t position);
  /// Text after the bar, e.g. "loss 0.21 lr 3e-4"; shown at the next redraw.
  void postfix(std::string text);

 private:
  std::mutex mutex_;  // taken inside the console's lock (render) and never around it
  Console& console_;
  Clock* clock_;
  const double begin_;
  ProgressState state_;
  RateMeter meter_;
  double last_drawn_ = 0;
};

}  // namespace qkv
