// A progress bar in the manner of tqdm; plain lines where there is no terminal.
#pragma once
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "qkv/log/console.h"

namespace qkv {

/// What a progress line shows.
struct ProgressState {
  std::string label;
  std::string unit = "step";
  std::int64_t position = 0;
  std::int64_t total = 0;  ///< 0: unknown
  double elapsed = 0;      ///< seconds
  double rate = 0;         ///< positions per second; 0: unknown
  std::string postfix = {};
};

/// `train  45%|████▌     | 900/2000 [00:03<00:04, 291.2 step/s] loss 0.2131`, made for `width` columns: the
/// bar shrinks and goes before anything else is cut.
std::string progress_bar(const ProgressState& state, int width, bool unicode);
/// `train   45%   900/2000  [00:03<00:04, 291.2 step/s]  loss 0.2131`, for files and pipes.
std::string progress_line(const ProgressState& state);

/// Speed as an average over the last seconds, weighted by exp(-age / 5 s), so that neither one slow step nor
/// the first second rules the estimate.
class RateMeter {
 public:
  void add(double time, std::int64_t position);
  double per_second() const { return seconds_ > 0 ? positions_ / seconds_ : 0; }
  void start(double time, std::int64_t position);

 private:
  double last_time_ = 0, positions_ = 0, seconds_ = 0;
  std::int64_t last_position_ = 0;
};

struct ProgressOptions {
  std::string label;
  std::int64_t total = 0;  ///< 0: unknown
  std::int64_t start = 0;  ///< position of a resumed run
  std::string unit = "step";
  bool plain_lines = true;  ///< without a terminal: lines at the first, the last and every `every` positions
  std::int64_t every = 1;   ///< ... but at most one line in `min_seconds`
  double min_seconds = 30;
};

/// Shows how far a loop is, from construction to destruction; redraws at most every 0.1 s. `update` is cheap
/// enough for every step and may be called by any thread. Progress objects nest: the inner one is shown.
class Progress final : public StatusLine {
 public:
  explicit Progress(ProgressOptions options, Console& target = console());
  ~Progress() override;
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::int64_t position);
  void advance(std::int64_t count = 1);
  /// Text after the bar, e.g. "loss 0.21 lr 3e-4"; shown at the next redraw.
  void postfix(std::string text);

  std::string render(int width) override;

 private:
  double now() const;
  void moved(std::int64_t position, std::unique_lock<std::mutex>& lock);

  std::mutex mutex_;  // taken inside the console's lock (render) and never around it
  ProgressOptions options_;
  Console& console_;
  ProgressState state_;
  RateMeter meter_;
  std::chrono::steady_clock::time_point begin_;
  double last_drawn_ = 0;
  std::int64_t last_line_position_ = -1;
  double last_line_time_ = 0;
};

}  // namespace qkv
