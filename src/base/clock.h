// What time it is, and how long something took.
#pragma once
#include <ctime>

namespace qkv {

inline double seconds_of(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// Seconds since some moment in the past; never goes back.
inline double steady_seconds() {
  return seconds_of(CLOCK_MONOTONIC);
}
/// Seconds since 1970.
inline double epoch_seconds() {
  return seconds_of(CLOCK_REALTIME);
}
/// Seconds of CPU time that this thread has used.
inline double thread_cpu_seconds() {
  return seconds_of(CLOCK_THREAD_CPUTIME_ID);
}

/// Adds the seconds of its life.
class Timer {
 public:
  explicit Timer(double& total) : total_(total), start_(steady_seconds()) {}
  ~Timer() { total_ += steady_seconds() - start_; }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

 private:
  double& total_;
  double start_;
};

}  // namespace qkv
