#include "base/clock.h"

#include <ctime>

namespace qkv {

static double seconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double steady_seconds() {
  return seconds(CLOCK_MONOTONIC);
}
double epoch_seconds() {
  return seconds(CLOCK_REALTIME);
}
double thread_cpu_seconds() {
  return seconds(CLOCK_THREAD_CPUTIME_ID);
}

}  // namespace qkv
