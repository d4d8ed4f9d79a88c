#include "log/progress.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "log/bars.h"
#include "log/number_text.h"
#include "log/terminal_text.h"

namespace qkv {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kRateSeconds = 5;
constexpr int kWidestBar = 30, kNarrowestBar = 4;

// [00:03<00:04, 291.2 step/s]
std::string timing(const ProgressState& state) {
  std::string text = "[" + clock_text(state.elapsed);
  if (state.total > 0) {
    const double left = static_cast<double>(std::max<std::int64_t>(0, state.total - state.position));
    text += "<" + clock_text(state.rate > 0 ? left / state.rate : -1);
  }
  if (!(state.rate > 0)) return text + ", ? " + state.unit + "/s]";
  const std::string rate = state.rate >= 1 ? short_count(state.rate) + " " + state.unit + "/s"
                                           : fmt::format("{:.1f} s/{}", 1 / state.rate, state.unit);
  return text + ", " + rate + "]";
}

double fraction(const ProgressState& state) {
  return std::clamp(static_cast<double>(state.position) / static_cast<double>(state.total), 0.0, 1.0);
}

// Whole percents, 100 only at the end.
int percent(const ProgressState& state) {
  return static_cast<int>(std::floor(fraction(state) * 100));
}

std::string separated(const std::string& separator, const std::string& text) {
  return text.empty() ? "" : separator + text;
}

}  // namespace

std::string progress_bar(const ProgressState& state, int width, bool unicode) {
  const std::string label = separated("", state.label) + (state.label.empty() ? "" : " ");
  if (state.total <= 0)
    return fmt::format("{}{} {} {}{}", label, state.position, state.unit, timing(state),
                       separated(" ", state.postfix));
  const std::string left = fmt::format("{}{:3}%", label, percent(state));
  const std::string total = std::to_string(state.total);
  const std::string right = fmt::format(" {:>{}}/{} {}{}", state.position, total.size(), total, timing(state),
                                        separated(" ", state.postfix));
  const int room = width - visible_width(left) - visible_width(right) - 2;
  if (room < kNarrowestBar) return left + right;
  return left + "|" + bar(fraction(state), std::min(room, kWidestBar), unicode) + "|" + right;
}

std::string progress_line(const ProgressState& state) {
  if (state.total <= 0)
    return fmt::format("{}  {} {}  {}{}", state.label, state.position, state.unit, timing(state),
                       separated("  ", state.postfix));
  const std::string total = std::to_string(state.total);
  return fmt::format("{}  {:3}%  {:>{}}/{}  {}{}", state.label, percent(state), state.position, total.size(),
                     total, timing(state), separated("  ", state.postfix));
}

void RateMeter::start(double time, std::int64_t position) {
  *this = {};
  last_time_ = time;
  last_position_ = position;
}

void RateMeter::add(double time, std::int64_t position) {
  const double seconds = time - last_time_;
  if (seconds <= 0) return;
  const double keep = std::exp(-seconds / kRateSeconds);
  positions_ = positions_ * keep + static_cast<double>(position - last_position_);
  seconds_ = seconds_ * keep + seconds;
  last_time_ = time;
  last_position_ = position;
}

Progress::Progress(ProgressOptions options, Console& target)
    : options_(std::move(options)), console_(target), begin_(std::chrono::steady_clock::now()) {
  state_.label = options_.label;
  state_.unit = options_.unit;
  state_.position = options_.start;
  state_.total = options_.total;
  meter_.start(0, options_.start);
  console_.push(this);
}

Progress::~Progress() {
  console_.remove(this);
  if (options_.plain_lines && !console_.live() && last_line_position_ != state_.position &&
      state_.position != options_.start) {
    state_.elapsed = now();
    meter_.add(state_.elapsed, state_.position);
    state_.rate = meter_.per_second();
    console_.info("{}", progress_line(state_));
  }
}

double Progress::now() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

void Progress::update(std::int64_t position) {
  std::unique_lock<std::mutex> lock(mutex_);
  moved(position, lock);
}

void Progress::advance(std::int64_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  moved(state_.position + count, lock);
}

void Progress::postfix(std::string text) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.postfix = std::move(text);
}

void Progress::moved(std::int64_t position, std::unique_lock<std::mutex>& lock) {
  const bool passed_mark = position / std::max<std::int64_t>(1, options_.every) !=
                           state_.position / std::max<std::int64_t>(1, options_.every);
  state_.position = position;
  const double time = now();
  if (console_.live()) {
    if (time - last_drawn_ < kRedrawSeconds) return;
    last_drawn_ = time;
    state_.elapsed = time;
    meter_.add(time, position);
    state_.rate = meter_.per_second();
    lock.unlock();
    console_.redraw();
    return;
  }
  const bool first = last_line_position_ < 0;
  if (!options_.plain_lines || !(first || (passed_mark && time - last_line_time_ >= options_.min_seconds)))
    return;
  last_line_position_ = position;
  last_line_time_ = state_.elapsed = time;
  meter_.add(time, position);
  state_.rate = meter_.per_second();
  const std::string line = progress_line(state_);
  lock.unlock();
  console_.info("{}", line);
}

std::string Progress::render(int width) {
  std::lock_guard<std::mutex> lock(mutex_);
  state_.elapsed = now();
  return progress_bar(state_, width, console_.unicode());
}

}  // namespace qkv
