// Who does which task of a run: ranges of tasks from which several threads claim.
#pragma once
#include <atomic>
#include <cstdint>
#include <limits>

namespace qkv {

struct Job {
  std::uint32_t run = 0;  ///< counts the runs
  int n_tasks = 0;
};

/// What is claimed of a range of tasks: some from the front, by the worker whose range it is, and some from
/// the back, by others. Nobody resets it between runs, so that it stays in the cache of its worker until
/// others look: while it is of an earlier run, nothing of the range is claimed in this one.
class alignas(64) Claims {
 public:
  static constexpr int kMost = std::numeric_limits<std::uint16_t>::max();  // tasks of a range

  /// A task in [begin, end) of the job `of` that is claimed with this, or -1 if none is left. `current` is
  /// the job of now: if another one has begun, all tasks of `of` have been claimed.
  int take(bool own, int begin, int end, Job of, const std::atomic<Job>& current) {
    for (Count seen = count_; begin < end;) {
      // Another run is an earlier one, or a later one, which then is the current one.
      if (seen.run != of.run && current.load().run != of.run) break;
      Count next = seen.run == of.run ? seen : Count{of.run, 0, 0};
      if (next.front + next.back == end - begin) break;
      const int task = own ? begin + next.front++ : end - 1 - next.back++;
      if (count_.compare_exchange_weak(seen, next)) return task;
    }
    return -1;
  }

 private:
  struct Count {
    std::uint32_t run = 0;
    std::uint16_t front = 0, back = 0;
  };
  static_assert(std::atomic<Count>::is_always_lock_free && std::atomic<Job>::is_always_lock_free);
  std::atomic<Count> count_{Count{}};
};

}  // namespace qkv
