#include "log/progress.h"

#include <algorithm>
#include <cmath>
#include <utility>

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
    const double left = double(std::max<std::int64_t>(0, state.total - state.position));
    text += "<" + clock_text(state.rate > 0 ? left / state.rate : -1);
  }
  if (!(state.rate > 0)) return text + ", ? step/s]";
  return text + (state.rate >= 1 ? fmt::format(", {} step/s]", short_count(state.rate))
                                 : fmt::format(", {:.1f} s/step]", 1 / state.rate));
}

// Exactly `width` columns, filled in eighths of a column: "████▌     "; in ASCII in tenths: "####5     ".
std::string bar(double fraction, int width, bool unicode) {
  static constexpr const char* kEighths[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const int parts = unicode ? 8 : 10;
  const int filled = int(std::lround(fraction * width * parts));
  const int full = filled / parts, rest = filled % parts;
  std::string result;
  for (int i = 0; i < full; i++) result += unicode ? "█" : "#";
  if (rest != 0) result += unicode ? kEighths[rest] : std::to_string(rest);
  return pad_right(result, width);
}

}  // namespace

std::string progress_bar(const ProgressState& state, int width, bool unicode) {
  const std::string tail = timing(state) + (state.postfix.empty() ? "" : " ") + state.postfix;
  if (state.total <= 0) return fmt::format("{} {} step {}", state.label, state.position, tail);
  const double fraction = std::clamp(double(state.position) / double(state.total), 0.0, 1.0);
  const std::string left = fmt::format("{} {:3.0f}%", state.label, std::floor(fraction * 100));
  const std::string total = std::to_string(state.total);
  const std::string right = fmt::format(" {:>{}}/{} {}", state.position, total.size(), total, tail);
  const int room = width - visible_width(left) - visible_width(right) - 2;
  if (room < kNarrowestBar) return left + right;
  return left + "|" + bar(fraction, std::min(room, kWidestBar), unicode) + "|" + right;
}

void RateMeter::add(double time, std::int64_t position) {
  const double seconds = time - last_time_;
  if (seconds <= 0) return;
  const double keep = std::exp(-seconds / kRateSeconds);
  positions_ = positions_ * keep + double(position - last_position_);
  seconds_ = seconds_ * keep + seconds;
  last_time_ = time;
  last_position_ = position;
}

Progress::Progress(const std::string& label, std::int64_t start, std::int64_t total, Console& target,
                   Clock* clock)
    : console_(target), clock_(clock), begin_(clock()), state_{label, start, total}, meter_(0, start) {
  console_.show([this](int width) {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.elapsed = clock_() - begin_;
    return progress_bar(state_, width, console_.unicode());
  });
}

void Progress::update(std::int64_t position) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    state_.position = position;
    const double time = clock_() - begin_;
    if (!console_.live() || time - last_drawn_ < kRedrawSeconds) return;
    last_drawn_ = time;
    meter_.add(time, position);
    state_.rate = meter_.per_second();
  }
  console_.redraw();
}

void Progress::postfix(std::string text) {
  const std::lock_guard<std::mutex> lock(mutex_);
  state_.postfix = std::move(text);
}

}  // namespace qkv
