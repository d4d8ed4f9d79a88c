// Waiting for another thread: looking, spinning, sleeping, and finding a CPU for it.
#pragma once
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/clock.h"

namespace qkv {

inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Looks `looks` times, without pauses: each takes up to 50 ns.
template <class Ready>
bool look_until(int looks, Ready ready) {
  for (int i = 0; i < looks; ++i)
    if (ready()) return true;
  return false;
}

/// Looks, with pauses, until ready() or the spin time is over. Where there are more threads than CPUs, the
/// one waited for may need this CPU: give it away instead.
template <class Ready>
bool spin_until(bool oversubscribed, Ready ready) {
  constexpr double kSeconds = 50e-6;
  constexpr int kPauses = 32;
  const double end = steady_seconds() + kSeconds;
  do {
    for (int i = 0; i < kPauses; ++i) {
      if (ready()) return true;
      if (!oversubscribed) pause_cpu();
    }
    if (oversubscribed) std::this_thread::yield();
  } while (steady_seconds() < end);
  return ready();
}

/// Threads that sleep until a value changes. A sleeper counts itself, then looks at the value; the other side
/// changes the value, then looks for sleepers. Sequential consistency: at least one of the two sees the
/// other.
class Sleepers {
 public:
  /// Returns ready(), after `time` at the latest.
  template <class Ready>
  bool sleep(std::chrono::microseconds time, Ready ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++count_;
    const bool result = wake_up_.wait_for(lock, time, ready);
    --count_;
    return result;
  }
  template <class Ready>
  void sleep(Ready ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++count_;
    wake_up_.wait(lock, ready);
    --count_;
  }
  /// After the value has changed.
  void wake() {
    if (count_ > 0) wake_all();
  }
  /// Without waiting until other CPUs see the changed value: who sleeps already is woken at once, who is
  /// about to is missed. `wake_missed` must follow.
  void wake_early() {
    if (count_.load(std::memory_order_relaxed) > 0) wake_all();
  }
  void wake_missed() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    wake();
  }

 private:
  void wake_all() {
    { std::lock_guard<std::mutex> lock(mutex_); }
    wake_up_.notify_all();
  }

  alignas(64) std::atomic<int> count_{0};
  std::mutex mutex_;
  std::condition_variable wake_up_;
};

/// Seconds of CPU time that a thread has used.
inline double cpu_seconds_of(pthread_t thread) {
  clockid_t clock;
  return ::pthread_getcpuclockid(thread, &clock) == 0 ? seconds_of(clock) : 0;
}

/// Moves a thread onto a CPU or away from it; then it may run where it might before.
inline void move_thread(pthread_t thread, int cpu, bool onto) {
  cpu_set_t all, one, others;
  if (::pthread_getaffinity_np(thread, sizeof all, &all) != 0) return;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(cpu), &one);
  CPU_XOR(&others, &all, &one);
  const bool possible = ::pthread_setaffinity_np(thread, sizeof all, onto ? &one : &others) == 0;
  if (possible) ::pthread_setaffinity_np(thread, sizeof all, &all);
}

/// Whether the help of others is worth waiting for them. If it has cost time lately, it is not for nine times
/// as long: then no more than a tenth of the time can be lost.
class Worth {
 public:
  /// Seconds that help has saved; negative if it has cost them.
  void add(double saved, double now) {
    constexpr double kHiccup = 100e-6, kMost = 10e-3;  // smaller losses do not count; what is kept of savings
    if (saved > 0 || saved < -kHiccup) saved_ = std::min(saved_ + saved, kMost);
    if (saved_ >= 0) return;
    alone_until_ = now - 9 * saved_;
    saved_ = 0;
  }
  bool alone(double now) const { return now < alone_until_; }

 private:
  double saved_ = 0, alone_until_ = 0;
};

}  // namespace qkv
